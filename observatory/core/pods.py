"""Pods: the manifest of an attempt, and what a Pod that comes back from the watch means."""

from __future__ import annotations

from collections.abc import Iterable

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
from observatory.api.taskstatus import FailureClass
from observatory.api.times import parse_time
from observatory.api.types import JsonObject, Task
from observatory.core.causes import POD_DELETED, outcome_of, wait_of
from observatory.core.model import Desired, Identity, Outcome, Pod, PodRef
from observatory.core.owners import owner_reference

_NUMBERS = frozenset({int, type(None)})
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)
"""What `observe` raises of a Pod that no API server sends."""


def pod_manifest(
    desired: Desired,
    task: Task,
    identity: Identity,
    *,
    memory: str | None = None,
    more_env: Iterable[JsonObject] = (),
) -> JsonObject:
    """The Pod of an attempt: gated, tracked and owned, and otherwise as small as it can be.

    `memory` takes the place of the task's limit, and the request grows alike. What the task says
    about a variable of `more_env` counts instead.

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
            **(task.security or {}),
        },
    }
    own = {variable["name"] for variable in task.env}
    env = (*(each for each in more_env if each["name"] not in own), *task.env)
    for field, value in (("command", task.command), ("args", task.args), ("env", env)):
        if value:
            container[field] = list(value)
    if task.resources:
        container["resources"] = _resources(task.resources, memory)
    limits = {
        "activeDeadlineSeconds": task.attempt_deadline,
        "terminationGracePeriodSeconds": task.grace,
    }
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
            **{field: value for field, value in limits.items() if value is not None},
        },
    }


def _resources(resources: JsonObject, memory: str | None) -> JsonObject:
    """What the container gets; with more memory than it was given at first, so is its request."""
    if memory is None:
        return resources
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    asked = {"requests": {**requests, "memory": memory}} if "memory" in requests else {}
    return {**resources, **asked, "limits": {**limits, "memory": memory}}


def name_of(identity: Identity, owner: str, owner_uid: str) -> str:
    """The name of the Pod of an attempt."""
    run, attempt = identity.run, identity.attempt
    revision, task = identity.revision, identity.task
    return pod_name(owner, uid=owner_uid, run=run, revision=revision, task=task, attempt=attempt)


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
    outcome = outcome_of(metadata, status)
    if outcome is None and deleting and not node:
        # The API server binds no Pod that is being deleted: it never ran and never will.
        outcome = Outcome(
            succeeded=False,
            class_=FailureClass.DELETED,
            reason=POD_DELETED,
            message="The Pod was deleted before it started",
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
        created=parse_time(metadata["creationTimestamp"]),
        grace=metadata.get("deletionGracePeriodSeconds") if deleting else None,
        outcome=outcome,
        wait=None if outcome else wait_of(pod),
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
    if type(pod.grace) not in _NUMBERS:
        raise TypeError("a grace is not a number")
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
