from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest

from observatory.api.names import FINALIZER, GATE, LABEL_OBSERVATORY, LABEL_RUN, LABEL_TASK
from observatory.api.types import JsonObject
from observatory.core.causes import MESSAGE_LENGTH
from observatory.core.model import Identity, Outcome, PodWait
from observatory.core.pods import observe, pod_manifest
from tests.core.builders import CHAIN, KEY, NOW, UID, later, program

TIME = "2026-01-01T12:00:00Z"
ATTEMPT = Identity(1, "hash", "a", 1)


def stored(status: JsonObject | None = None, **metadata: object) -> JsonObject:
    """The Pod of an attempt as the API server returns it."""
    pod = deepcopy(pod_manifest(CHAIN, program(CHAIN).tasks[0], ATTEMPT))
    pod["metadata"] |= {"uid": "u", "resourceVersion": "5", "creationTimestamp": TIME} | metadata
    pod["status"] = {"phase": "Pending"} | (status or {})
    return pod


def container(**state: JsonObject) -> JsonObject:
    return {"containerStatuses": [{"name": "sidecar"}, {"name": "task", "state": state}]}


def on_node(pod: JsonObject) -> JsonObject:
    pod["spec"] |= {"nodeName": "node-1", "schedulingGates": []}
    return pod


def terminated(phase: str, code: int, **more: object) -> JsonObject:
    return {"phase": phase} | container(terminated={"exitCode": code, "finishedAt": TIME, **more})


def test_a_new_pod_is_gated_tracked_owned_and_labelled() -> None:
    pod = pod_manifest(CHAIN, program(CHAIN).tasks[0], ATTEMPT)

    assert pod["spec"]["schedulingGates"] == [{"name": GATE}]
    assert pod["metadata"]["finalizers"] == [FINALIZER]
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (UID, True, True)
    assert pod["metadata"]["labels"][LABEL_OBSERVATORY] == KEY.name


def test_a_container_can_gain_nothing_and_leaves_its_last_words() -> None:
    pod = pod_manifest(CHAIN, program(CHAIN).tasks[0], ATTEMPT)

    (task,) = pod["spec"]["containers"]
    assert task["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert task["securityContext"]["allowPrivilegeEscalation"] is False
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}


def test_a_container_is_what_its_task_says_and_no_empty_field() -> None:
    env = {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    task = replace(program(CHAIN).tasks[0], command=("sh", "-c"), args=("true",), env=(env,))

    (full,) = pod_manifest(CHAIN, task, ATTEMPT)["spec"]["containers"]
    (bare,) = pod_manifest(CHAIN, program(CHAIN).tasks[0], ATTEMPT)["spec"]["containers"]

    assert (full["command"], full["args"], full["env"]) == (["sh", "-c"], ["true"], [env])
    assert full["image"] == "busybox:1.36"
    assert not {"command", "args", "env"} & bare.keys()


def test_what_is_created_is_recognised() -> None:
    pod = observe(stored())

    assert pod.identity == ATTEMPT
    assert (pod.gated, pod.tracked, pod.deleting) == (True, True, False)
    assert (pod.owner, pod.owner_uid, pod.version) == ("night", UID, 5)


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {LABEL_TASK: "b"},
        {LABEL_RUN: "2"},
        {LABEL_RUN: "one"},
        {LABEL_RUN: ""},
        {LABEL_RUN: "9" * 63},
    ],
)
def test_labels_that_the_name_does_not_bear_out_identify_nothing(labels: JsonObject) -> None:
    pod = stored()
    pod["metadata"]["labels"] = pod["metadata"]["labels"] | labels if labels else {}

    assert observe(pod).identity is None


def test_a_forged_owner_makes_another_name() -> None:
    pod = stored()
    pod["metadata"]["ownerReferences"][0]["uid"] = "other"

    assert observe(pod).identity is None


@pytest.mark.parametrize(
    "owner", [{"controller": False}, {"kind": "Job"}, {"apiVersion": "batch/v1"}]
)
def test_only_the_controller_reference_to_an_observatory_counts(owner: JsonObject) -> None:
    pod = stored()
    pod["metadata"]["ownerReferences"][0] |= owner

    seen = observe(pod)

    assert (seen.owner_uid, seen.owner, seen.identity) == (None, "night", None)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (terminated("Succeeded", 0), Outcome(succeeded=True, exit_code=0)),
        (terminated("Failed", 3, reason="Error", message="boom"),
         Outcome(succeeded=False, reason="Error", message="boom", exit_code=3)),
        (terminated("Failed", 137, reason="OOMKilled"),
         Outcome(succeeded=False, reason="OOMKilled", exit_code=137, signal=9)),
        (terminated("Failed", 143), Outcome(succeeded=False, reason="Error", exit_code=143,
                                            signal=15)),
        (terminated("Failed", 255), Outcome(succeeded=False, reason="Error", exit_code=255)),
        (terminated("Failed", 137, reason="Error") | {"reason": "Evicted", "message": "disk"},
         Outcome(succeeded=False, reason="Evicted", message="disk", exit_code=137, signal=9)),
        # Whoever says Succeeded without the container's word is not believed.
        ({"phase": "Succeeded"}, Outcome(succeeded=False, reason="ContainerStatusUnknown")),
        (terminated("Failed", 0), Outcome(succeeded=False, reason="ContainerStatusUnknown",
                                          exit_code=0)),
    ],
)  # fmt: skip
def test_how_a_pod_ended(status: JsonObject, outcome: Outcome) -> None:
    seen = observe(on_node(stored(status))).outcome

    assert seen is not None
    assert (seen.succeeded, seen.reason, seen.message) == (
        outcome.succeeded,
        outcome.reason,
        outcome.message,
    )
    assert (seen.exit_code, seen.signal) == (outcome.exit_code, outcome.signal)


