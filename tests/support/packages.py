"""Programs of the distribution that tests run: fetched where they are missing, never installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "observatory-operator"


def program(name: str, package: str) -> str:
    """The path of a program. The test is skipped where it is missing and can't be fetched.

    A package that is installed may start a service; one that is only unpacked doesn't.
    """
    if found := shutil.which(name):
        return found
    folder = CACHE / "packages" / package
    found = str(folder / "usr" / "bin" / name)
    if Path(found).exists():
        return found
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip(f"{name} is missing: install the package {package}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        if os.geteuid() == 0:
            _run("apt-get", "--quiet", "update", folder=scratch)
        _run("apt-get", "--quiet", "download", package, folder=scratch)
        (archive,) = Path(scratch).glob("*.deb")
        unpacked = Path(scratch) / "unpacked"
        _run("dpkg-deb", "-x", str(archive), str(unpacked), folder=scratch)
        try:
            unpacked.rename(folder)
        except OSError:
            if not Path(found).exists():  # else another test was quicker
                raise
    return found


def _run(*argv: str, folder: str) -> None:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
