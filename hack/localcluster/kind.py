"""Clusters in Docker, made by kind: https://kind.sigs.k8s.io.

The pinned kind is used even where there is another one, because it decides the Kubernetes version.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile

from . import build, kubectl
from .console import say
from .errors import ClusterError
from .state import Cluster


def docker_runs() -> bool:
    """Whether a Docker daemon answers."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    server = [docker, "version", "--format={{.Server.Version}}"]  # fails when there is none
    return subprocess.run(server, capture_output=True, check=False).returncode == 0


def up(cluster: Cluster) -> None:
    """Create the cluster unless it answers; one that does not answer is made anew."""
    kubeconfig = cluster.folder.kubeconfig
    if kubeconfig.exists() and kubectl.answers(kubeconfig):
        say(f"Cluster {cluster.name} is ready")
        return
    _kind("delete", "cluster", f"--name={_name(cluster)}", f"--kubeconfig={kubeconfig}")
    say("Creating a cluster with kind: a few minutes when its image must be downloaded")
    arguments = (f"--name={_name(cluster)}", f"--kubeconfig={kubeconfig}", "--wait=5m")
    _kind("create", "cluster", *arguments)


def down(cluster: Cluster) -> None:
    """Delete the cluster."""
    kubeconfig = f"--kubeconfig={cluster.folder.kubeconfig}"
    _kind("delete", "cluster", f"--name={_name(cluster)}", kubeconfig)
    shutil.rmtree(cluster.folder.root)


def load(cluster: Cluster, archive: bytes) -> None:
    """Put an image archive into the cluster's node."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(archive)
        file.flush()
        _kind("load", "image-archive", file.name, f"--name={_name(cluster)}")


def _name(cluster: Cluster) -> str:
    return f"observatory-{cluster.name}"


def _kind(*arguments: str) -> None:
    program = build.ensure([build.KIND]) / "kind"
    if subprocess.run([program, *arguments], stdout=2, check=False).returncode:
        raise ClusterError(f"kind {' '.join(arguments)} failed; it says why above")
