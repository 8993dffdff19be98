"""The box that a node lives in: namespaces for mounts and processes, a bridge, a cgroup.

A process that only sleeps is number 1 of the namespaces; containerd and kubelet are started inside.
So one SIGKILL to it takes along every container, shim and mount, whatever state they are in, and
two nodes on one machine use the same standard folders without meeting. The network is the
machine's own.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import launch, probe, processes
from .console import say
from .controlplane import Component
from .errors import ClusterError
from .slot import Slot
from .state import Cluster

NAME = "sandbox"
PRIVATE = (
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
)
"""Folders that the node's programs write to by habit; each node sees its own there."""

_CGROUPS = Path("/sys/fs/cgroup")
_DEVICES = Path("/sys/class/net")
_CHECK_OR_ADD = ("--check", "--append")
_PATIENCE = 10.0
# Of `sh`, dash does not pass on that SIGCHLD is ignored; of `env`, busybox's cannot ignore it.
_SLEEP = """
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    signal.pause()
"""
_SCRIPT = """
mount --make-rshared /
marker=$1; shift
while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done
touch "$marker"
shift
exec "$@"
"""


def sleeper() -> list[str]:
    """Number 1: it ignores SIGCHLD, so the kernel reaps and orphaned shims leave no zombies."""
    return [sys.executable, "-ISc", _SLEEP]


def private(cluster: Cluster, path: str) -> Path:
    """Where a private folder of the node lies for the rest of the machine."""
    return cluster.folder.node / path.strip("/").replace("/", "-")


def command(cluster: Cluster, marker: Path) -> list[str]:
    """The command that makes the namespaces; it touches `marker` when they are furnished."""
    script = ["sh", "-ec", _SCRIPT, "sandbox", str(marker)]
    mounts = [part for path in PRIVATE for part in (str(private(cluster, path)), path)]
    namespaces = ["--mount", "--propagation", "slave", "--pid", "--fork", "--mount-proc"]
    return ["unshare", *namespaces, "--", *script, *mounts, "--", *sleeper()]


def enter(cluster: Cluster, argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` inside."""
    process = processes.recorded(cluster.folder.pid(NAME))
    if process is None:
        raise ClusterError(f"the node of cluster {cluster.name} does not run: hack/cluster up")
    return ["nsenter", f"--target={process.pid}", "--mount", "--pid", "--", *argv]


def up(cluster: Cluster) -> None:
    """Make what is missing: cgroup, bridge, namespaces."""
    for root in _hierarchies():
        _offer_controllers(root)
        (root / cgroup(cluster).strip("/")).mkdir(exist_ok=True)
    _bridge_up(cluster)
    marker = cluster.folder.node / "furnished"
    component = Component(NAME, tuple(command(cluster, marker)), forks=True)
    process = processes.recorded(cluster.folder.pid(NAME))
    if process is None:
        for path in PRIVATE:
            Path(path).mkdir(parents=True, exist_ok=True)
            private(cluster, path).mkdir(parents=True, exist_ok=True)
        marker.unlink(missing_ok=True)
        process = launch.spawn(cluster.folder, component)
    probe.wait(lambda: marker.exists() or not process.alive, _PATIENCE)
    if not marker.exists():
        raise launch.failure(cluster.folder, component, "could not mount its folders")


def down(cluster: Cluster) -> None:
    """Remove everything, in whatever state it is."""
    launch.end(cluster.folder, NAME, grace=0.0)
    rule = _service_rule(cluster)
    while _quietly("iptables", "--wait", "--table=nat", "--delete", *rule):
        pass
    _quietly("ip", "link", "delete", cluster.slot.bridge)
    for root in _hierarchies():
        _remove_cgroup(root / cgroup(cluster).strip("/"))
    if not list(_DEVICES.glob(Slot.BRIDGES)):  # else another node has mounts on these folders
        for path in PRIVATE:
            with contextlib.suppress(OSError):  # not there, or not empty: others use it
                Path(path).rmdir()


def cgroup(cluster: Cluster) -> str:
    """The cgroup above all containers of the node."""
    return f"/observatory-{cluster.name}"


def _hierarchies() -> Iterator[Path]:
    """Where cgroups can be made: once on v2, once for each controller on v1."""
    if (_CGROUPS / "cgroup.controllers").exists():
        yield _CGROUPS
        return
    yield from (path for path in _CGROUPS.iterdir() if (path / "cgroup.procs").exists())


def _offer_controllers(root: Path) -> None:
    """On cgroup v2, let cgroups below the root use what the root has; kubelet insists on it."""
    offer = root / "cgroup.subtree_control"
    if offer.exists():
        for controller in (root / "cgroup.controllers").read_text().split():
            with contextlib.suppress(OSError):  # not ours to give, inside a container
                offer.write_text(f"+{controller}")


def _remove_cgroup(path: Path) -> None:
    """Remove a cgroup and those below it; the kernel may need a moment after the processes end."""
    if not path.exists():
        return

    def gone() -> bool:
        for folder, _, _ in os.walk(path, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:
                return False
        return True

    if not probe.wait(gone, _PATIENCE):
        raise ClusterError(f"{path} is still in use; processes: {path}/**/cgroup.procs")


def _bridge_up(cluster: Cluster) -> None:
    """The network device that Pods are joined to, and their way to the Service `kubernetes`."""
    slot = cluster.slot
    if not (_DEVICES / slot.bridge).exists():
        _run("ip", "link", "add", slot.bridge, "type", "bridge")
        _run("ip", "address", "add", f"{slot.gateway}/24", "dev", slot.bridge)
    _run("ip", "link", "set", slot.bridge, "up")
    rule = _service_rule(cluster)
    if not any(_quietly("iptables", "--wait", "--table=nat", how, *rule) for how in _CHECK_OR_ADD):
        say("  warning: iptables has no nat here; Pods cannot reach the API server by its Service")


def _service_rule(cluster: Cluster) -> list[str]:
    """The one thing of kube-proxy that is needed: Pods reach the API server by its Service."""
    slot = cluster.slot
    match = ["--in-interface", slot.bridge, "--destination", slot.service_address]
    target = f"{slot.gateway}:{slot.port('kube-apiserver')}"
    protocol = ["--protocol", "tcp", "--dport", "443"]
    return ["PREROUTING", *match, *protocol, "--jump", "DNAT", "--to-destination", target]


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ClusterError(f"{' '.join(command)} failed: {result.stderr.strip()}")


def _quietly(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:  # not installed, so it made nothing either
        return False
