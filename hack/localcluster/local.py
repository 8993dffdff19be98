"""Clusters made of processes on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from . import build, controlplane, launch, node, probe, processes, users, venv
from .console import say, since
from .errors import ClusterError
from .state import Cluster

_PATIENCE = 60.0


def up(cluster: Cluster) -> None:
    """Bring every part of the cluster to life that is not alive."""
    say(f"Cluster {cluster.name}: Kubernetes {build.KUBERNETES}, node: {cluster.node}")
    programs = build.ensure(build.programs([cluster.node]))
    begin = time.monotonic()
    _prepare(cluster)
    node.prepare(cluster)
    launch.start(
        cluster,
        [controlplane.storage(cluster, programs), controlplane.apiserver(cluster, programs)],
    )
    launch.start(
        cluster,
        [
            controlplane.controller_manager(cluster, programs),
            controlplane.scheduler(cluster, programs),
            *node.components(cluster, programs),
        ],
    )
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    if not probe.wait(lambda: probe.exists(cluster, account), _PATIENCE):
        raise ClusterError("the service account of namespace default does not appear")
    node.await_ready(cluster)
    say(f"Cluster {cluster.name} is ready after {since(begin)}")


def parts(cluster: Cluster) -> tuple[str, ...]:
    """The names of the cluster's components."""
    return (*reversed(controlplane.NAMES), *node.parts(cluster.node))


def lives(cluster: Cluster) -> bool:
    """Whether any process of the cluster runs."""
    folder = cluster.folder
    return any(processes.recorded(folder.pid(part)) for part in parts(cluster))


def down(cluster: Cluster) -> None:
    """End every process of the cluster and remove its folder."""
    node.down(cluster)
    for component in controlplane.NAMES:
        launch.end(cluster.folder, component)
    shutil.rmtree(cluster.folder.root)


def _prepare(cluster: Cluster) -> None:
    folder = cluster.folder
    if not (folder.pki / "service-accounts.key").exists():  # the last file that is written
        users.write_tokens(folder)
        _certify(cluster)
    controlplane.write_config(cluster)
    users.write_kubeconfig(folder.kubeconfig, folder, cluster.server, users.PEOPLE)


def _certify(cluster: Cluster) -> None:
    python = venv.python_with("cryptography", "cryptography>=50")
    command = [str(python), "-m", "localcluster.pki", str(cluster.folder.pki)]
    addresses = ["127.0.0.1", cluster.slot.service_address, cluster.slot.gateway]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    subprocess.run([*command, *addresses], check=True, env=environment)
