"""The programs, built once from pinned Go modules, for every checkout that pins the same."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import toolchain
from .console import say, since
from .errors import ClusterError
from .lock import locked
from .paths import MODULES, cache
from .processes import tail
from .state import Node

KUBERNETES = "v1.37.2"

_VERSION = "k8s.io/component-base/version"
_PLAIN = "-s -w"
# Without a version the server calls itself v0.0.0-master, and clients misjudge its features.
_VERSIONED = (
    f"-s -w -X {_VERSION}.gitVersion={KUBERNETES} -X {_VERSION}.gitMajor=1 "
    f"-X {_VERSION}.gitMinor={KUBERNETES.split('.')[1]} -X {_VERSION}.gitTreeState=clean"
)
_DISK = 6 << 30  # modules 1.4 GB, build cache 3 GB, programs 0.6 GB
_MEMORY = 2 << 30  # the linker's appetite for kube-apiserver
_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Program:
    """A program: its Go module and package, and seconds of a cold build on two idle cores."""

    name: str
    module: str
    package: str
    seconds: int
    flags: str = _PLAIN

    def command(self, go: Path, output: Path) -> list[str]:
        """The command that builds it into `output`."""
        return [
            str(go),
            "build",
            "-trimpath",
            "-ldflags",
            self.flags,
            "-o",
            str(output),
            self.package,
        ]


def _kubernetes(name: str, seconds: int) -> Program:
    return Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", seconds, _VERSIONED)


KUBECTL = _kubernetes("kubectl", 30)
KIND = Program("kind", "kind", "sigs.k8s.io/kind", 20)
HELM = Program("helm", "helm", "helm.sh/helm/v4/cmd/helm", 90)
CONTROL_PLANE = (
    Program("etcd", "etcd", ".", 40),
    _kubernetes("kube-apiserver", 270),
    _kubernetes("kube-controller-manager", 60),
    _kubernetes("kube-scheduler", 15),
    KUBECTL,
)
NODE = {
    Node.NONE: (),
    Node.KUBELET: (_kubernetes("kubelet", 60),),
    Node.KWOK: (Program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", 60),),
}


def programs(nodes: Iterable[Node]) -> list[Program]:
    """What clusters with these kinds of node need."""
    return [*CONTROL_PLANE, *(program for node in nodes for program in NODE[node])]


def pins() -> str:
    """A short hash of everything that decides what the programs are."""
    digest = hashlib.sha256(platform.machine().encode())
    for path in sorted(path for path in MODULES.glob("*/*") if path.is_file()):
        digest.update(path.relative_to(MODULES).as_posix().encode() + path.read_bytes())
    digest.update((_PLAIN + _VERSIONED).encode())
    return digest.hexdigest()[:12]


def folder() -> Path:
    """Where the programs are kept."""
    return cache() / "bin" / pins()


def missing(wanted: Sequence[Program], present: Path) -> list[Program]:
    """The programs that are not there yet."""
    return [program for program in wanted if not (present / program.name).exists()]


def ensure(wanted: Sequence[Program]) -> Path:
    """Build those that are missing; the folder of the programs."""
    if not missing(wanted, folder()):
        return folder()
    with locked("build"):
        todo = missing(wanted, folder())  # another command may have built them meanwhile
        if todo:
            _build(todo)
    return folder()


def _build(todo: list[Program]) -> None:
    folder().mkdir(parents=True, exist_ok=True)
    _check_room()
    go = toolchain.go()
    minutes = sum(program.seconds for program in todo) / 60
    say(
        f"Building {len(todo)} programs from Go modules, once: about {minutes:.0f} min on two idle "
        f"cores, plus downloads; seconds where Go has built them before"
    )
    begin = time.monotonic()
    for number, program in enumerate(todo, 1):
        say(f"  [{number}/{len(todo)}] {program.name}, about {program.seconds} s")
        start = time.monotonic()
        _build_one(program, go)
        say(f"        done in {since(start)}")
    say(f"Built in {since(begin)}: {folder()}")


def _build_one(program: Program, go: Path) -> None:
    draft = folder() / f".{program.name}.new"
    log = folder() / "build.log"
    start = time.monotonic()
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    with (
        log.open("w") as output,
        subprocess.Popen(
            program.command(go, draft),
            cwd=MODULES / program.module,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        while not _ended(process):
            say(f"        {since(start)} so far")
    if process.returncode:
        raise ClusterError(f"{program.name} could not be built; {log} ends with\n{tail(log)}")
    draft.replace(folder() / program.name)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Wait for a while; whether the process has ended."""
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        return False
    return True


def _check_room() -> None:
    free = shutil.disk_usage(folder()).free
    if free < _DISK:
        raise ClusterError(
            f"building needs {_DISK >> 30} GB of disk and {folder()} has {free / 2**30:.1f} GB: "
            "make room, or set XDG_CACHE_HOME, GOCACHE and GOMODCACHE to a larger disk"
        )
    lines = Path("/proc/meminfo").read_text().splitlines()
    available = (
        next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) << 10
    )
    if available < _MEMORY:
        raise ClusterError(
            f"building needs {_MEMORY >> 30} GB of memory and {available / 2**30:.1f} GB are free: "
            "end something else first"
        )
