"""Pods: the manifest of an attempt, and what a Pod that comes back from the watch means."""

from __future__ import annotations

from datetime import datetime

from observatory.api.names import (
    API_VERSION,
    FINALIZER,
    GATE,
    KIND,
    LABEL_ATTEMPT,
    LABEL_OBSERVATORY,
    LABEL_REVISION,
    LABEL_RUN,
    LABEL_TASK,
    TASK_CONTAINER,
    Key,
    pod_name,
)
from observatory.api.text import shorten
from observatory.api.times import parse_time
from observatory.api.types import JsonObject, Task
from observatory.core.model import Desired, Identity, Outcome, Pod, PodRef, PodWait

MESSAGE_LENGTH = 1024
"""Bytes of a container's output that a status keeps: its end, where the error is."""

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

_NUMBERS = frozenset({int, type(None)})
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)
"""What `observe` raises of a Pod that no API server sends."""

_SIGNALLED = 128
_SIGNAL_CODES = range(_SIGNALLED + 1, _SIGNALLED + 64 + 1)


def pod_manifest(desired: Desired, task: Task, identity: Identity) -> JsonObject:
    """The Pod of an attempt: gated, tracked and owned, and otherwise as small as it can be.

    The API server and etcd do two thirds of the work of running a task, and they do it by the
    byte. No service account token is mounted and no service is put into the environment, since
    no task has asked for it.
    """
    container: JsonObject = {
        "name": TASK_CONTAINER,
        "image": task.image,
        # The kubelet copies the end of the output into the status: the cause outlives the Pod.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    for field, value in (("command", task.command), ("args", task.args), ("env", task.env)):
        if value:
            container[field] = list(value)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name_of(identity, desired.key.name, desired.uid),
            "namespace": desired.key.namespace,
            "labels": {
                LABEL_OBSERVATORY: desired.key.name,
                LABEL_TASK: identity.task,
                LABEL_RUN: str(identity.run),
                LABEL_ATTEMPT: str(identity.attempt),
                LABEL_REVISION: identity.revision,
            },
            "finalizers": [FINALIZER],
            "ownerReferences": [owner_reference(desired.key.name, desired.uid)],
        },
        "spec": {
            "schedulingGates": [{"name": GATE}],
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        },
    }


def name_of(identity: Identity, owner: str, owner_uid: str) -> str:
    """The name of the Pod of an attempt."""
    run, attempt = identity.run, identity.attempt
    revision, task = identity.revision, identity.task
    return pod_name(owner, uid=owner_uid, run=run, revision=revision, task=task, attempt=attempt)


def owner_reference(name: str, uid: str) -> JsonObject:
    """The controller reference to an Observatory."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def observe(pod: JsonObject) -> Pod:
    """What the planner needs to know of a Pod.

    Raises:
        One of `UNREADABLE`: No API server sends such a Pod; the caller skips it.
    """
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    labels = metadata.get("labels") or {}
    owner = _controller(metadata)
    deleting = "deletionTimestamp" in metadata
    node = spec.get("nodeName")
    outcome = _outcome(metadata, status)
    if outcome is None and deleting and not node:
        # The API server binds no Pod that is being deleted: it never ran and never will.
        outcome = Outcome(
            succeeded=False, reason="PodDeleted", message="The Pod was deleted before it started"
        )
    seen = Pod(
        key=Key(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        version=int(metadata["resourceVersion"]),
        owner=owner["name"] if owner else labels.get(LABEL_OBSERVATORY, ""),
        owner_uid=owner["uid"] if owner else None,
        identity=_identity(metadata["name"], labels, owner),
        gated=any(gate.get("name") == GATE for gate in spec.get("schedulingGates") or ()),
        tracked=FINALIZER in (metadata.get("finalizers") or ()),
        deleting=deleting,
        node_name=node,
        outcome=outcome,
        wait=None if outcome else _wait(pod),
    )
    _check_types(seen)
    return seen


def _check_types(pod: Pod) -> None:
    """Raise `TypeError` where a value is not of its type: it would break its owner's plan."""
    texts: list[object] = [*pod.key, pod.uid, pod.owner]
    maybe: list[object] = [pod.owner_uid, pod.node_name]
    if outcome := pod.outcome:
        maybe += [outcome.reason, outcome.message]
        if not _NUMBERS.issuperset((type(outcome.exit_code), type(outcome.signal))):
            raise TypeError("an exit code or a signal is not a number")
    elif wait := pod.wait:
        texts.append(wait.reason)
        maybe.append(wait.message)
    if not all(type(text) is str for text in texts + [item for item in maybe if item is not None]):
        raise TypeError("a name, a UID, a reason or a message is not a text")


