"""Recordings: every write that etcd took, one a line, in the order of their revisions.

A line has `version`, `resource` (group, version, plural, kind), `namespace`, `name`, `time` and
`new`, the object as etcd holds it, or null where it was removed. What was there before is in an
earlier line, since a recording of a namespace begins before its first object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from observatory.api.names import Key, Resource
from observatory.simulation.storage import Entry

JsonObject = dict[str, Any]
_KINDS = {
    "pods": Resource("", "v1", "pods", "Pod"),
    "minions": Resource("", "v1", "nodes", "Node"),
}


@dataclass(frozen=True, slots=True)
class Record:
    """One write, and when the recorder learned of it, in seconds since the epoch."""

    version: int
    resource: Resource
    namespace: str
    name: str
    time: float
    new: JsonObject | None

    def to_line(self) -> bytes:
        """As it is recorded."""
        resource = self.resource
        names = [resource.group, resource.version, resource.plural, resource.kind]
        return orjson.dumps(
            {
                "version": self.version,
                "resource": names,
                "namespace": self.namespace,
                "name": self.name,
                "time": self.time,
                "new": self.new,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )

    @classmethod
    def from_line(cls, line: bytes) -> Record:
        """As it was recorded."""
        content = orjson.loads(line)
        content["resource"] = Resource(*content["resource"])
        return cls(**content)


def decoded(key: str, value: bytes, version: int) -> tuple[Resource, str, str, JsonObject] | None:
    """The resource, namespace, name and object that etcd holds; None for what is no object."""
    try:
        new = orjson.loads(value)
        metadata, kind = new["metadata"], new["kind"]
        namespace, name = metadata.get("namespace") or "", metadata["name"]
        group, _, api = new["apiVersion"].rpartition("/")
    except (ValueError, KeyError, TypeError):
        return None
    parts = key.split("/")  # /registry/pods/NAMESPACE/NAME
    depth = 2 if namespace else 1
    resource = _KINDS.get(parts[-1 - depth]) or Resource(group, api, parts[-1 - depth], kind)
    metadata["resourceVersion"] = str(version)
    return resource, namespace, name, new


def entries(records: Iterable[Record]) -> Iterator[Entry]:
    """The writes with what was there before each."""
    stored: dict[tuple[Resource, Key], JsonObject] = {}
    for record in records:
        key = Key(record.namespace, record.name)
        old = stored.get((record.resource, key))
        if record.new is not None:
            stored[record.resource, key] = record.new
            yield Entry(record.version, record.resource, key, old, record.new)
        elif old is not None:
            del stored[record.resource, key]
            last = {**old, "metadata": {**old["metadata"], "resourceVersion": str(record.version)}}
            yield Entry(record.version, record.resource, key, old, None, last)


def read(path: Path) -> list[Record]:
    """A recording. An incomplete last line, of a recorder that was killed, is left out."""
    lines = path.read_bytes().splitlines(keepends=True)
    return [Record.from_line(line) for line in lines if line.endswith(b"\n")]
