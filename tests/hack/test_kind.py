"""What kind is told to do; a script stands in for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from localcluster import build, kind, state
from localcluster.errors import ClusterError
from localcluster.state import Backend, Cluster, Node

CLUSTER = Cluster("one", Backend.KIND, Node.KUBELET)


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """The file that the stand-in writes its arguments to."""
    calls = tmp_path / "calls"
    program = build.folder() / "kind"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\ntest "$1" != load\n')
    program.chmod(0o755)
    state.save(CLUSTER)
    return calls


def test_what_is_left_is_removed_before_a_cluster_is_created(calls: Path) -> None:
    kind.up(CLUSTER)
    first, second = calls.read_text().splitlines()
    kubeconfig = f"--kubeconfig={CLUSTER.folder.kubeconfig}"
    assert first.split() == ["delete", "cluster", "--name=observatory-one", kubeconfig]
    assert second.split()[:4] == ["create", "cluster", "--name=observatory-one", kubeconfig]


def test_a_cluster_is_deleted_and_forgotten(calls: Path) -> None:
    kind.down(CLUSTER)
    assert calls.read_text().startswith("delete cluster --name=observatory-one")
    assert state.load("one") is None


@pytest.mark.usefixtures("calls")
def test_a_refusal_is_an_error() -> None:
    with pytest.raises(ClusterError, match=r"kind load image-archive .* failed"):
        kind.load(CLUSTER, b"archive")
