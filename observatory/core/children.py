"""The runs of a scheduled Observatory as objects: Observatories that it owns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from observatory.api.conditions import COMPLETE
from observatory.api.ending import RequestType
from observatory.api.names import (
    ANNOTATION_ADMITTED,
    ANNOTATION_RETRY,
    ANNOTATION_RUN_NUMBER,
    ANNOTATION_SCHEDULE_TRACE,
    ANNOTATION_SCHEDULED_TIME,
    ANNOTATION_STOP,
    ANNOTATION_TERMINATE,
    API_VERSION,
    FINALIZER,
    KIND,
    LABEL_PARENT,
    LABEL_SCHEDULE,
    LABEL_TRIGGER,
    NONCE_LENGTH,
    Key,
    run_name,
)
from observatory.api.runs import Active, RunId, Trigger
from observatory.api.scheduleschema import SCHEDULING
from observatory.api.status import Phase
from observatory.api.times import format_time, parse_time
from observatory.api.types import JsonObject
from observatory.core.model import Desired
from observatory.core.owners import owner_reference, parent_of, texts

_DIGITS = 10
_NOT_INHERITED = frozenset({*SCHEDULING, "suspend", "alerts"})


@dataclass(frozen=True, slots=True)
class Child:
    """What planning knows of a run: a projection of its Observatory.

    Attributes:
        version: Of the object. Two that differ in nothing else are equal: to its parent, they are.
        owner_uid: The UID in its controller reference.
        id: Which run it is; None where its name doesn't prove what it says.
        tracked: Our finalizer is on.
        admitted: What its parent has let it do: begin, or the request to retry that it may obey.
        begun: It has begun a run.
        completion_time: When its latest run ended; None while one is on.
        reason: Why that failed, in one word.
        retry: A request to retry it that has no answer yet.
        asked: The nonces of the requests to stop it and to terminate it.
    """

    key: Key
    uid: str
    version: int = field(compare=False)
    owner_uid: str | None
    id: RunId | None
    tracked: bool
    admitted: str | None
    deleting: bool
    finalizers: tuple[str, ...] = ()
    begun: bool = False
    completion_time: datetime | None = None
    succeeded: bool = False
    reason: str | None = None
    retry: str | None = None
    asked: tuple[str | None, str | None] = (None, None)

    def over(self, active: Active | None) -> bool:
        """Whether the run is over that `active` records: nothing of it runs, or ever will.

        One that is being deleted can't begin any more: the deletion changed its resourceVersion.
        """
        if self.deleting and not self.begun:
            return True
        again = active is not None and active.retry is not None and active.retry == self.retry
        return self.completion_time is not None and not again


def child_of(observatory: JsonObject) -> Child | None:
    """The projection of an Observatory that has a parent; None of any other."""
    parent = parent_of(observatory)
    if parent is None:
        return None
    metadata = observatory["metadata"]
    annotations = texts(metadata.get("annotations"))
    key = Key(metadata["namespace"], metadata["name"])
    finalizers = tuple(metadata.get("finalizers") or ())
    name, uid = parent
    child = Child(
        key=key,
        uid=metadata["uid"],
        version=int(metadata["resourceVersion"]),
        owner_uid=uid,
        id=_identity(key, name, uid, texts(metadata.get("labels")), annotations),
        tracked=FINALIZER in finalizers,
        admitted=annotations.get(ANNOTATION_ADMITTED),
        deleting="deletionTimestamp" in metadata,
        finalizers=finalizers,
        asked=(annotations.get(ANNOTATION_STOP), annotations.get(ANNOTATION_TERMINATE)),
    )
    retry = annotations.get(ANNOTATION_RETRY, "")[:NONCE_LENGTH]
    try:
        return _with_status(child, observatory.get("status") or {}, retry)
    except (AttributeError, TypeError):  # only the operator writes status: the run itself tells it
        return child


def _with_status(child: Child, status: JsonObject, retry: str) -> Child:
    requests = status.get("requests") or ()
    answered = {each.get("nonce") for each in requests if each.get("type") == RequestType.RETRY}
    return replace(
        child,
        begun=bool(status.get("run")),
        completion_time=_time(status.get("completionTime")),
        succeeded=status.get("phase") == Phase.SUCCEEDED,
        reason=_reason(status),
        retry=retry if retry and retry not in answered else None,
    )


def child_name(desired: Desired, run: RunId) -> str:
    """The name of the Observatory that is this run."""
    key, time = desired.key, format_time(run.time)
    return run_name(key.name, desired.uid, run.number, run.schedule, time, run.trigger.value)


def child_manifest(desired: Desired, run: RunId) -> JsonObject:
    """The Observatory that is this run. It begins nothing until it is admitted."""
    spec = desired.template or {}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": child_name(desired, run),
            "namespace": desired.key.namespace,
            "labels": {
                LABEL_PARENT: desired.key.name,
                LABEL_SCHEDULE: run.schedule,
                LABEL_TRIGGER: run.trigger.value,
            },
            "annotations": {
                ANNOTATION_SCHEDULED_TIME: format_time(run.time),
                ANNOTATION_RUN_NUMBER: str(run.number),
                **(
                    {ANNOTATION_SCHEDULE_TRACE: desired.carrier.traceparent}
                    if desired.carrier.traceparent
                    else {}
                ),
                **(desired.requester.annotations() if desired.requester else {}),
            },
            "finalizers": [FINALIZER],
            "ownerReferences": [owner_reference(desired.key.name, desired.uid)],
        },
        "spec": {field: value for field, value in spec.items() if field not in _NOT_INHERITED},
    }


def _identity(
    key: Key, parent: str, uid: str, labels: dict[str, str], annotations: dict[str, str]
) -> RunId | None:
    number, time = (
        annotations.get(ANNOTATION_RUN_NUMBER),
        annotations.get(ANNOTATION_SCHEDULED_TIME),
    )
    schedule, trigger = labels.get(LABEL_SCHEDULE), labels.get(LABEL_TRIGGER)
    if not (number and number.isdecimal() and time and schedule and trigger):
        return None
    at = _time(time)
    if at is None or trigger not in list(Trigger):
        return None
    count = int(number[:_DIGITS])
    name = run_name(parent, uid, count, schedule, format_time(at), trigger)
    return RunId(count, schedule, at, Trigger(trigger)) if name == key.name else None


def _time(text: object) -> datetime | None:
    try:
        return parse_time(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _reason(status: JsonObject) -> str | None:
    """The reason of the condition that tells how a run ended, where it failed."""
    if status.get("phase") != Phase.FAILED:
        return None
    for condition in status.get("conditions") or ():
        if condition.get("type") == COMPLETE:
            reason = condition.get("reason")
            return reason if isinstance(reason, str) else None
    return None
