from __future__ import annotations

import pytest

from observatory.api.types import JsonObject
from observatory.core.model import PodWait
from observatory.core.pods import observe
from tests.core.builders import NOW
from tests.core.test_pods import TIME, container, on_node, stored, terminated

EVICTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}


def going(status: JsonObject) -> JsonObject:
    """A Pod that is being deleted, as evicted ones are."""
    pod = on_node(stored(status))
    return pod | {"metadata": pod["metadata"] | {"deletionTimestamp": TIME}}


def test_what_ended_a_pod_for_the_cluster_is_its_cause_and_not_the_signal_that_followed() -> None:
    ended = terminated("Failed", 143, reason="Error", message="stopped")

    outcome = observe(going(ended | {"conditions": [EVICTED]})).outcome
    silent = observe(going({"phase": "Failed", "conditions": [EVICTED]})).outcome
    spared = observe(
        on_node(stored(ended | {"conditions": [EVICTED | {"status": "False"}]}))
    ).outcome

    assert outcome
    assert (outcome.reason, outcome.message) == ("EvictionByEvictionAPI", "stopped")
    assert (outcome.exit_code, outcome.signal) == (143, 15)
    assert silent
    assert (silent.reason, silent.message) == ("EvictionByEvictionAPI", "Eviction API: evicting")
    assert spared
    assert spared.reason == "Error"


@pytest.mark.parametrize(("reason", "code"), [("ContainerStatusUnknown", 137), ("Unknown", 255)])
def test_an_exit_code_that_was_made_up_is_not_told(reason: str, code: int) -> None:
    lost = terminated("Failed", code, reason=reason, message="could not be located")

    outcome = observe(on_node(stored(lost))).outcome
    drained = observe(going(lost | {"conditions": [EVICTED]})).outcome

    assert outcome
    assert (outcome.exit_code, outcome.signal) == (None, None)
    assert (outcome.reason, outcome.message) == ("ContainerStatusUnknown", "could not be located")
    assert drained
    assert (drained.reason, drained.message) == ("EvictionByEvictionAPI", EVICTED["message"])


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        ({"reason": "Error", "exitCode": 143, "finishedAt": "2026-01-01T12:00:00Z"}, "PodDeleted"),
        ({"reason": "Error", "exitCode": 3, "finishedAt": "2026-01-01T11:59:59Z"}, "Error"),
        ({"reason": "OOMKilled", "exitCode": 137, "finishedAt": TIME}, "OOMKilled"),
        ({"reason": "ContainerStatusUnknown", "exitCode": 137, "finishedAt": None}, "PodDeleted"),
    ],
)
def test_a_container_that_ended_after_its_pod_was_deleted_ended_by_that(
    ended: JsonObject, reason: str
) -> None:
    # The timestamp is when the grace ends, not when it began.
    deletion = {"deletionTimestamp": "2026-01-01T12:00:30Z", "deletionGracePeriodSeconds": 30}
    pod = on_node(stored({"phase": "Failed"} | container(terminated=ended), **deletion))

    outcome = observe(pod).outcome

    assert outcome
    assert outcome.reason == reason


def test_a_grace_of_any_length_is_taken() -> None:
    deletion = {"deletionTimestamp": TIME, "deletionGracePeriodSeconds": 10**18}

    outcome = observe(
        on_node(stored(terminated("Failed", 143, reason="Error"), **deletion))
    ).outcome

    assert outcome
    assert outcome.reason == "PodDeleted"


def conditions(ready: JsonObject, containers: str) -> JsonObject:
    told = {"type": "Ready", "lastTransitionTime": TIME} | ready
    return {"conditions": [told, {"type": "ContainersReady", "status": containers}]}


def test_a_pod_waits_for_a_node_that_is_not_heard_of() -> None:
    running = {"phase": "Running"} | container(running={"startedAt": TIME})

    silent = observe(on_node(stored(running | conditions({"status": "False"}, "True")))).wait

    assert silent == PodWait("NodeNotReady", 'Nothing is heard of node "node-1"', NOW, hard=False)


@pytest.mark.parametrize(
    ("ready", "containers"),
    [
        ({"status": "True"}, "True"),
        ({"status": "False"}, "False"),
        ({"status": "False", "reason": "ReadinessGatesNotReady"}, "True"),
    ],
)
def test_what_the_kubelet_says_itself_is_heard(ready: JsonObject, containers: str) -> None:
    running = {"phase": "Running"} | container(running={"startedAt": TIME})

    assert observe(on_node(stored(running | conditions(ready, containers)))).wait is None
