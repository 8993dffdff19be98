"""kubelet: the node that runs containers."""

from __future__ import annotations

import json
from pathlib import Path

from . import containerd, sandbox
from .controlplane import Component
from .probe import JsonObject
from .state import Cluster
from .users import NODE_NAME

NAME = "kubelet"
_RESOLVERS = Path("/etc/resolv.conf")


def component(cluster: Cluster, programs: Path) -> Component:
    """The process; it runs inside the sandbox."""
    folder = cluster.folder
    argv = (
        str(programs / "kubelet"),
        f"--config={folder.config / 'kubelet.json'}",
        f"--kubeconfig={folder.component_kubeconfig('kubelet')}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={cluster.slot.gateway}",
    )
    return Component(NAME, tuple(sandbox.enter(cluster, argv)), forks=True)


def write_config(cluster: Cluster) -> None:
    """Write the file that the command line names."""
    path = cluster.folder.config / "kubelet.json"
    path.write_text(json.dumps(config(cluster), indent=2))


def config(cluster: Cluster) -> JsonObject:
    """A KubeletConfiguration for a machine that has other things to do."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": cluster.slot.gateway,
        "port": cluster.slot.port("kubelet"),
        "healthzPort": cluster.slot.port("kubelet-health"),
        "authentication": {"x509": {"clientCAFile": str(cluster.folder.pki / "ca.crt")}},
        # There is no cluster DNS, but without an address every Pod gets the Event
        # MissingClusterDNS; at the gateway nobody listens, so a lookup fails at once.
        "clusterDNS": nameservers(_RESOLVERS) or [cluster.slot.gateway],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{containerd.SOCKET}",
        "volumePluginDir": str(cluster.folder.node / "volume-plugins"),
        "oomScoreAdj": 0,  # not every root may lower it
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": sandbox.cgroup(cluster),
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "maxPods": 250,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 0,
        "registryPullQPS": 0,
        # A developer's disk is often almost full, and that is nobody's fault here.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,
    }


def nameservers(path: Path) -> list[str]:
    """The addresses of this machine's own name servers, by resolv.conf(5)."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return []
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
