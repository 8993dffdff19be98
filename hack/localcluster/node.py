"""What runs Pods, by the kind of node that the cluster has."""

from __future__ import annotations

from pathlib import Path

from . import containerd, kubelet, kwok, launch, packages, probe, sandbox
from .controlplane import Component
from .errors import ClusterError
from .state import Cluster, Node
from .users import NODE_NAME

_PATIENCE = 90.0


def prepare(cluster: Cluster) -> None:
    """Do what needs no API server."""
    match cluster.node:
        case Node.KUBELET:
            packages.ensure()
            sandbox.up(cluster)
            containerd.write_config(cluster)
            kubelet.write_config(cluster)
            launch.start(cluster, [containerd.component(cluster)])
        case Node.KWOK:
            kwok.write_config(cluster)
        case Node.NONE:
            pass


def components(cluster: Cluster, programs: Path) -> list[Component]:
    """The processes to start beside the API server's."""
    match cluster.node:
        case Node.KUBELET:
            containerd.await_ready(cluster)
            containerd.load_own(cluster)
            return [kubelet.component(cluster, programs)]
        case Node.KWOK:
            kwok.forget_leases(cluster)
            return [kwok.component(cluster, programs)]
        case Node.NONE:
            return []


def await_ready(cluster: Cluster) -> None:
    """Wait until Pods can be scheduled to every node."""
    if cluster.node is Node.KWOK:
        kwok.create_nodes(cluster)
    waiting = names(cluster)

    def all_ready() -> bool:
        while waiting and _ready(cluster, waiting[-1]):
            waiting.pop()
        return not waiting

    if not probe.wait(all_ready, _PATIENCE):
        log = cluster.folder.log(cluster.node.value)
        raise ClusterError(f"node {waiting[-1]} does not become ready; see {log}")


def names(cluster: Cluster) -> list[str]:
    """The names of the nodes that the cluster is to have."""
    match cluster.node:
        case Node.KUBELET:
            return [NODE_NAME]
        case Node.KWOK:
            return [kwok.node_name(number) for number in range(cluster.nodes)]
        case Node.NONE:
            return []


def parts(kind: Node) -> tuple[str, ...]:
    """The names of the node's components, in the order in which they are started."""
    match kind:
        case Node.KUBELET:
            return (sandbox.NAME, containerd.NAME, kubelet.NAME)
        case Node.KWOK:
            return (kwok.NAME,)
        case Node.NONE:
            return ()


def down(cluster: Cluster) -> None:
    """End the node and remove what it made."""
    match cluster.node:
        case Node.KUBELET:
            launch.end(cluster.folder, kubelet.NAME, grace=1.0)
            launch.end(cluster.folder, containerd.NAME, grace=0.0)
            sandbox.down(cluster)
        case Node.KWOK:
            launch.end(cluster.folder, kwok.NAME)
        case Node.NONE:
            pass


def _ready(cluster: Cluster, name: str) -> bool:
    """Whether the Node is ready and has lost the taints of one that is not."""
    try:
        found = probe.call(cluster, "GET", f"/api/v1/nodes/{name}")
    except OSError:
        return False
    conditions = {c["type"]: c["status"] for c in found["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and not found["spec"].get("taints")
