"""The control plane: which processes it is made of, and with which arguments."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .state import Cluster, Node
from .users import COMPONENTS, write_kubeconfig

_CLIENT_QPS = 1000  # the defaults, 20 to 50, throttle long before the API server does
_CLIENT_BURST = 2000


NAMES = ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")
"""The components, in the order in which they are ended."""


@dataclass(frozen=True, slots=True)
class Component:
    """A process of a cluster: its name and its command."""

    name: str
    argv: tuple[str, ...]
    forks: bool = False
    """The command starts one child and waits for it: the child is the component."""


def storage(cluster: Cluster, programs: Path) -> Component:
    """etcd, unencrypted on the loopback device."""
    client = f"http://127.0.0.1:{cluster.slot.port('etcd')}"
    peer = f"http://127.0.0.1:{cluster.slot.port('etcd-peer')}"
    argv = [
        str(programs / "etcd"),
        f"--data-dir={cluster.folder.etcd}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        f"--quota-backend-bytes={8 << 30}",
        "--log-level=warn",
    ]
    if not cluster.fsync:
        argv.append("--unsafe-no-fsync")
    return Component("etcd", tuple(argv))


def apiserver(cluster: Cluster, programs: Path) -> Component:
    """kube-apiserver; within reach of Pods where there are any."""
    slot, pki = cluster.slot, cluster.folder.pki
    real = cluster.node is Node.KUBELET
    argv = [
        str(programs / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{slot.port('etcd')}",
        "--storage-media-type=application/json",  # what etcd holds can be read
        f"--bind-address={'0.0.0.0' if real else '127.0.0.1'}",  # noqa: S104 - Pods come by the bridge
        f"--secure-port={slot.port('kube-apiserver')}",
        f"--advertise-address={slot.gateway}",
        f"--service-cluster-ip-range={slot.services}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kubelet-client.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki / 'service-accounts.key'}",
        f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
        f"--token-auth-file={cluster.folder.users}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged",
        # No kube-proxy serves service addresses: webhooks are called at their endpoints.
        "--enable-aggregator-routing",
    ]
    if cluster.audit:
        argv += [
            f"--audit-policy-file={cluster.folder.config / 'audit.json'}",
            f"--audit-log-path={cluster.folder.audit}",
        ]
    return Component("kube-apiserver", tuple(argv))


def controller_manager(cluster: Cluster, programs: Path) -> Component:
    """kube-controller-manager."""
    folder, port = cluster.folder, cluster.slot.port("kube-controller-manager")
    argv = (
        str(programs / "kube-controller-manager"),
        f"--kubeconfig={folder.component_kubeconfig('kube-controller-manager')}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={folder.pki / 'service-accounts.key'}",
        f"--root-ca-file={folder.pki / 'ca.crt'}",
        f"--cluster-signing-cert-file={folder.pki / 'ca.crt'}",
        f"--cluster-signing-key-file={folder.pki / 'ca.key'}",
        f"--kube-api-qps={_CLIENT_QPS}",
        f"--kube-api-burst={_CLIENT_BURST}",
    )
    return Component("kube-controller-manager", argv)


def scheduler(cluster: Cluster, programs: Path) -> Component:
    """kube-scheduler."""
    port = cluster.slot.port("kube-scheduler")
    argv = (
        str(programs / "kube-scheduler"),
        f"--config={cluster.folder.config / 'scheduler.json'}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
    )
    return Component("kube-scheduler", argv)


def write_config(cluster: Cluster) -> None:
    """Write the files that the command lines above name."""
    folder = cluster.folder
    folder.config.mkdir(parents=True, exist_ok=True)
    for user in COMPONENTS:
        path = folder.component_kubeconfig(user.context)
        write_kubeconfig(path, folder, cluster.server, (user,))
    audit = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    }
    (folder.config / "audit.json").write_text(json.dumps(audit, indent=2))
    scheduling = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {
            "kubeconfig": str(folder.component_kubeconfig("kube-scheduler")),
            "qps": _CLIENT_QPS,
            "burst": _CLIENT_BURST,
        },
    }
    (folder.config / "scheduler.json").write_text(json.dumps(scheduling, indent=2))
