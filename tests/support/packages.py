"""Programs of the distribution that tests run: installed where they are missing and can be."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def program(name: str, package: str) -> str:
    """The path of a program. The test is skipped where it is missing and can't be installed."""
    if found := shutil.which(name):
        return found
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip(f"{name} is missing: install the package {package}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        subprocess.run(
            ["apt-get", "--quiet", *arguments], env=environment, capture_output=True, check=True
        )
    found = shutil.which(name)
    assert found is not None
    return found
