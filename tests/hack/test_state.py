from __future__ import annotations

from pathlib import Path

import pytest
from localcluster import state
from localcluster.errors import ClusterError
from localcluster.slot import Slot
from localcluster.state import Backend, Cluster, Node


def test_a_cluster_is_read_as_it_was_written() -> None:
    cluster = Cluster("one", Backend.LOCAL, Node.KWOK, nodes=7, slot=Slot(3), audit=True)
    state.save(cluster)
    assert state.load("one") == cluster


def test_a_cluster_that_was_never_written_is_none() -> None:
    assert state.load("one") is None


def test_all_clusters_are_found_by_name() -> None:
    for name in ("two", "one"):
        state.save(Cluster(name))
    assert [cluster.name for cluster in state.load_all()] == ["one", "two"]


def test_only_its_owner_may_read_a_cluster() -> None:
    state.save(Cluster("one"))
    assert Cluster("one").folder.root.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["", "A", "../x", "a_b", "-a", "a-", "x" * 31])
def test_names_that_would_not_do_in_paths_are_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="cannot be the name"):
        state.check_name(name)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "one", "surprise": 1}'])
def test_a_file_that_cannot_be_read_is_named(cache_home: Path, text: str) -> None:
    path = cache_home / "clusters" / "one" / "cluster.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(ClusterError, match=r"cluster\.json cannot be read"):
        state.load("one")
