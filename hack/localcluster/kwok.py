"""Nodes that only pretend: kwok says that Pods run and end, and no container is made.

Thousands of Pods cost two writes each. `stages.yaml` tells how they are acted out.
"""

from __future__ import annotations

import json
from pathlib import Path

from . import probe, processes
from .controlplane import Component
from .state import Cluster

NAME = "kwok"
_STAGES = Path(__file__).with_name("stages.yaml")
_PARALLEL = 64


def component(cluster: Cluster, programs: Path) -> Component:
    """The process."""
    folder, port = cluster.folder, cluster.slot.port("kwok")
    argv = (
        str(programs / "kwok"),
        f"--kubeconfig={folder.component_kubeconfig('kwok')}",
        f"--config={folder.config / 'kwok.yaml'}",
        f"--server-address=127.0.0.1:{port}",
        "--v=WARN",
    )
    return Component(NAME, argv)


def write_config(cluster: Cluster) -> None:
    """Write the file that the command line names: the stages, and options for many Pods at once."""
    options = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokConfiguration",
        "options": {
            "manageAllNodes": True,
            "cidr": cluster.slot.pods,
            "nodeLeaseDurationSeconds": 40,
            "nodeLeaseParallelism": _PARALLEL,
            "podPlayStageParallelism": _PARALLEL,
            "nodePlayStageParallelism": _PARALLEL,
            "podsOnNodeSyncParallelism": _PARALLEL,
            "enablePodsOnNodeSyncStreamWatch": True,
        },
    }
    text = f"{json.dumps(options)}\n---\n{_STAGES.read_text()}"
    (cluster.folder.config / "kwok.yaml").write_text(text)


def node_name(number: int) -> str:
    """The name of one of the nodes."""
    return f"kwok-{number}"


def node(name: str) -> probe.JsonObject:
    """A Node with room for any Pod."""
    room = {"cpu": "1000", "memory": "4Ti", "ephemeral-storage": "16Ti", "pods": "10000"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "type": "kwok"}},
        "status": {"capacity": room, "allocatable": room},
    }


def create_nodes(cluster: Cluster) -> None:
    """Create the nodes that are not there."""
    for number in range(cluster.nodes):
        probe.create(cluster, "/api/v1/nodes", node(node_name(number)))


def forget_leases(cluster: Cluster) -> None:
    """Drop the nodes' leases: a new kwok would wait until those of a dead one expire."""
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    if processes.recorded(cluster.folder.pid(NAME)) is None:
        probe.call(cluster, "DELETE", leases)