@pytest.mark.parametrize("phase", ["Pending", "Running", "Unknown"])
def test_a_container_that_ended_in_a_pod_that_did_not_is_no_outcome(phase: str) -> None:
    assert observe(on_node(stored(terminated(phase, 0)))).outcome is None


def test_a_pod_deleted_before_it_had_a_node_never_ran() -> None:
    outcome = observe(stored(deletionTimestamp=TIME)).outcome

    assert outcome is not None
    assert outcome.reason == "PodDeleted"


def test_a_pod_deleted_on_its_node_may_still_run() -> None:
    pod = observe(on_node(stored({"phase": "Running"}, deletionTimestamp=TIME)))

    assert pod.outcome is None
    assert pod.wait == PodWait("Terminating", None, NOW, hard=False)


def test_of_long_output_the_end_is_kept() -> None:
    long = "é" * 3000 + " the error"
    outcome = observe(on_node(stored(terminated("Failed", 1, message=long)))).outcome

    assert outcome is not None
    assert outcome.message is not None
    assert outcome.message.endswith("the error")
    assert len(outcome.message.encode()) <= MESSAGE_LENGTH


def scheduled_false(reason: str) -> JsonObject:
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": "0/1"}
    return {"conditions": [condition | {"lastTransitionTime": "2026-01-01T12:00:05Z"}]}


@pytest.mark.parametrize(
    ("reason", "told", "hard"),
    [
        ("ErrImagePull", "ImagePull", True),
        ("ImagePullBackOff", "ImagePull", True),
        ("ErrImageNeverPull", "ImagePull", True),
        ("InvalidImageName", "InvalidImageName", True),
        ("CreateContainerConfigError", "CreateContainerConfigError", True),
        ("CreateContainerError", "CreateContainerError", True),
        ("RunContainerError", "RunContainerError", True),
        ("ContainerCreating", "ContainerCreating", False),
        ("PodInitializing", "PodInitializing", False),
    ],
)
def test_why_a_container_does_not_run(reason: str, told: str, *, hard: bool) -> None:
    waits = container(waiting={"reason": reason, "message": "x" * 5000})

    wait = observe(on_node(stored(waits))).wait

    assert wait is not None
    assert (wait.reason, wait.hard, wait.since) == (told, hard, NOW)
    assert len(wait.message or "") == MESSAGE_LENGTH


def test_an_unschedulable_pod_waits_since_the_scheduler_said_so() -> None:
    pod = stored(scheduled_false("Unschedulable"))
    pod["spec"]["schedulingGates"] = []

    assert observe(pod).wait == PodWait("Unschedulable", "0/1", later(5), hard=False)


def test_the_gate_of_somebody_else_is_a_wait() -> None:
    pod = stored(scheduled_false("SchedulingGated"))
    pod["spec"]["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}]

    seen = observe(pod)

    assert not seen.gated
    assert seen.wait is not None
    assert seen.wait.reason == "SchedulingGated"


@pytest.mark.parametrize(("node", "told"), [(None, "Scheduling"), ("n", "ContainerCreating")])
def test_a_pod_that_nobody_cares_for_waits_too(node: str | None, told: str) -> None:
    pod = stored(scheduled_false("SchedulingGated") if node is None else None)
    pod["spec"] |= {"schedulingGates": [], "nodeName": node}

    assert observe(pod).wait == PodWait(told, None, NOW, hard=False)


def test_a_pod_that_runs_waits_for_nothing() -> None:
    running = {"phase": "Running"} | container(running={"startedAt": TIME})

    assert observe(on_node(stored(running))).wait is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("metadata", "uid"), ["u"]),
        (("metadata", "namespace"), {}),
        (("spec", "nodeName"), 5),
        (("status", "containerStatuses"), [{"name": "task", "state": {"waiting": {"reason": 5}}}]),
        (("status",), terminated("Failed", code=1, message=["x"])),
        (("status",), terminated("Failed", code=1, reason=["x"])),
        (("status",), {"phase": "Failed"} | container(terminated={"exitCode": "1"})),
        (("status",), {"phase": "Failed"} | container(terminated={"exitCode": 1, "signal": 9.5})),
    ],
)
def test_a_value_of_another_type_is_refused(path: tuple[str, ...], value: object) -> None:
    pod = stored()
    *way, last = path
    place = pod
    for step in way:
        place = place[step]
    place[last] = value

    with pytest.raises((TypeError, AttributeError)):
        observe(pod)
