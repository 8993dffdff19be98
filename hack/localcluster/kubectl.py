"""kubectl, for clusters whose API server is not ours."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from . import build
from .errors import ClusterError


def path() -> str:
    """The kubectl of these programs if it is built, else the one on PATH, else one built now."""
    built = build.folder() / "kubectl"
    found = str(built) if built.exists() else shutil.which("kubectl")
    return found or str(build.ensure([build.KUBECTL]) / "kubectl")


def run(kubeconfig: Path, *arguments: str) -> str:
    """What kubectl prints."""
    result = subprocess.run(
        [path(), f"--kubeconfig={kubeconfig}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise ClusterError(f"kubectl {' '.join(arguments)} failed: {result.stderr.strip()}")
    return result.stdout


def answers(kubeconfig: Path) -> bool:
    """Whether the API server of the kubeconfig's current context is ready."""
    try:
        run(kubeconfig, "get", "--raw=/readyz", "--request-timeout=5s")
    except ClusterError:
        return False
    return True
