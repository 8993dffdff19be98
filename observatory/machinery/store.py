"""The cache of one resource: client-go's `ThreadSafeStore` with its indexers, and no thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from observatory.api.names import Key

T = TypeVar("T")


class Identity(NamedTuple):
    """Which object this is, and which version of it."""

    key: Key
    uid: str
    version: int


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One object, before and after: added without `old`, deleted without `new`."""

    old: T | None
    new: T | None


class Store(Generic[T]):
    """The last known state of every watched object of one resource.

    One reflector writes and many reconciles read. Readers get the stored objects themselves and
    must not change them. Every change is complete, indexes included, before it is returned.

    Versions never go back: what is older than the stored object is dropped. An object whose UID
    differs from the stored one is a namesake, and reported as a delete and an add: its
    predecessor's delete event was lost.
    """

    def __init__(
        self,
        identify: Callable[[T], Identity],
        indexers: Mapping[str, Callable[[T], Iterable[str]]] | None = None,
    ) -> None:
        self._identify = identify
        self._indexers = dict(indexers or {})
        self._objects: dict[Key, T] = {}
        self._indexes: dict[str, dict[str, dict[Key, T]]] = {name: {} for name in self._indexers}
        self._version = 0
        self._synced = False

    @property
    def version(self) -> int:
        """The newest version seen, of any object, listing or bookmark."""
        return self._version

    @property
    def synced(self) -> bool:
        """Whether a complete listing has been taken."""
        return self._synced

    def get(self, key: Key) -> T | None:
        """The object with this key, if there is one."""
        return self._objects.get(key)

    def by_index(self, index: str, value: str) -> tuple[T, ...]:
        """The objects that have `value` in `index`, in the order in which they got it."""
        return tuple(self._indexes[index].get(value, {}).values())

    def values(self) -> Iterator[T]:
        """All objects, oldest key first."""
        return iter(self._objects.values())

    def __len__(self) -> int:
        return len(self._objects)

    def check(self, obj: T) -> Identity:
        """Identify and index `obj` without storing it; raises what its extractors raise.

        An extractor that fails inside `replace`, or gives what can't be a key, would leave the
        store between two listings.
        """
        for indexer in self._indexers.values():
            hash(tuple(indexer(obj)))
        identity = self._identify(obj)
        hash(identity)
        return identity

    def upsert(self, obj: T) -> tuple[Change[T], ...]:
        """Take an object that was added or modified."""
        key, uid, version = self._identify(obj)
        self.bookmark(version)
        old = self._objects.get(key)
        if old is None:
            self._put(key, None, obj)
            return (Change(None, obj),)
        stored = self._identify(old)
        if version <= stored.version:
            return ()
        if uid == stored.uid:
            self._put(key, old, obj)
            return (Change(old, obj),)
        self._remove(key, old)
        self._put(key, None, obj)
        return (Change(old, None), Change(None, obj))

    def delete(self, gone: Identity) -> tuple[Change[T], ...]:
        """Take the deletion of an object; its version is that of the deletion."""
        self.bookmark(gone.version)
        old = self._objects.get(gone.key)
        if old is None or gone.version < self._identify(old).version:
            return ()
        self._remove(gone.key, old)
        return (Change(old, None),)

    def replace(self, objects: Iterable[T], version: int) -> tuple[Change[T], ...]:
        """Take a complete listing that was made at `version`.

        What it lacks was deleted while the watch was down, unless that is newer than the listing.
        The changes begin with those deletes; the rest follows the order of the listing.
        """
        listed = [(self._identify(obj).key, obj) for obj in objects]
        keys = {key for key, _ in listed}
        gone = [
            (key, old)
            for key, old in self._objects.items()
            if key not in keys and self._identify(old).version <= version
        ]
        for key, old in gone:
            self._remove(key, old)
        changes = [change for _, obj in listed for change in self.upsert(obj)]
        self.bookmark(version)
        self._synced = True
        changes[:0] = [Change(old, None) for _, old in gone]
        return tuple(changes)

    def bookmark(self, version: int) -> None:
        """Note that nothing up to `version` is still to come."""
        self._version = max(self._version, version)

    def _put(self, key: Key, old: T | None, new: T) -> None:
        wanted = {name: tuple(indexer(new)) for name, indexer in self._indexers.items()}
        if old is not None:
            self._unindex(key, old, keep=wanted)
        for name, values in wanted.items():
            for value in values:
                self._indexes[name].setdefault(value, {})[key] = new
        self._objects[key] = new

    def _remove(self, key: Key, old: T) -> None:
        self._unindex(key, old, keep={})
        del self._objects[key]

    def _unindex(self, key: Key, old: T, keep: Mapping[str, tuple[str, ...]]) -> None:
        """Take `old` out of its index values, other than those to `keep` its place in."""
        for name, indexer in self._indexers.items():
            index = self._indexes[name]
            for value in indexer(old):
                if value in keep.get(name, ()) or value not in index:
                    continue
                index[value].pop(key, None)
                # Values such as UIDs never come back: empty sets would pile up for ever.
                if not index[value]:
                    del index[value]
