"""A cluster with real containers, shared by all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import ledger
from e2e.node import Node
from tests.support.cluster import Cluster, Operator, made_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with made_cluster("e2e", "--kubelet", "--audit") as made:
        yield made


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace called after the test."""
    name = request.node.name.replace("_", "-").split("[")[0][:63].rstrip("-")
    with cluster.namespace(name) as made:
        yield made


@pytest.fixture
def operator(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Operator]:
    """An operator for the test's namespace."""
    with cluster.operator("--namespace", namespace, log=tmp_path / "operator.log") as started:
        yield started


@pytest.fixture
def folder(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Path]:
    """A folder of the node in which every task of the namespace keeps the ledger."""
    if cluster.audit_log is None:
        pytest.skip("the node of a foreign cluster cannot be looked into")
    with ledger.kept(cluster, namespace, tmp_path):
        yield tmp_path


@pytest.fixture
def node(cluster: Cluster) -> Iterator[Node]:
    """The node, to break it; it is whole again after the test."""
    found = Node.of(cluster)
    if found is None:
        pytest.skip("this node is no process of ours: faults on it cannot be made from here")
    try:
        yield found
    finally:
        found.heal()
