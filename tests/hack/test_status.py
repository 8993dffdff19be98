from __future__ import annotations

import json

import pytest
from localcluster import state, status
from localcluster.state import Backend, Cluster, Node


def test_columns_are_as_wide_as_their_longest_cell() -> None:
    assert status.table([("A", "B"), ("long", "x"), ("s", "y")]) == "A      B\nlong   x\ns      y"


def test_a_cluster_without_processes_is_broken_in_every_part() -> None:
    found = status.look(Cluster("one", node=Node.KUBELET))
    assert found.state == "broken"
    assert {part.name for part in found.parts} >= {"etcd", "kubelet", "sandbox"}
    assert {(part.state, part.pid) for part in found.parts} == {("dead", None)}


def test_json_says_what_the_text_says() -> None:
    cluster = Cluster("one", Backend.LOCAL, Node.KWOK, nodes=3, audit=True)
    state.save(cluster)
    found = status.look(cluster)
    content = json.loads(status.as_json(found))
    text = status.details(found)
    for key in ("name", "backend", "server", "kubeconfig", "audit_log"):
        assert content[key] in text
    assert "3 x kwok" in text
    assert content["contexts"]["alice"] == ["editors"]
    assert [entry["name"] for entry in json.loads(status.as_json([found]))] == ["one"]


@pytest.mark.parametrize(("node", "count"), [(Node.NONE, 0), (Node.KUBELET, 1), (Node.KWOK, 3)])
def test_the_nodes_are_those_that_there_are(node: Node, count: int) -> None:
    asked = 3 if node is Node.KWOK else 1
    assert status.look(Cluster("one", node=node, nodes=asked)).nodes == count
