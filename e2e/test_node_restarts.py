"""Promise 1 while the programs of the node are killed: kubelet, containerd, and all at once."""

from __future__ import annotations

from collections import Counter
from itertools import cycle, islice
from pathlib import Path

import pytest

from e2e import ledger
from e2e.node import Node
from e2e.workflows import Shape, await_nothing_held, of_shape, phases, pods, rows, workflow
from tests.support.cluster import Cluster, JsonObject, Operator, eventually

pytestmark = pytest.mark.e2e

CHAIN: Shape = {"long": (), "a": (), "b": ("a",), "c": ("b",), "last": ("c", "long")}
CHAINS: Shape = {
    f"{chain}{place}": (f"{chain}{place - 1}",) if place else ()
    for chain in "abcd"
    for place in range(4)
}
AT_ONCE = 0.02
"""A look every so many seconds is quicker than the kubelet, which looks once a second."""


def await_line(folder: Path, what: str, *tasks: str) -> None:
    eventually(lambda: ledger.wrote(folder, what, *tasks), bool, pause=AT_ONCE)


def await_running(cluster: Cluster, namespace: str, *tasks: str) -> None:
    """Wait until the kubelet has said so: no kill can hit the start of these containers then."""

    def running() -> set[str]:
        return {
            task
            for task, pod in pods(cluster, namespace).items()
            for container in pod["status"].get("containerStatuses", ())
            if "running" in container["state"]
        }

    eventually(running, lambda seen: seen >= set(tasks))


def assert_all_ran_once(status: JsonObject, folder: Path, shape: Shape) -> None:
    assert status["phase"] == "Succeeded", status["message"]
    assert ledger.starts(folder) == Counter(dict.fromkeys(shape, 1))
    assert not ledger.broken(ledger.lines(folder), shape)


def assert_status_and_ledger_agree(status: JsonObject, folder: Path, shape: Shape) -> None:
    """Whatever became of the tasks, nothing ran twice, too early, or without being told."""
    assert not ledger.broken(ledger.lines(folder), shape)
    started, ended = ledger.starts(folder), ledger.ends(folder)
    for name, row in rows(status).items():
        assert row["phase"] in ("Succeeded", "Failed", "Skipped"), row
        if row["phase"] == "Succeeded":
            assert (started[name], ended[name]) == (1, 1), row
        if row["phase"] == "Failed":
            assert row["reason"], row
        if row["phase"] == "Skipped":
            assert not started[name], row


def test_a_kubelet_killed_while_tasks_run_and_between_them_loses_nothing(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path, node: Node
) -> None:
    cluster.apply(of_shape(namespace, "restarted", CHAIN, seconds=2))

    await_running(cluster, namespace, "a", "long")
    node.restart("kubelet")
    await_line(folder, "end", "a")  # it has ended, and nobody has told of it yet
    node.restart("kubelet")
    # Another operator that believes to lead changes nothing about it.
    with cluster.operator("--namespace", namespace, log=folder / "second.log"):
        for task in ("b", "c"):
            await_line(folder, "end", task)
            node.restart("kubelet")
        status = cluster.wait_complete(namespace, "restarted")

    assert_all_ran_once(status, folder, CHAIN)
    await_nothing_held(cluster, namespace)


def test_containers_outlive_containerd_and_their_ends_are_told(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path, node: Node
) -> None:
    cluster.apply(of_shape(namespace, "survivor", CHAIN, seconds=2))

    for running in (("a", "long"), ("b",)):
        await_running(cluster, namespace, *running)
        with node.without("containerd"):
            await_line(folder, "end", *running)

    assert_all_ran_once(cluster.wait_complete(namespace, "survivor"), folder, CHAIN)
    await_nothing_held(cluster, namespace)


def test_whatever_is_killed_and_whenever_nothing_starts_twice(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path, node: Node
) -> None:
    """A kill may hit a container that is being started, and fail it: once, and told."""
    cluster.apply(of_shape(namespace, "chaos", CHAINS, seconds=0.5))
    seen: tuple[bool, object] = (False, None)

    def look() -> tuple[bool, object]:
        states = {
            task: (pod["status"].get("phase"), pod["spec"].get("nodeName"))
            for task, pod in pods(cluster, namespace).items()
        }
        status = cluster.status(namespace, "chaos")
        return "completionTime" in status, (phases(status), states)

    for part in islice(cycle(("kubelet", "containerd", "operator")), 6):
        before = seen
        seen = eventually(look, lambda now: now != before or now[0], pause=AT_ONCE)  # noqa: B023
        operator.kill()
        if part != "operator":
            node.restart(part)
        operator.restart()

    status = cluster.wait_complete(namespace, "chaos")

    assert_status_and_ledger_agree(status, folder, CHAINS)
    await_nothing_held(cluster, namespace)


def test_a_node_that_loses_its_power_fails_what_ran_and_starts_none_of_it_again(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path, node: Node
) -> None:
    shape: Shape = {"before": (), "during": ("before",), "after": ("during",)}
    tasks = [ledger.task(name, *needs, seconds=1) for name, needs in shape.items()]
    tasks[1] = ledger.task("during", "before", seconds=600)
    cluster.apply(workflow(namespace, "power", *tasks))
    await_line(folder, "start", "during")
    # Only what the kubelet has reported is known to anybody after the power has gone.
    await_running(cluster, namespace, "during")

    node.restart("sandbox")  # every process of the node, and every container

    status = cluster.wait_complete(namespace, "power")
    assert phases(status) == {"before": "Succeeded", "during": "Failed", "after": "Skipped"}
    failure = status["failure"]
    assert (failure["task"], failure["reason"]) == ("during", "ContainerStatusUnknown")
    assert "exitCode" not in failure
    assert_status_and_ledger_agree(status, folder, shape)
    await_nothing_held(cluster, namespace)
