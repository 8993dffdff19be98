"""The operator's watches: a reflector for each cache, and the keys of whatever changes in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from observatory.api.names import LABEL_OBSERVATORY, OBSERVATORIES, PODS, Key, Resource
from observatory.api.types import JsonObject
from observatory.core.children import child_of
from observatory.core.model import Pod
from observatory.core.pods import observe
from observatory.kube.api import Api
from observatory.machinery.listwatch import ListWatch
from observatory.machinery.messages import Failed
from observatory.machinery.store import Change, Store
from observatory.runtime.cache import Cache, Scope, owner_key, parent_key, trim
from observatory.runtime.clock import Clock
from observatory.runtime.reflector import Handlers, Reflector
from observatory.telemetry.log import logger

SILENCE = 30.0
"""Seconds between two log lines about one resource that can't be read."""

T = TypeVar("T")
_log = logger("reflector")


class Enqueue(Protocol):
    """Whom the keys go to: `Controller.enqueue`."""

    def __call__(self, keys: Iterable[Key], *, initial: bool = False) -> None:
        """Have these keys reconciled soon."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A scope and the reflectors that fill its caches."""

    scope: Scope
    reflectors: tuple[Reflector[Any], ...]

    async def synced(self) -> None:
        """Return when both caches hold their initial list."""
        await asyncio.gather(*(reflector.synced.wait() for reflector in self.reflectors))


def watches(
    api: Api,
    cache: Cache,
    *,
    enqueue: Enqueue,
    clock: Clock,
    identity: str,
    failed: Callable[[str, str], None] = lambda *_: None,
    saw: Callable[[Sequence[Change[JsonObject]]], None] = lambda _: None,
) -> list[Watched]:
    """The reflectors that fill a cache; `identity` keeps the jitter of two operators apart.

    `failed` is told of each list or watch that fails: of which resource, and the HTTP status; `saw`
    of what becomes of Observatories, from the first list on.

    Keys are given once their scope is synced: before, what is missing may just not be listed yet.
    """

    def reflector(  # noqa: PLR0917 -- six things that belong to a kind of object
        resource: Resource,
        scope: Scope,
        store: Store[T],
        transform: Callable[[JsonObject], T],
        keys_of: Callable[[Change[T]], Iterable[Key]],
        selectors: Mapping[str, str],
        *,
        told: Callable[[Sequence[Change[T]]], None] = lambda _: None,
    ) -> Reflector[T]:
        def on_change(changes: Sequence[Change[T]], initial: bool) -> None:  # noqa: FBT001
            told(changes)
            if not scope.synced:
                return
            enqueue({key for change in changes for key in keys_of(change)}, initial=initial)

        complain = _Complaint(resource, scope.namespace, clock)

        def on_failed(failure: Failed) -> None:
            failed(resource.plural, str(failure.code or "<error>"))
            complain(failure)

        seed = f"{identity}/{resource.plural}/{scope.namespace or ''}"
        return Reflector(
            api,
            resource,
            scope.namespace,
            store=store,
            transform=transform,
            handlers=Handlers(
                on_change=on_change,
                on_skipped=lambda what, why: _skipped(resource, what, why),
                on_failed=on_failed,
            ),
            list_watch=ListWatch(seed, selectors=selectors),
            clock=clock,
        )

    def watched(scope: Scope) -> Watched:
        def of_observatory(change: Change[JsonObject]) -> Iterable[Key]:
            return _of_observatory(change, scope)

        return Watched(
            scope,
            (
                reflector(
                    OBSERVATORIES, scope, scope.observatories, trim, of_observatory, {}, told=saw
                ),
                reflector(PODS, scope, scope.pods, observe, _of_pod, _OURS),
            ),
        )

    return [watched(scope) for scope in cache.scopes.values()]


_OURS = {"labelSelector": LABEL_OBSERVATORY}


def _of_pod(change: Change[Pod]) -> Iterable[Key]:
    # Both sides: a Pod whose owner changed is news to the old one and to the new.
    return (owner_key(side) for side in (change.old, change.new) if side is not None)


def _of_observatory(change: Change[JsonObject], scope: Scope) -> Iterable[Key]:
    """Its own key; that of its parent, to which it may be news; those of what it leaves behind."""
    sides = [side for side in (change.old, change.new) if side is not None]
    key = _key_of(sides[0])
    yield key
    before, after = (side and child_of(side) for side in (change.old, change.new))
    if before != after:
        yield from (parent for side in sides if (parent := parent_key(side)))
    if change.new is None:
        yield from (child.key for child in scope.children_of(key))


def _key_of(observatory: JsonObject) -> Key:
    return Key(observatory["metadata"]["namespace"], observatory["metadata"]["name"])


def _skipped(resource: Resource, what: object, why: str) -> None:
    if isinstance(what, dict) and isinstance(what.get("object"), dict):
        what = what["object"]  # of an event
    metadata = what.get("metadata") if isinstance(what, dict) else None
    fields = metadata if isinstance(metadata, dict) else {}
    _log.error(
        "Skipped object that could not be read",
        resource=resource.qualified,
        namespace=fields.get("namespace"),
        name=fields.get("name"),
        error=why,
    )


class _Complaint:
    """Says that a resource can't be read, now and then, with what to do about it."""

    def __init__(self, resource: Resource, namespace: str | None, clock: Clock) -> None:
        self._what = resource.qualified + (f' in namespace "{namespace}"' if namespace else "")
        self._clock = clock
        self._silent_until = float("-inf")

    def __call__(self, failed: Failed) -> None:
        remedy = _REMEDIES.get(failed.code or 0)
        if failed.expired or self._clock.monotonic() < self._silent_until:
            return  # expiry is a part of the protocol: the list that follows mends it
        self._silent_until = self._clock.monotonic() + SILENCE
        error = f"cannot list or watch {self._what}: {failed.message}"
        _log.warning("Watch failed", error=f"{error}; {remedy}" if remedy else error)


_REMEDIES = {
    401: "renew the credentials",
    403: "give the operator the rights in manifests/rbac",
    404: "install the CRD in manifests/crd",
}
