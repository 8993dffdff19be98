"""Tasks whose Pods a service mesh has put a container into, on a real kubelet."""

from __future__ import annotations

import pytest

from e2e.test_failures import shell, waiting, workflow
from tests.support.cluster import Cluster, Operator, eventually
from tests.support.injection import classic, injected, native

pytestmark = pytest.mark.e2e

ON = ("sh", "-c", "trap 'exit 0' TERM; while true; do sleep 1; done")


def test_a_native_sidecar_ends_with_the_task(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    with injected(cluster, namespace, native(*ON)):
        cluster.apply(workflow(namespace, shell("a", "echo a"), shell("b", "echo b", "a")))
        status = cluster.wait_complete(namespace, "failing")
    assert (status["phase"], status["progress"]) == ("Succeeded", "2/2")


def test_a_classic_one_holds_the_task_which_says_so_until_its_deadline(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    task = shell("a", "echo done", attemptDeadlineSeconds=30)
    with injected(cluster, namespace, classic(*ON)):
        cluster.apply(workflow(namespace, task))
        told = eventually(
            lambda: waiting(cluster, namespace), lambda waits: "SidecarRunning" in waits
        )
    assert told["SidecarRunning"].startswith(
        'Container "proxy" runs on after the task\'s own ended'
    )
    status = cluster.wait_complete(namespace, "failing")
    assert (status["failure"]["class"], status["failure"]["reason"]) == (
        "Timeout",
        "DeadlineExceeded",
    )


def test_one_that_fails_is_named_and_the_node_is_not_blamed(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    with injected(cluster, namespace, classic("sh", "-c", "sleep 2; exit 7")):
        cluster.apply(workflow(namespace, shell("a", "echo done")))
        status = cluster.wait_complete(namespace, "failing")
    failure = status["failure"]
    assert (failure["class"], failure["reason"]) == ("ApplicationError", "SidecarFailed")
    assert failure["message"].startswith('Container "proxy" ended with exit code 7')
    assert len(cluster.get("pods", "-n", namespace)["items"]) == 1
