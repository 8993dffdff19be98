"""What an Observatory asks for: validated, and ready to be planned."""

from __future__ import annotations

from dataclasses import replace

import orjson

from observatory.api.ending import RequestType
from observatory.api.names import (
    ANNOTATION_RETRY,
    ANNOTATION_RETRY_FROM,
    ANNOTATION_STOP,
    ANNOTATION_TERMINATE,
    Key,
)
from observatory.api.specschema import SPEC
from observatory.api.structural import check
from observatory.api.types import JsonObject
from observatory.core.model import Desired
from observatory.core.revision import program_of
from observatory.core.validation import validate

NONCE_LENGTH = 256
"""Characters of an annotation that are compared and answered; no more than a reasonable nonce."""

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
    schedule = spec.get("schedule")
    desired = Desired(
        key=key,
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        deleting=False,
        errors=errors,
        program=None if errors else program_of(key, metadata["uid"], spec),
        schedule=schedule if isinstance(schedule, str) else None,
        suspend=bool(get("suspend")) or not readable,
        max_concurrent=get("maxConcurrent"),
        deadline=get("activeDeadlineSeconds"),
        failure_policy=get("failurePolicy") or "Continue",
        finally_deadline=get("finallyDeadlineSeconds"),
        ttl=get("ttlSecondsAfterFinished"),
        retention=get("podRetention") or ("Failed" if readable else "All"),
        size=_size(spec),
    )
    return attended(desired, metadata)


def attended(desired: Desired, metadata: JsonObject) -> Desired:
    """The same with what its metadata says now: whether it is deleted, and what is asked for."""
    annotations = metadata.get("annotations")
    annotations = annotations if isinstance(annotations, dict) else {}
    requests = (
        (type_, annotations[name][:NONCE_LENGTH])
        for name, type_ in _REQUESTS.items()
        if isinstance(annotations.get(name), str) and annotations[name]
    )
    retry_from = annotations.get(ANNOTATION_RETRY_FROM)
    return replace(
        desired,
        deleting="deletionTimestamp" in metadata,
        finalizers=tuple(metadata.get("finalizers") or ()),
        requests=tuple(requests),
        retry_from=retry_from if isinstance(retry_from, str) and retry_from else None,
    )


def _readable(item: tuple[str, object]) -> bool:
    field, value = item
    return value is None or not check(value, SPEC["properties"][field], field)


def _size(spec: JsonObject) -> int:
    try:
        return len(orjson.dumps(spec))
    except TypeError:  # nested deeper than it writes: no spec that could run is
        return 0
