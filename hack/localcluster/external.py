"""Clusters that others made: known by a kubeconfig, never changed, only forgotten."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import kubectl
from .errors import ClusterError
from .state import Cluster


def up(cluster: Cluster) -> None:
    """Keep a kubeconfig of one context, and check that the cluster answers."""
    source = Path(cluster.kubeconfig)
    if not source.is_file():
        raise ClusterError(f"there is no kubeconfig {source}")
    context = [f"--context={cluster.context}"] if cluster.context else []
    view = ("config", "view", "--minify", "--flatten", "--output=json")
    content = kubectl.run(source, *view, *context)
    cluster.folder.kubeconfig.touch(mode=0o600)
    cluster.folder.kubeconfig.write_text(content)
    kubectl.run(cluster.folder.kubeconfig, "get", "--raw=/readyz", "--request-timeout=10s")


def down(cluster: Cluster) -> None:
    """Forget the cluster."""
    shutil.rmtree(cluster.folder.root)
