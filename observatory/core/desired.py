"""What an Observatory asks for: validated, and ready to be planned."""

from __future__ import annotations

import orjson

from observatory.api.names import Key
from observatory.api.types import JsonObject
from observatory.core.model import Desired
from observatory.core.revision import program_of
from observatory.core.validation import validate


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
    suspend, limit = spec.get("suspend"), spec.get("maxConcurrent")
    readable = isinstance(suspend, bool | None) and (
        limit is None or (type(limit) is int and limit > 0)
    )
    schedule = spec.get("schedule")
    return Desired(
        key=key,
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        deleting="deletionTimestamp" in metadata,
        errors=errors,
        program=None if errors else program_of(key, metadata["uid"], spec),
        schedule=schedule if isinstance(schedule, str) else None,
        suspend=bool(suspend) or not readable,
        max_concurrent=limit if readable else None,
        orphaning="orphan" in (metadata.get("finalizers") or ()),
        size=_size(spec),
    )


def _size(spec: JsonObject) -> int:
    try:
        return len(orjson.dumps(spec))
    except TypeError:  # nested deeper than it writes: no spec that could run is
        return 0
