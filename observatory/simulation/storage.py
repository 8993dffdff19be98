"""The storage of the fake API server: objects, one counter of versions, and what happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from observatory.api.names import Key, Resource
from observatory.api.types import JsonObject


def copied(item: JsonObject) -> JsonObject:
    """A deep copy of JSON; by way of text, since that is ten times as fast as `copy.deepcopy`."""
    made: JsonObject = orjson.loads(orjson.dumps(item))
    return made


@dataclass(frozen=True, slots=True)
class Entry:
    """One write: the object before and after it; both carry a resourceVersion."""

    version: int
    resource: Resource
    key: Key
    old: JsonObject | None
    new: JsonObject | None  # None when it was removed
    removed: JsonObject | None = None  # the last state, with the version of the removal


@dataclass
class Storage:
    """Like etcd behind an API server: every write has a version of its own, of all resources."""

    version: int = 1
    compacted: int = 0
    objects: dict[tuple[Resource, Key], JsonObject] = field(default_factory=dict)
    history: list[Entry] = field(default_factory=list)
    changed: list[Callable[[Entry], None]] = field(default_factory=list)

    def get(self, resource: Resource, key: Key) -> JsonObject | None:
        """A copy of what is stored."""
        found = self.objects.get((resource, key))
        return None if found is None else copied(found)

    def items(self, resource: Resource, namespace: str | None) -> list[tuple[Key, JsonObject]]:
        """Copies of all objects of a resource, by key."""
        found = [
            (key, copied(item))
            for (kind, key), item in self.objects.items()
            if kind == resource and namespace in {None, key.namespace}
        ]
        return sorted(found, key=lambda pair: pair[0])

    def items_at(
        self, version: int, resource: Resource, namespace: str | None
    ) -> list[tuple[Key, JsonObject]]:
        """What `items` gave when `version` was the newest, as far as it is not forgotten."""
        found = dict(self.items(resource, namespace))
        for entry in reversed(self.since(version)):
            if entry.resource != resource or namespace not in {None, entry.key.namespace}:
                continue
            if entry.old is None:
                found.pop(entry.key, None)
            else:
                found[entry.key] = copied(entry.old)
        return sorted(found.items(), key=lambda pair: pair[0])

    def put(self, resource: Resource, key: Key, item: JsonObject) -> JsonObject:
        """Store it, unless it is what is stored: then nothing is written, as in the real one."""
        old = self.objects.get((resource, key))
        stored = copied(item)
        stored["metadata"]["resourceVersion"] = (
            old["metadata"]["resourceVersion"] if old is not None else ""
        )
        if stored != old:
            self.version += 1
            stored["metadata"]["resourceVersion"] = str(self.version)
            self.objects[resource, key] = stored
            self._record(Entry(self.version, resource, key, old, stored))
        return copied(stored)

    def remove(self, resource: Resource, key: Key) -> JsonObject:
        """Remove it; the answer is its last state with the version of the removal."""
        old = self.objects.pop((resource, key))
        self.version += 1
        removed = copied(old)
        removed["metadata"]["resourceVersion"] = str(self.version)
        self._record(Entry(self.version, resource, key, old, None, removed))
        return copied(removed)

    def since(self, version: int) -> list[Entry]:
        """What was written after that version, as far as it is not forgotten."""
        if not self.history:
            return []
        # Every version has its entry, so they need no search.
        return self.history[max(version + 1 - self.history[0].version, 0) :]

    def compact(self) -> None:
        """Forget what happened until now: older watches and continue tokens are Gone."""
        self.compacted = self.version
        self.history = [entry for entry in self.history if entry.version > self.compacted]

    def _record(self, entry: Entry) -> None:
        self.history.append(entry)
        for notify in self.changed:
            notify(entry)
