"""Promise 1 with real containers: whatever happens to the operator, a task runs once."""

from __future__ import annotations

from collections import Counter
from functools import partial
from operator import ne
from pathlib import Path

import pytest

from e2e import ledger
from tests.support.cluster import Cluster, JsonObject, Operator, eventually

pytestmark = pytest.mark.e2e

SHAPE = {
    "a": (),
    "b": ("a",),
    "c": ("a",),
    "d": ("b", "c"),
    "e": ("d",),
    "f": ("d",),
    "g": ("e", "f"),
}
ONCE = Counter(dict.fromkeys(SHAPE, 1))


def workflow(namespace: str, name: str) -> JsonObject:
    return {
        "apiVersion": "workflow.seventh-horizon.io/v1alpha1",
        "kind": "Observatory",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "tasks": [ledger.task(name, *needs) for name, needs in SHAPE.items()],
            "podRetention": "All",
        },
    }


def sight(cluster: Cluster, namespace: str, name: str) -> tuple[object, ...]:
    """What can be seen of a run, to notice that something has happened."""
    status = cluster.status(namespace, name)
    rows = tuple((row["name"], row["phase"]) for row in status.get("tasks", ()))
    pods = tuple(
        (
            pod["metadata"]["name"],
            pod["status"].get("phase"),
            bool(pod["spec"].get("schedulingGates")),
            bool(pod["metadata"].get("finalizers")),
        )
        for pod in cluster.get("pods", "-n", namespace)["items"]
    )
    return (rows, pods)


def test_kill_ten_times(cluster: Cluster, namespace: str, operator: Operator, folder: Path) -> None:
    cluster.apply(workflow(namespace, "killed"))
    seen: tuple[object, ...] = ()

    def look() -> tuple[object, ...]:
        return sight(cluster, namespace, "killed")

    for _ in range(10):
        # Kill it right after each change: between any two writes, sooner or later.
        seen = eventually(look, partial(ne, seen), pause=0.02)
        operator.kill()
        operator.restart()

    status = cluster.wait_complete(namespace, "killed")

    assert status["phase"] == "Succeeded"
    assert ledger.starts(folder) == ONCE
    assert not ledger.broken(ledger.lines(folder), SHAPE)


def test_a_second_operator_while_the_first_is_paused(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path, tmp_path: Path
) -> None:
    cluster.apply(workflow(namespace, "paused"))
    eventually(lambda: progress(cluster, namespace, "paused"), lambda done: done >= 1)
    operator.pause()
    paused_at = progress(cluster, namespace, "paused")
    with cluster.operator("--namespace", namespace, log=tmp_path / "second.log"):
        eventually(lambda: progress(cluster, namespace, "paused"), lambda done: done > paused_at)
        operator.go_on()  # it goes on where it was, with what it knew then
        status = cluster.wait_complete(namespace, "paused")

    assert paused_at < len(SHAPE), "it was paused too late to prove anything"
    assert status["phase"] == "Succeeded"
    assert ledger.starts(folder) == ONCE
    assert not ledger.broken(ledger.lines(folder), SHAPE)


def progress(cluster: Cluster, namespace: str, name: str) -> int:
    """How many tasks have succeeded."""
    return int(cluster.status(namespace, name).get("progress", "0/0").partition("/")[0])
