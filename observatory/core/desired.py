"""What an Observatory asks for: validated, and ready to be planned."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import orjson

from observatory.api.ending import RequestType
from observatory.api.names import (
    ANNOTATION_ADMITTED,
    ANNOTATION_BACKFILL,
    ANNOTATION_BACKFILL_CONCURRENCY,
    ANNOTATION_BACKFILL_RANGE,
    ANNOTATION_BAGGAGE,
    ANNOTATION_RETRY,
    ANNOTATION_RETRY_FROM,
    ANNOTATION_RUN_NOW,
    ANNOTATION_SCHEDULE_TRACE,
    ANNOTATION_SCHEDULED_TIME,
    ANNOTATION_STOP,
    ANNOTATION_TERMINATE,
    ANNOTATION_TRACEPARENT,
    ANNOTATION_TRACESTATE,
    LABEL_PARENT,
    NONCE_LENGTH,
    Key,
)
from observatory.api.requester import Requester
from observatory.api.specschema import SPEC
from observatory.api.structural import check
from observatory.api.times import parse_time
from observatory.api.trace import CARRIER_LENGTH, NO_CARRIER, Carrier
from observatory.api.types import JsonObject
from observatory.core.model import Desired
from observatory.core.owners import parent_of, texts
from observatory.core.revision import program_of
from observatory.core.schedule import is_scheduled, schedule_of
from observatory.core.validation import validate

_DRIVING = (
    "suspend",
    "maxConcurrent",
    "activeDeadlineSeconds",
    "failurePolicy",
    "finallyDeadlineSeconds",
    "ttlSecondsAfterFinished",
    "podRetention",
)
_REQUESTS = {
    ANNOTATION_TERMINATE: RequestType.TERMINATE,
    ANNOTATION_STOP: RequestType.STOP,
    ANNOTATION_RETRY: RequestType.RETRY,
    ANNOTATION_RUN_NOW: RequestType.RUN_NOW,
    ANNOTATION_BACKFILL: RequestType.BACKFILL,
}


def desire(observatory: JsonObject) -> Desired:
    """The Desired of any object that the API server may hand out; it never raises for its spec.

    A spec with errors has no program: nothing of it will be started. A run of an earlier revision
    may be in progress all the same, so the fields that drive it are read if they can be. Where
    they can't, the run starts nothing more until they are mended.
    """
    metadata = observatory["metadata"]
    key = Key(metadata["namespace"], metadata["name"])
    errors = tuple(map(str, validate(observatory)))
    spec = observatory.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    driving = {field: spec.get(field) for field in _DRIVING}
    readable = not errors or all(map(_readable, driving.items()))
    given: JsonObject = driving if readable else {}
    get = given.get
    desired = Desired(
        key=key,
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        deleting=False,
        errors=errors,
        program=None if errors else program_of(key, metadata["uid"], spec),
        scheduled=is_scheduled(spec),
        schedule=None if errors else schedule_of(key, spec),
        template=None if errors else spec,
        created=_time(metadata.get("creationTimestamp")),
        suspend=bool(get("suspend")) or not readable,
        max_concurrent=get("maxConcurrent"),
        deadline=get("activeDeadlineSeconds"),
        failure_policy=get("failurePolicy") or "Continue",
        finally_deadline=get("finallyDeadlineSeconds"),
        ttl=get("ttlSecondsAfterFinished"),
        retention=get("podRetention") or ("Failed" if readable else "All"),
        size=_size(spec),
        alerts=bool(spec.get("alerts")),
    )
    return attended(desired, metadata)


def attended(desired: Desired, metadata: JsonObject) -> Desired:
    """The same with what its metadata says now: whether it is deleted, and what is asked for."""
    annotations = texts(metadata.get("annotations"))
    get = annotations.get
    requests = (
        (type_, annotations[name][:NONCE_LENGTH]) for name, type_ in _REQUESTS.items() if get(name)
    )
    parent = parent_of({"metadata": metadata})
    is_run = parent is not None or LABEL_PARENT in texts(metadata.get("labels"))
    return replace(
        desired,
        deleting="deletionTimestamp" in metadata,
        finalizers=tuple(metadata.get("finalizers") or ()),
        requests=tuple(requests),
        retry_from=get(ANNOTATION_RETRY_FROM) or None,
        run_of=(parent[1] if parent else "") if is_run else None,
        admitted=get(ANNOTATION_ADMITTED),
        scheduled_time=get(ANNOTATION_SCHEDULED_TIME) if is_run else None,
        backfill=(get(ANNOTATION_BACKFILL_RANGE, ""), get(ANNOTATION_BACKFILL_CONCURRENCY, "")),
        carrier=_carrier(annotations) if annotations else NO_CARRIER,
        parent=parent[0] if parent else None,
        requester=Requester.of(annotations),
    )


def _carrier(annotations: dict[str, str]) -> Carrier:
    """What of a caller's trace is handed on: nothing that is longer than W3C lets it be."""

    def get(name: str) -> str | None:
        text = annotations.get(name)
        return text if text and len(text) <= CARRIER_LENGTH and text.isprintable() else None

    return Carrier(
        traceparent=get(ANNOTATION_TRACEPARENT),
        tracestate=get(ANNOTATION_TRACESTATE),
        baggage=get(ANNOTATION_BAGGAGE),
        schedule=get(ANNOTATION_SCHEDULE_TRACE),
    )


def _readable(item: tuple[str, object]) -> bool:
    field, value = item
    return value is None or not check(value, SPEC["properties"][field], field)


def _time(text: object) -> datetime | None:
    try:
        return parse_time(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _size(spec: JsonObject) -> int:
    try:
        return len(orjson.dumps(spec))
    except TypeError:  # nested deeper than it writes: no spec that could run is
        return 0