def ref(pod: Pod) -> PodRef:
    """The reference to a Pod."""
    return PodRef(pod.key.name, pod.uid)


def _controller(metadata: JsonObject) -> JsonObject | None:
    wanted = (True, KIND, API_VERSION)
    for owner in metadata.get("ownerReferences") or ():
        if (owner.get("controller"), owner.get("kind"), owner.get("apiVersion")) == wanted:
            found: JsonObject = owner
            return found
    return None


def _identity(name: str, labels: JsonObject, owner: JsonObject | None) -> Identity | None:
    """The attempt that the labels claim, if the Pod's name bears them out.

    Labels can be edited, names can't; and the name has a hash of everything that counts.
    """
    if owner is None:
        return None
    task = labels.get(LABEL_TASK, "")
    try:
        run, attempt = int(labels.get(LABEL_RUN, "")), int(labels.get(LABEL_ATTEMPT, ""))
    except ValueError:
        return None
    identity = Identity(run, labels.get(LABEL_REVISION, ""), task, attempt)
    return identity if name == name_of(identity, owner["name"], owner["uid"]) else None


def _outcome(metadata: JsonObject, status: JsonObject) -> Outcome | None:
    phase = status.get("phase")
    if phase not in ("Succeeded", "Failed"):
        return None
    terminated = _container_state(status).get("terminated") or {}
    code = None if terminated.get("reason") in _MADE_UP else terminated.get("exitCode")
    finished = terminated.get("finishedAt")
    finished_at = parse_time(finished) if finished else None
    if phase == "Succeeded" and code == 0:
        return Outcome(succeeded=True, exit_code=0, finished_at=finished_at)
    # The cause before its effect: the container of an evicted Pod ends by a signal, too.
    disruption = _disruption(status)
    reason = status.get("reason") or disruption.get("reason")
    if not reason and _ended_by_deletion(metadata, terminated):
        reason = "PodDeleted"
    elif code and not reason:
        reason = terminated.get("reason") or "Error"
    words = (status, terminated, disruption) if code else (status, disruption, terminated)
    message = next(filter(None, (each.get("message") for each in words)), None)
    return Outcome(
        succeeded=False,
        # A Pod that ended without a word of its container has not succeeded, whatever its phase.
        reason=reason or "ContainerStatusUnknown",
        message=_tail(message) if message else None,
        exit_code=code,
        signal=terminated.get("signal") or _signal(code),
        finished_at=finished_at,
    )


def _disruption(status: JsonObject) -> JsonObject:
    """The condition that says who ended the Pod for the cluster's reasons, not the task's."""
    for condition in status.get("conditions") or ():
        if (condition.get("type"), condition.get("status")) == ("DisruptionTarget", "True"):
            found: JsonObject = condition
            return found
    return {}


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


def _wait(pod: JsonObject) -> PodWait | None:
    """Why the container doesn't run, as far as anybody says; else that nobody says anything."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    if deleted := metadata.get("deletionTimestamp"):
        return PodWait("Terminating", None, parse_time(deleted), hard=False)
    created = parse_time(metadata["creationTimestamp"])
    waiting = _container_state(status).get("waiting")
    if waiting:
        reason = waiting.get("reason") or "ContainerCreating"
        hard = _HARD_WAITS.get(reason)
        message = waiting.get("message")
        return PodWait(hard or reason, _shortened(message), created, bool(hard))
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
