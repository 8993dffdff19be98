"""The caches of what the operator watches: Observatories and their Pods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from observatory.api.names import OBSERVATORIES, PODS, Key, Resource
from observatory.api.types import JsonObject
from observatory.core.children import Child, child_of
from observatory.core.model import Pod
from observatory.core.owners import parent_of
from observatory.machinery.store import Identity, Store

BY_OBSERVATORY = "observatory"
"""The index of Pods by the Observatory that they name as their owner, as `namespace/name`."""
BY_PARENT = "parent"
"""The index of Observatories by the one that owns them, as `namespace/name`."""

_METADATA: tuple[tuple[str, object, type], ...] = (
    ("namespace", "", str),
    ("name", "", str),
    ("uid", "", str),
    ("generation", 0, int),
    ("finalizers", [], list),
)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def trim(observatory: JsonObject) -> JsonObject:
    """An Observatory without what only other clients need; it can be half of the object.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: No API server sends such an object; the
            caller skips it. What is wrong in its spec or status is told in its status instead.
    """
    metadata = {
        field: value for field, value in observatory["metadata"].items() if field != "managedFields"
    }
    if not all(isinstance(metadata.get(field, known), kind) for field, known, kind in _METADATA):
        raise TypeError("metadata has a value of another type")
    if _LAST_APPLIED in (metadata.get("annotations") or {}):
        annotations = dict(metadata["annotations"])
        del annotations[_LAST_APPLIED]
        metadata["annotations"] = annotations
    return {**observatory, "metadata": metadata}


def _identify_observatory(observatory: JsonObject) -> Identity:
    metadata = observatory["metadata"]
    key = Key(metadata["namespace"], metadata["name"])
    return Identity(key, metadata["uid"], int(metadata["resourceVersion"]))


def _identify_pod(pod: Pod) -> Identity:
    return Identity(pod.key, pod.uid, pod.version)


def owner_key(pod: Pod) -> Key:
    """The key of the Observatory that a Pod names as its owner, whether it exists or not."""
    return Key(pod.key.namespace, pod.owner)


def parent_key(observatory: JsonObject) -> Key | None:
    """The key of the Observatory that owns this one."""
    parent = parent_of(observatory)
    return Key(observatory["metadata"]["namespace"], parent[0]) if parent else None


def _parents(observatory: JsonObject) -> tuple[str, ...]:
    key = parent_key(observatory)
    return (str(key),) if key else ()


@dataclass(frozen=True, slots=True)
class Scope:
    """What one pair of watches sees: one namespace, or with None all of them."""

    namespace: str | None
    observatories: Store[JsonObject] = field(
        default_factory=lambda: Store(_identify_observatory, {BY_PARENT: _parents})
    )
    pods: Store[Pod] = field(
        default_factory=lambda: Store(
            _identify_pod, {BY_OBSERVATORY: lambda pod: (str(owner_key(pod)),)}
        )
    )

    def seen(self) -> Mapping[Resource, int]:
        """The version of each cache."""
        return {OBSERVATORIES: self.observatories.version, PODS: self.pods.version}

    @property
    def synced(self) -> bool:
        """Whether both caches hold their initial list."""
        return self.observatories.synced and self.pods.synced

    def keys(self) -> set[Key]:
        """The keys of all Observatories that are cached, and of all that cached Pods name."""
        found = {_identify_observatory(item).key for item in self.observatories.values()}
        return found | {owner_key(pod) for pod in self.pods.values()}

    def pods_of(self, key: Key) -> tuple[Pod, ...]:
        """The Pods that name this Observatory, or a namesake of it, as their owner."""
        return self.pods.by_index(BY_OBSERVATORY, str(key))

    def children_of(self, key: Key) -> tuple[Child, ...]:
        """The Observatories that this one, or a namesake of it, owns: runs of a schedule."""
        found = self.observatories.by_index(BY_PARENT, str(key))
        return tuple(child for each in found if (child := child_of(each)))


class Cache:
    """All scopes; each namespace is in one."""

    def __init__(self, namespaces: Iterable[str]) -> None:
        """Scopes for these namespaces; for none, one scope for all."""
        scopes = [Scope(namespace) for namespace in namespaces] or [Scope(None)]
        self.scopes: Mapping[str | None, Scope] = {scope.namespace: scope for scope in scopes}

    def __len__(self) -> int:
        """How many objects are cached."""
        scopes = self.scopes.values()
        return sum(len(scope.observatories) + len(scope.pods) for scope in scopes)

    def scope(self, namespace: str) -> Scope:
        """The scope that sees a namespace.

        Raises:
            KeyError: None does.
        """
        return self.scopes.get(namespace) or self.scopes[None]
