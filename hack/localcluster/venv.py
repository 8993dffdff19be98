"""Python packages that this machine may lack, each in a cached virtual environment."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from .console import say
from .errors import ClusterError
from .lock import locked
from .paths import cache


def python_with(module: str, requirement: str) -> Path:
    """An interpreter that can import `module`: this one, or one in a cached environment."""
    if importlib.util.find_spec(module):
        return Path(sys.executable)
    return environment(requirement) / "bin" / "python"


def environment(requirement: str) -> Path:
    """The cached virtual environment that holds what pip makes of the requirement."""
    name = "".join(c if c.isalnum() or c in ".-" else "_" for c in requirement)
    folder = cache() / "venv" / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    with locked("venv"):
        if not (folder / "complete").exists():
            _make(folder, requirement)
    return folder


def _make(folder: Path, requirement: str) -> None:
    say(f"Installing {requirement} from PyPI into {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)], "install python3-venv")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    _run([*pip, "install", "--quiet", requirement], "check that PyPI can be reached")
    (folder / "complete").touch()


def _run(command: list[str], remedy: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        output = (result.stdout + result.stderr).strip()
        raise ClusterError(f"{' '.join(command)} failed; {remedy}\n{output}")
