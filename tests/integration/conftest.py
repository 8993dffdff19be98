"""A real control plane with fake nodes, shared by all tests of this folder."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.account import Account, make_account, remove_accounts
from tests.integration.workflows import Runs, install_wishes
from tests.support.cluster import Cluster, Operator, made_cluster

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with made_cluster("integration", "--kwok", "--audit") as made:
        install_wishes(made)
        yield made


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own. One of an earlier session may still be ending."""
    with cluster.namespace(f"test-{os.getpid()}-{next(_numbers)}") as made:
        yield made


@pytest.fixture
def operator(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Operator]:
    """An operator for the test's namespace. It must not crash, whatever the test does."""
    with cluster.operator("--namespace", namespace, log=tmp_path / "operator.log") as started:
        yield started
    crashes = [line for line in started.lines() if line["msg"] == "Reconcile crashed"]
    assert not crashes
    assert started.process.returncode == 0


@pytest.fixture
def runs(cluster: Cluster, namespace: str, operator: Operator) -> Runs:
    """The Observatories of the test's namespace, with an operator at work."""
    assert operator.process.poll() is None
    return Runs(cluster, namespace)


@pytest.fixture
def account(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Account]:
    """Somebody with the operator's rights in the test's namespace, and no others."""
    yield make_account(cluster, namespace, tmp_path)
    remove_accounts(cluster, namespace)
