"""The storage of the fake API server: objects, one counter of versions, and what happened."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

from observatory.api.names import Key, Resource
from observatory.api.types import JsonObject


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
    changed: list[Callable[[], None]] = field(default_factory=list)

    def get(self, resource: Resource, key: Key) -> JsonObject | None:
        """A copy of what is stored."""
        found = self.objects.get((resource, key))
        return copy.deepcopy(found)

    def items(self, resource: Resource, namespace: str | None) -> list[tuple[Key, JsonObject]]:
        """Copies of all objects of a resource, by key."""
        found = [
            (key, copy.deepcopy(item))
            for (kind, key), item in self.objects.items()
            if kind == resource and namespace in {None, key.namespace}
        ]
        return sorted(found, key=lambda pair: pair[0])

    def put(self, resource: Resource, key: Key, item: JsonObject) -> JsonObject:
        """Store it, unless it is what is stored: then nothing is written, as in the real one."""
        old = self.objects.get((resource, key))
        stored = copy.deepcopy(item)
        stored["metadata"]["resourceVersion"] = (
            old["metadata"]["resourceVersion"] if old is not None else ""
        )
        if stored != old:
            self.version += 1
            stored["metadata"]["resourceVersion"] = str(self.version)
            self.objects[resource, key] = stored
            self._record(Entry(self.version, resource, key, old, stored))
        return copy.deepcopy(stored)

    def remove(self, resource: Resource, key: Key) -> JsonObject:
        """Remove it; the answer is its last state with the version of the removal."""
        old = self.objects.pop((resource, key))
        self.version += 1
        removed = copy.deepcopy(old)
        removed["metadata"]["resourceVersion"] = str(self.version)
        self._record(Entry(self.version, resource, key, old, None, removed))
        return copy.deepcopy(removed)

    def compact(self) -> None:
        """Forget what happened until now: older watches and continue tokens are Gone."""
        self.compacted = self.version
        self.history = [entry for entry in self.history if entry.version > self.compacted]

    def _record(self, entry: Entry) -> None:
        self.history.append(entry)
        for notify in self.changed:
            notify()
