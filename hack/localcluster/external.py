"""Clusters that others made: known by a kubeconfig, never changed, only forgotten."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import kubectl
from .errors import ClusterError
from .state import Cluster


def check(cluster: Cluster) -> None:
    """Raise unless the kubeconfig that was given is there and its cluster answers."""
    source = Path(cluster.kubeconfig)
    if not source.is_file():
        raise ClusterError(f"there is no kubeconfig {source}")
    kubectl.run(source, "get", "--raw=/readyz", "--request-timeout=10s", *_context(cluster))


def up(cluster: Cluster) -> None:
    """Keep a kubeconfig of one context, and check that the cluster answers."""
    check(cluster)
    view = ("config", "view", "--minify", "--flatten", "--output=json")
    content = kubectl.run(Path(cluster.kubeconfig), *view, *_context(cluster))
    cluster.folder.kubeconfig.touch(mode=0o600)
    cluster.folder.kubeconfig.write_text(content)


def down(cluster: Cluster) -> None:
    """Forget the cluster."""
    shutil.rmtree(cluster.folder.root)


def _context(cluster: Cluster) -> list[str]:
    return [f"--context={cluster.context}"] if cluster.context else []
