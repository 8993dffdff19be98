"""What a Pod's status means: how its attempt ended and why, or what it still waits for."""

from __future__ import annotations

from datetime import datetime

from observatory.api.names import TASK_CONTAINER
from observatory.api.taskstatus import FailureClass
from observatory.api.text import shorten
from observatory.api.times import parse_time
from observatory.api.types import JsonObject
from observatory.core.model import Outcome, PodWait
from observatory.core.sidecars import blamed, lingering

MESSAGE_LENGTH = 1024
"""Bytes of a container's output that a status keeps: its end, where the error is."""
POD_DELETED = "PodDeleted"
"""Why an attempt failed whose Pod somebody deleted."""

# The names under which people search for these; the kubelet alternates between the first two.
_HARD_WAITS = {
    "ErrImagePull": "ImagePull",
    "ImagePullBackOff": "ImagePull",
    "ErrImageNeverPull": "ImagePull",
    "RegistryUnavailable": "ImagePull",
    "InvalidImageName": "InvalidImageName",
    "CreateContainerConfigError": "CreateContainerConfigError",
    "CreateContainerError": "CreateContainerError",
    "RunContainerError": "RunContainerError",
}

# Said of a container that the kubelet or containerd lost track of. They make up its exit code.
_MADE_UP = frozenset({"ContainerStatusUnknown", "Unknown"})

_AT_ONCE = frozenset({"TerminationByKubelet", "DeletionByPodGC"})
"""Reasons of `DisruptionTarget` that are given together with the Pod's end."""
_BY_NODE_LOSS = frozenset({"DeletionByPodGC", "DeletionByTaintManager"})

_CLASSES = {
    "OOMKilled": FailureClass.OUT_OF_MEMORY,
    "DeadlineExceeded": FailureClass.TIMEOUT,
    "NodeLost": FailureClass.NODE_LOST,
    "ContainerStatusUnknown": FailureClass.NODE_LOST,
    "Unknown": FailureClass.NODE_LOST,
    POD_DELETED: FailureClass.DELETED,
    "Preempting": FailureClass.DISRUPTION,
    "NodeShutdown": FailureClass.DISRUPTION,
    "Shutdown": FailureClass.DISRUPTION,
    "Terminated": FailureClass.DISRUPTION,
    "NodeAffinity": FailureClass.DISRUPTION,
    "UnexpectedAdmissionError": FailureClass.DISRUPTION,
}
"""Classes by the reason of a Pod or its container. `Evicted` is not among them: where the cluster
evicts there is a `DisruptionTarget`; without one the Pod exceeded its own limit of storage."""

_SIGNALLED = 128
_SIGNAL_CODES = range(_SIGNALLED + 1, _SIGNALLED + 64 + 1)


def outcome_of(metadata: JsonObject, status: JsonObject) -> Outcome | None:
    """How the Pod has ended, if it has."""
    phase = status.get("phase")
    if phase not in ("Succeeded", "Failed"):
        return None
    terminated = _container_state(status).get("terminated") or {}
    code = None if terminated.get("reason") in _MADE_UP else terminated.get("exitCode")
    finished = terminated.get("finishedAt")
    finished_at = parse_time(finished) if finished else None
    if phase == "Succeeded" and code == 0:
        return Outcome(
            succeeded=True,
            exit_code=0,
            finished_at=finished_at,
            reached=_reached(status, terminated),
        )
    # The cause before its effect: the container of an evicted Pod ends by a signal, too.
    disruption = _disruption(metadata, status)
    words = (status, terminated, disruption) if code else (status, disruption, terminated)
    message = next(filter(None, (each.get("message") for each in words)), None)
    reason = status.get("reason") or disruption.get("reason")
    if not reason:
        reason, message = _reason(metadata, status, code, message)
    return Outcome(
        succeeded=False,
        class_=_class(reason, code, disruption),
        reason=reason,
        message=_tail(message) if message else None,
        exit_code=code,
        signal=terminated.get("signal") or _signal(code),
        finished_at=finished_at,
        conditions=_conditions(status),
        reached=_reached(status, terminated),
    )


def _reason(
    metadata: JsonObject, status: JsonObject, code: int | None, message: str | None
) -> tuple[str, str | None]:
    """Why a Pod failed for which nobody gives a reason, and what is said of it."""
    terminated = _container_state(status).get("terminated") or {}
    if _ended_by_deletion(metadata, terminated):
        return POD_DELETED, message
    if code:
        return terminated.get("reason") or "Error", message
    if terminated.get("reason") not in _MADE_UP and (found := blamed(status, terminated)):
        return found
    # A Pod that ended without a word of its container has not succeeded, whatever its phase.
    return "ContainerStatusUnknown", message


def _class(reason: str, code: int | None, disruption: JsonObject) -> FailureClass:
    """The one class of a failure; what says more about its cause comes first."""
    if disruption:
        # Whether a container of a node that is gone still runs, nobody can tell.
        unseen = code is None and disruption.get("reason") in _BY_NODE_LOSS
        return FailureClass.NODE_LOST if unseen else FailureClass.DISRUPTION
    if reason in _CLASSES:
        return _CLASSES[reason]
    if reason.startswith(
        "OutOf"
    ):  # the kubelet's refusal, such as OutOfcpu: another took its place
        return FailureClass.DISRUPTION
    return FailureClass.APPLICATION_ERROR


