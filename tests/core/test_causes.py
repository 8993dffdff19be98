"""Each end of a Pod has one class: Pods as the API server has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.taskstatus import FailureClass
from observatory.api.types import JsonObject
from observatory.core.pods import UNREADABLE, observe
from tests.core.test_pods import TIME, on_node, stored, terminated

DELETING = {"deletionTimestamp": TIME, "deletionGracePeriodSeconds": 0}


def target(reason: str, status: str = "True") -> JsonObject:
    condition = {"type": "DisruptionTarget", "status": status, "reason": reason, "message": "why"}
    return {"conditions": [condition]}


def kubelet(reason: str, message: str = "why") -> JsonObject:
    """What the kubelet writes about a Pod that it doesn't take, or ends itself."""
    return {"phase": "Failed", "reason": reason, "message": message}


EXIT_143 = terminated("Failed", 143, reason="Error")
OOM = terminated("Failed", 137, reason="OOMKilled")
FORGOTTEN = terminated("Failed", 137, reason="ContainerStatusUnknown")

ENDS = [
    ("exit code", terminated("Failed", 3, reason="Error"), False, "ApplicationError"),
    ("signal", terminated("Failed", 137, reason="Error"), False, "ApplicationError"),
    ("no such program", terminated("Failed", 128, reason="StartError"), False, "ApplicationError"),
    ("out of memory", OOM, False, "OutOfMemory"),
    ("evicted, and by that over its memory", OOM | target("EvictionByEvictionAPI"), True,
     "Disruption"),
    ("kubelet's deadline", EXIT_143 | kubelet("DeadlineExceeded"), False, "Timeout"),
    ("eviction API", EXIT_143 | target("EvictionByEvictionAPI"), True, "Disruption"),
    ("preempted", EXIT_143 | target("PreemptionByScheduler"), True, "Disruption"),
    ("drained by a taint", EXIT_143 | target("DeletionByTaintManager"), True, "Disruption"),
    ("node pressure", kubelet("Evicted") | target("TerminationByKubelet"), False, "Disruption"),
    ("own storage", kubelet("Evicted"), False, "ApplicationError"),
    ("node shut down", kubelet("Terminated") | target("TerminationByKubelet"), False, "Disruption"),
    ("node shut down, long ago", kubelet("NodeShutdown"), False, "Disruption"),
    ("critical Pod", kubelet("Preempting") | target("TerminationByKubelet"), False, "Disruption"),
    ("no cpu left", kubelet("OutOfcpu"), False, "Disruption"),
    ("no Pods left", kubelet("OutOfpods"), False, "Disruption"),
    ("labels of the node", kubelet("NodeAffinity"), False, "Disruption"),
    ("device", kubelet("UnexpectedAdmissionError"), False, "Disruption"),
    ("node is gone", {"phase": "Failed"} | target("DeletionByPodGC"), True, "NodeLost"),
    ("node is gone, and it had ended", EXIT_143 | target("DeletionByPodGC"), True, "Disruption"),
    ("tainted and unheard of", {"phase": "Failed"} | target("DeletionByTaintManager"), True,
     "NodeLost"),
    ("node lost", kubelet("NodeLost"), False, "NodeLost"),
    ("the node has forgotten it", FORGOTTEN, False, "NodeLost"),
    ("nobody says how", {"phase": "Failed"}, False, "NodeLost"),
    ("deleted by somebody", EXIT_143, True, "Deleted"),
    ("a disruption that was given up", EXIT_143 | target("PreemptionByScheduler"), False,
     "ApplicationError"),
    ("a disruption that was taken back", EXIT_143 | target("EvictionByEvictionAPI", "False"), False,
     "ApplicationError"),
]  # fmt: skip


def pod(status: JsonObject, *, deleting: bool) -> JsonObject:
    made = on_node(stored(status))
    return made | {"metadata": made["metadata"] | (DELETING if deleting else {})}


@pytest.mark.parametrize(
    ("status", "deleting", "class_"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS]
)
def test_each_end_of_a_pod_has_one_class(
    status: JsonObject, class_: str, *, deleting: bool
) -> None:
    outcome = observe(pod(status, deleting=deleting)).outcome

    assert outcome
    assert not outcome.succeeded
    assert outcome.class_ == class_
    assert outcome.reason


def test_exit_code_0_is_a_success_whatever_befell_its_pod() -> None:
    status = terminated("Succeeded", 0) | target("EvictionByEvictionAPI")
    outcome = observe(pod(status, deleting=True)).outcome

    assert outcome
    assert (outcome.succeeded, outcome.class_) == (True, None)


def test_the_conditions_are_there_for_rules() -> None:
    outcome = observe(pod(EXIT_143 | target("EvictionByEvictionAPI"), deleting=True)).outcome

    assert outcome
    assert ("DisruptionTarget", "True") in outcome.conditions


REASONS = st.sampled_from([None, "Evicted", "OutOfmemory", "DeadlineExceeded", "Unheard", ""])
STATUSES = st.fixed_dictionaries(
    {
        "phase": st.sampled_from(["Succeeded", "Failed"]),
        "reason": REASONS,
        "conditions": st.none() | st.text(max_size=5) | st.lists(st.none() | st.integers()),
    }
)
STATES = st.fixed_dictionaries({"reason": REASONS}, optional={"exitCode": st.integers(0, 255)})


@given(STATUSES, STATES, st.booleans())
def test_whatever_ends_has_exactly_one_class_or_has_succeeded(
    status: JsonObject,
    state: JsonObject,
    deleting: bool,  # noqa: FBT001
) -> None:
    container = {"name": "task", "state": {"terminated": state}}
    try:
        made = pod(status | {"containerStatuses": [container]}, deleting=deleting)
        outcome = observe(made).outcome
    except UNREADABLE:
        return
    assert outcome
    assert outcome.succeeded is (outcome.class_ is None)
    assert outcome.class_ is None or outcome.class_ in FailureClass
