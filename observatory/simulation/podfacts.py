"""What a stored Pod says, read as the JSON that it is: nothing of the operator decides here."""

from __future__ import annotations

from observatory.api.names import (
    FINALIZER,
    GATE,
    LABEL_ATTEMPT,
    LABEL_RUN,
    LABEL_TASK,
    OBSERVATORIES,
    TASK_CONTAINER,
)
from observatory.api.types import JsonObject

Attempt = tuple[str, str, str, str]
"""UID of the Observatory, run, task, attempt."""


def owner_uid(pod: JsonObject) -> str:
    """The UID of the Observatory that controls a Pod; empty for none."""
    for owner in pod["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner.get("kind") == OBSERVATORIES.kind:
            return str(owner.get("uid"))
    return ""


def attempt_of(pod: JsonObject) -> Attempt | None:
    """Which attempt a Pod says to be; None if it is not the Pod of an Observatory."""
    labels, owner = pod["metadata"].get("labels") or {}, owner_uid(pod)
    named = [labels.get(label) for label in (LABEL_RUN, LABEL_TASK, LABEL_ATTEMPT)]
    if not owner or None in named:
        return None
    return (owner, str(named[0]), str(named[1]), str(named[2]))


def in_words(attempt: Attempt) -> str:
    """An attempt as people are told of it."""
    _, run, task, number = attempt
    return f"attempt {number} of task {task} in run {run}"


def is_gated(pod: JsonObject) -> bool:
    """Whether our gate keeps it from being bound."""
    return any(gate.get("name") == GATE for gate in pod["spec"].get("schedulingGates") or ())


def is_tracked(pod: JsonObject) -> bool:
    """Whether our finalizer holds it."""
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def has_ended(pod: JsonObject) -> bool:
    """Whether its phase is a terminal one."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def has_succeeded(pod: JsonObject) -> bool:
    """Whether it says that it has succeeded, and that its task exited with 0."""
    status = pod.get("status") or {}
    states = {each.get("name"): each.get("state") for each in status.get("containerStatuses") or ()}
    ended = (states.get(TASK_CONTAINER) or {}).get("terminated") or {}
    return status.get("phase") == "Succeeded" and ended.get("exitCode") == 0


def is_over(pod: JsonObject) -> bool:
    """Whether no container of it runs or ever will: nothing binds a Pod that is being deleted."""
    unbound = "deletionTimestamp" in pod["metadata"] and "nodeName" not in pod["spec"]
    return "gone" in pod or has_ended(pod) or unbound


def has_started(pod: JsonObject) -> bool:
    """Whether a container of it runs or has run."""
    status = pod.get("status") or {}
    states = [each.get("state") or {} for each in status.get("containerStatuses") or ()]
    return status.get("phase") == "Running" or any(
        "running" in state or "terminated" in state for state in states
    )