def _reached(status: JsonObject, terminated: JsonObject) -> tuple[datetime, ...]:
    """When the Pod had its node, and when its container began: as far as it came."""
    scheduled, started = _scheduled(status), terminated.get("startedAt")
    if scheduled is None:
        return ()
    return (scheduled, parse_time(started)) if started else (scheduled,)


def _conditions(status: JsonObject) -> frozenset[tuple[str, str]]:
    return frozenset(
        (each["type"], each["status"])
        for each in status.get("conditions") or ()
        if isinstance(each.get("type"), str) and isinstance(each.get("status"), str)
    )


def _disruption(metadata: JsonObject, status: JsonObject) -> JsonObject:
    """The condition that says who ended the Pod for the cluster's reasons, not the task's.

    It is written before the Pod is ended, and stays where that is given up (KEP-3329): of a Pod
    that nobody deletes it counts only if it is the kubelet's, or the garbage collector's.
    """
    found: JsonObject = next(
        (
            condition
            for condition in status.get("conditions") or ()
            if (condition.get("type"), condition.get("status")) == ("DisruptionTarget", "True")
        ),
        {},
    )
    counts = "deletionTimestamp" in metadata or found.get("reason") in _AT_ONCE
    return found if counts else {}


def _ended_by_deletion(metadata: JsonObject, terminated: JsonObject) -> bool:
    """Whether the container ended since somebody deleted its Pod, as far as times can tell."""
    deadline = metadata.get("deletionTimestamp")
    if deadline is None or terminated.get("reason") not in (None, "Error", *_MADE_UP):
        return False
    finished = terminated.get("finishedAt")
    if finished is None:
        return True
    # As numbers: whoever deletes chooses the grace, and no datetime holds all of them.
    grace = metadata.get("deletionGracePeriodSeconds") or 0
    return parse_time(finished).timestamp() >= parse_time(deadline).timestamp() - grace


def _signal(code: int | None) -> int | None:
    """The signal by the shell's convention (128 + n); container runtimes report no other."""
    return code - _SIGNALLED if code is not None and code in _SIGNAL_CODES else None


def _tail(message: str) -> str:
    encoded = message.strip().encode(errors="replace")
    if len(encoded) <= MESSAGE_LENGTH:
        return encoded.decode()
    return "…" + encoded[-MESSAGE_LENGTH + 3 :].decode(errors="ignore")


def wait_of(pod: JsonObject) -> PodWait | None:
    """Why the container doesn't run, as far as anybody says; else that nobody says anything."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    if deleted := metadata.get("deletionTimestamp"):
        return PodWait("Terminating", None, parse_time(deleted), hard=False)
    created = parse_time(metadata["creationTimestamp"])
    state = _container_state(status)
    if waiting := state.get("waiting"):
        reason = waiting.get("reason") or "ContainerCreating"
        hard = _HARD_WAITS.get(reason)
        message = waiting.get("message")
        since = _scheduled(status) or created
        return PodWait(hard or reason, _shortened(message), since, bool(hard))
    if (ended := state.get("terminated")) and (found := lingering(status, ended)):
        return found
    if status.get("phase") != "Pending":
        return _silent_node(spec, status, created)
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            reason = condition.get("reason") or "Unschedulable"
            if reason == "SchedulingGated" and not spec.get("schedulingGates"):
                break  # that was before the gate was removed
            text = condition.get("lastTransitionTime")
            since = parse_time(text) if text else created
            return PodWait(reason, _shortened(condition.get("message")), since, hard=False)
    reason = "ContainerCreating" if spec.get("nodeName") else "Scheduling"
    return PodWait(reason, None, created, hard=False)


def _scheduled(status: JsonObject) -> datetime | None:
    """When the Pod got its node: only then could its container begin to wait."""
    for condition in status.get("conditions") or ():
        if (condition.get("type"), condition.get("status")) == ("PodScheduled", "True"):
            text = condition.get("lastTransitionTime")
            return parse_time(text) if text else None
    return None


def _silent_node(spec: JsonObject, status: JsonObject, created: datetime) -> PodWait | None:
    """The wait for a node that isn't heard of: the container may run, and nobody can tell.

    The kubelet says that a Pod isn't Ready where a container isn't, or gives a reason. Without
    either it is Kubernetes that said so, because the kubelet is silent.
    """
    conditions = {each.get("type"): each for each in status.get("conditions") or ()}
    ready, containers = conditions.get("Ready", {}), conditions.get("ContainersReady", {})
    if (ready.get("status"), containers.get("status")) != ("False", "True") or "reason" in ready:
        return None
    text = ready.get("lastTransitionTime")
    message = f'Nothing is heard of node "{spec.get("nodeName")}"'
    return PodWait("NodeNotReady", message, parse_time(text) if text else created, hard=False)


def _shortened(message: str | None) -> str | None:
    return shorten(message, MESSAGE_LENGTH) if message else None


def _container_state(status: JsonObject) -> JsonObject:
    for container in status.get("containerStatuses") or ():
        if container.get("name") == TASK_CONTAINER:
            return container.get("state") or {}
    return {}
