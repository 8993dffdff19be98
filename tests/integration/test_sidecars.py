"""Containers that admission injects into the Pods of tasks, as service meshes do."""

from __future__ import annotations

import json

import pytest

from tests.integration.workflows import Runs, task
from tests.support.cluster import Cluster, JsonObject, eventually
from tests.support.injection import classic, injected, native

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("expression", [classic(), native()], ids=["classic", "native"])
def test_a_run_with_an_injected_container_succeeds_where_that_one_ends(
    cluster: Cluster, runs: Runs, expression: str
) -> None:
    with injected(cluster, runs.namespace, expression):
        runs.apply("meshed", task("a"), task("b", "a"))
        status = runs.end("meshed")
    assert (status["phase"], status["progress"]) == ("Succeeded", "2/2")
    spec = runs.pod("meshed", "a")["spec"]
    assert len(spec["containers"]) + len(spec.get("initContainers", ())) == 2


def test_an_injected_container_that_runs_on_is_told_and_its_end_is_the_tasks(
    cluster: Cluster, runs: Runs
) -> None:
    with injected(cluster, runs.namespace, classic()):
        runs.apply("meshed", task("a", hold=True))
        pod = runs.running("meshed", "a")
    own_end = [
        {**each, "state": ended_since(each)} if each["name"] == "task" else each
        for each in pod["status"]["containerStatuses"]
    ]
    tell(runs, pod, {"containerStatuses": own_end})
    status = eventually(
        lambda: runs.status("meshed"), lambda status: "SidecarRunning" in str(status)
    )
    (wait,) = status["waitingFor"]
    assert (wait["reason"], wait["tasks"]) == ("SidecarRunning", 1)
    assert runs.rows("meshed")["a"]["message"].startswith('Container "proxy" runs on after')
    assert "SidecarRunning" in runs.row_of_get("meshed")

    ends = [{**each, "state": ended_since(each)} for each in pod["status"]["containerStatuses"]]
    tell(runs, pod, {"phase": "Succeeded", "containerStatuses": ends})
    assert runs.end("meshed")["phase"] == "Succeeded"


def test_an_injected_container_that_fails_the_pod_fails_the_task_and_is_named(
    cluster: Cluster, runs: Runs
) -> None:
    with injected(cluster, runs.namespace, classic()):
        runs.apply("meshed", task("a", hold=True))
        pod = runs.running("meshed", "a")
    ends = [
        {**each, "state": ended_since(each, 0 if each["name"] == "task" else 1)}
        for each in pod["status"]["containerStatuses"]
    ]
    tell(runs, pod, {"phase": "Failed", "containerStatuses": ends})
    row = runs.end("meshed")["tasks"][0]
    assert (row["phase"], row["reason"], row["class"]) == (
        "Failed",
        "SidecarFailed",
        "ApplicationError",
    )
    assert 'Container "proxy" ended with exit code 1' in row["message"]


def ended_since(container: JsonObject, code: int = 0) -> JsonObject:
    """A container that has run for no time."""
    started = container["state"]["running"]["startedAt"]
    return {"terminated": {"exitCode": code, "startedAt": started, "finishedAt": started}}


def tell(runs: Runs, pod: JsonObject, status: JsonObject) -> None:
    """Write a Pod's status, as its kubelet does."""
    patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    runs.kubectl("patch", "pod", pod["metadata"]["name"], *patch)
