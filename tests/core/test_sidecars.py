from __future__ import annotations

import pytest

from observatory.api.taskstatus import FailureClass
from observatory.api.types import JsonObject
from observatory.core.model import PodWait
from observatory.core.pods import observe
from tests.core.builders import NOW
from tests.core.test_pods import TIME, container, on_node, stored

ENDED: JsonObject = {"terminated": {"exitCode": 0, "finishedAt": TIME}}
RUNS: JsonObject = {"running": {"startedAt": TIME}}


def containers(task: JsonObject, other: JsonObject) -> JsonObject:
    states = {"proxy": other, "task": task}
    return {"containerStatuses": [{"name": name, "state": state} for name, state in states.items()]}


@pytest.mark.parametrize(
    ("phase", "other"),
    [("Running", RUNS), ("Pending", {"waiting": {"reason": "ImagePullBackOff"}}), ("Running", {})],
)
def test_a_container_that_does_not_end_with_the_tasks_own_is_named(
    phase: str, other: JsonObject
) -> None:
    seen = observe(on_node(stored({"phase": phase} | containers(ENDED, other))))

    text = (
        'Container "proxy" runs on after the task\'s own ended with exit code 0: '
        "only a native sidecar ends with it"
    )
    assert (seen.outcome, seen.wait) == (
        None,
        PodWait("SidecarRunning", text, NOW, hard=False),
    )


def test_a_container_beside_a_running_task_is_no_wait() -> None:
    for other in (RUNS, ENDED):
        assert observe(on_node(stored({"phase": "Running"} | containers(RUNS, other)))).wait is None


def test_a_native_sidecar_that_has_not_ended_yet_is_no_wait() -> None:
    native = {"initContainerStatuses": [{"name": "proxy", "state": RUNS}]}
    status = {"phase": "Running"} | container(**ENDED) | native

    # `container` has another one, of whose state nobody has said anything.
    status["containerStatuses"] = status["containerStatuses"][1:]

    assert observe(on_node(stored(status))).wait is None


def test_a_pod_that_another_container_failed_is_no_lost_node() -> None:
    other = {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": TIME}}
    outcome = observe(on_node(stored({"phase": "Failed"} | containers(ENDED, other)))).outcome

    assert outcome
    assert (outcome.succeeded, outcome.exit_code) == (False, 0)
    assert (outcome.reason, outcome.class_) == ("SidecarFailed", FailureClass.APPLICATION_ERROR)
    assert outcome.message == 'Container "proxy" ended with exit code 1: Error'


def test_an_injected_init_container_that_failed_is_named() -> None:
    init = {"terminated": {"exitCode": 7, "message": "no iptables", "finishedAt": TIME}}
    status = {
        "phase": "Failed",
        "initContainerStatuses": [{"name": "setup", "state": init}],
        "containerStatuses": [
            {"name": "task", "state": {"waiting": {"reason": "PodInitializing"}}}
        ],
    }
    outcome = observe(on_node(stored(status))).outcome

    assert outcome
    assert (outcome.reason, outcome.class_) == (
        "InitContainerFailed",
        FailureClass.APPLICATION_ERROR,
    )
    assert outcome.message == 'Container "setup" ended with exit code 7: no iptables'


def test_the_tasks_own_failure_comes_before_that_of_another_container() -> None:
    failed = {"terminated": {"exitCode": 3, "reason": "Error", "finishedAt": TIME}}
    outcome = observe(on_node(stored({"phase": "Failed"} | containers(failed, failed)))).outcome

    assert outcome
    assert (outcome.reason, outcome.exit_code) == ("Error", 3)


def test_a_container_whose_end_was_made_up_is_lost_whatever_another_one_did() -> None:
    lost = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "finishedAt": TIME}}
    outcome = observe(on_node(stored({"phase": "Failed"} | containers(lost, lost)))).outcome

    assert outcome
    assert (outcome.reason, outcome.class_) == ("ContainerStatusUnknown", FailureClass.NODE_LOST)
