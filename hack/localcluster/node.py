"""What runs Pods, by the kind of node that the cluster has."""

from __future__ import annotations

from pathlib import Path

from . import containerd, kubelet, launch, packages, probe, sandbox
from .controlplane import Component
from .errors import ClusterError
from .state import Cluster, Node
from .users import NODE_NAME

_PATIENCE = 90.0


def prepare(cluster: Cluster) -> None:
    """Do what needs no API server."""
    if cluster.node is Node.KUBELET:
        packages.ensure()
        sandbox.up(cluster)
        containerd.write_config(cluster)
        kubelet.write_config(cluster)
        launch.start(cluster.folder, [containerd.component(cluster)])


def components(cluster: Cluster, programs: Path) -> list[Component]:
    """The processes to start beside the API server's."""
    if cluster.node is Node.KUBELET:
        containerd.await_ready(cluster)
        containerd.load_own(cluster)
        return [kubelet.component(cluster, programs)]
    return []


def await_ready(cluster: Cluster) -> None:
    """Wait until Pods can be scheduled."""
    if cluster.node is Node.KUBELET and not probe.wait(lambda: ready(cluster, NODE_NAME), _PATIENCE):
        raise ClusterError(f"node {NODE_NAME} is not ready; see {cluster.folder.log('kubelet')}")


def ready(cluster: Cluster, name: str) -> bool:
    """Whether the Node is ready and has lost the taints of one that is not."""
    try:
        node = probe.call(cluster, "GET", f"/api/v1/nodes/{name}")
    except OSError:
        return False
    conditions = {c["type"]: c["status"] for c in node["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")


def down(cluster: Cluster) -> None:
    """End the node and remove what it made."""
    if cluster.node is Node.KUBELET:
        launch.end(cluster.folder, kubelet.NAME, grace=1.0)
        launch.end(cluster.folder, containerd.NAME, grace=0.0)
        sandbox.down(cluster)
