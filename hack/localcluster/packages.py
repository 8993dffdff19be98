"""What a node that runs containers, and the image builder, need from the operating system."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .console import say
from .errors import ClusterError

_CNI_PLUGINS = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
_PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}


def obstacle() -> str | None:
    """Why containers cannot run here, or None when they can, packages apart."""
    if os.geteuid() != 0:
        return "containers without Docker need root, and this is another user"
    result = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False
    )
    if result.returncode:
        return "this root may not make namespaces, as in an unprivileged container"
    if missing() and not shutil.which("apt-get"):
        return f"{', '.join(missing())} must be installed first"
    return None


def ensure(programs: Mapping[str, str] | None = None) -> None:
    """Install what is missing where apt-get can; say what is missing elsewhere.

    `programs` has the package of each program that is needed; without it, those of a node.
    """
    lacking = missing() if programs is None else _lacking(programs)
    if not lacking:
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise ClusterError(f"install these packages first: {' '.join(lacking)}")
    say(f"Installing Debian packages: {' '.join(lacking)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *lacking]):
        result = subprocess.run(
            ["apt-get", "--quiet", *arguments],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        if result.returncode:
            raise ClusterError(
                f"apt-get {' '.join(arguments)} failed:\n{result.stdout}{result.stderr}"
            )


def missing() -> list[str]:
    """The packages whose programs are not there."""
    packages = set(_lacking(_PROGRAMS))
    if cni_plugins() is None:
        packages.add("containernetworking-plugins")
    if busybox() is None:
        packages.add("busybox-static")
    return sorted(packages)


def _lacking(programs: Mapping[str, str]) -> list[str]:
    return sorted({package for program, package in programs.items() if not shutil.which(program)})


def cni_plugins() -> Path | None:
    """The folder of the network plugins."""
    folders = (Path(folder) for folder in _CNI_PLUGINS)
    return next((folder for folder in folders if (folder / "bridge").exists()), None)


def busybox() -> Path | None:
    """A busybox that needs no library, so that it makes an image alone."""
    found = shutil.which("busybox")
    return Path(found) if found and is_static(Path(found)) else None


def is_static(program: Path) -> bool:
    """Whether an ELF program names no dynamic loader; the name stands near its beginning."""
    with program.open("rb") as file:
        head = file.read(4096)
    return b"/ld-" not in head
