"""The slots that all runs share: who has how many active Pods, and who gets those that are free.

- What is asked for and what is stored of it lie a request apart: slots are taken before a start is
  asked for. Where no answer comes they stay taken until a newer version of the object tells.
- Free slots go to the namespaces that wait one by one, each time to the one with the fewest active
  Pods (max-min fair), of equals to the one that was served longest ago. Nothing stays free that
  somebody waits for and may have.
- Within a namespace places decide: the run that began first goes first, and before all those that
  have come to their `finally`.

A run is counted by its key. It never asks for another's slot: who waits is called (`next_up`) when
there is one for it, and asks again. `machinery` knows no clock and no queue.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from itertools import repeat
from typing import NamedTuple

from observatory.api.limits import CLUSTER_LIMIT, NAMESPACE_LIMIT
from observatory.api.names import Key


class Place(NamedTuple):
    """A run's place among those of its namespace that wait: the least goes first."""

    late: bool
    """Not in its `finally` yet: what cleans up is not to wait for what begins."""
    since: float
    """When the run began."""


_NEVER = Place(late=True, since=0.0)


@dataclass(frozen=True, slots=True)
class Ask:
    """A run that would start something.

    Attributes:
        version: That of the object that it is planned from.
        active: Its Pods that are recorded there and are not known to have ended.
        wish: How many more it could start at the most.
    """

    key: Key
    place: Place
    version: int
    active: int
    wish: int


@dataclass(frozen=True, slots=True)
class Offer:
    """How many more Pods a run may start, and what keeps it from starting more."""

    slots: int
    reason: str
    limit: int


@dataclass(slots=True)
class _Claim:
    """What one Observatory has, and what it waits for.

    Attributes:
        version: That of the object that `recorded` was read from.
        recorded: Pods that a status records as running, and that are not known to have ended.
        reserved: The same with the starts that are in flight.
        doubted: The same with those of which nobody knows whether they were stored.
        strays: Pods that run though no Observatory records them any more.
        wants: How many more it would start.
    """

    version: int = 0
    recorded: int = 0
    reserved: int = 0
    doubted: int = 0
    strays: int = 0
    wants: int = 0
    place: Place = _NEVER

    @property
    def held(self) -> int:
        return max(self.recorded, self.reserved, self.doubted) + self.strays


class Slots:
    """Deals out so many slots a namespace, and so many in all; None for no limit."""

    def __init__(self, namespace: int | None, cluster: int | None) -> None:
        self._namespace = namespace
        self._cluster = cluster
        self._claims: dict[Key, _Claim] = {}
        self._held: dict[str, int] = {}
        self._total = 0
        self._lines: dict[str, list[tuple[Place, Key]]] = {}
        # When a namespace was last given something, or began to wait, as a number that grows.
        self._served: dict[str, int] = {}
        self._turns = 0

    def active(self, namespace: str | None = None) -> int:
        """How many slots are taken, in a namespace or in all."""
        return self._total if namespace is None else self._held.get(namespace, 0)

    def recorded(self, key: Key, version: int, active: int) -> None:
        """An object of that version records so many active Pods. Older versions tell nothing."""
        claim = self._claims.get(key)
        if claim is None and not active:
            return
        if claim is None or version > claim.version:
            self._change(key, version=version, recorded=active, reserved=0, doubted=0)

    def gone(self, key: Key, strays: int | None = None) -> None:
        """The Observatory is gone; so many of its Pods still run, or all of them until told."""
        claim = self._claims.get(key)
        if strays is None:
            strays = claim.held if claim else 0
        if claim or strays:
            nothing = dict.fromkeys(("version", "recorded", "reserved", "doubted", "wants"), 0)
            self._change(key, strays=strays, **nothing)

    def strays(self, key: Key, count: int) -> None:
        """So many Pods run that name this Observatory as their owner and are not its own."""
        claim = self._claims.get(key)
        if count != (claim.strays if claim else 0):
            self._change(key, strays=count)

    def offer(self, ask: Ask) -> Offer:
        """What a run may take now.

        That Pods of its own have ended may be known here first; their slots are free for all.
        """
        key, claim = ask.key, self._claims.get(ask.key, _Claim())
        if ask.version >= claim.version:
            doubted = claim.doubted if ask.version == claim.version else 0
            claim = self._change(key, version=ask.version, recorded=ask.active, doubted=doubted)
        # What it took and nobody knows to be stored is its own still.
        again = max(claim.doubted - claim.recorded, 0)
        mine = in_namespace = 0
        for each in self._dealt(ask):
            mine += each == key
            in_namespace += each.namespace == key.namespace
        full = self._namespace is not None and (
            self.active(key.namespace) + in_namespace >= self._namespace
        )
        if full and self._namespace is not None:
            return Offer(again + mine, NAMESPACE_LIMIT, self._namespace)
        return Offer(again + mine, CLUSTER_LIMIT, self._cluster or 0)

    def take(self, ask: Ask, slots: int, wants: int) -> None:
        """Take slots that were just offered, and wait for `wants` more."""
        claim = self._claims.get(ask.key, _Claim())
        version = max(claim.version, ask.version)
        # What is planned from an object that has changed since can't be stored.
        takes = slots if ask.version == version else 0
        reserved = claim.recorded + takes if takes else 0
        if takes or (wants and ask.key.namespace not in self._served):
            self._turns += 1
            self._served[ask.key.namespace] = self._turns
        self._change(ask.key, version=version, reserved=reserved, place=ask.place, wants=wants)

    def settle(self, key: Key, version: int, active: int) -> None:
        """What was taken has been stored, or was not needed: that version records `active`."""
        claim = self._claims.get(key)
        if claim is not None and version >= claim.version:
            doubted = claim.doubted if version == claim.version else 0
            self._change(key, version=version, recorded=active, reserved=0, doubted=doubted)

    def drop(self, key: Key, *, doubtful: bool) -> None:
        """What was taken has not been stored, or nobody knows; it waits for nothing now.

        In doubt it stays taken until a newer version of the object tells.
        """
        if (claim := self._claims.get(key)) is not None:
            doubted = max(claim.doubted, claim.reserved) if doubtful else claim.doubted
            self._change(key, reserved=0, doubted=doubted, wants=0)

    def withdraw(self, key: Key) -> None:
        """It waits for nothing: it can't use a slot for now. What it has stays its own."""
        if (claim := self._claims.get(key)) and claim.wants:
            self._change(key, wants=0)

    def next_up(self) -> tuple[Key, ...]:
        """Those for whom there is a slot, in turn: they are to ask again."""
        return tuple(dict.fromkeys(self._dealt()))

    def _dealt(self, ask: Ask | None = None) -> Iterator[Key]:
        """Who gets each of the free slots, one after the other; `ask` as if it waited, too."""
        namespaces = set(self._lines)
        if ask is not None:
            own = {ask.key.namespace}
            namespaces = own if self._cluster is None else namespaces | own
        lines = {name: self._line(name, ask) for name in namespaces}
        heap = [
            (self.active(name), self._served.get(name, self._turns + 1), name)
            for name in namespaces
        ]
        heapify(heap)
        free = None if self._cluster is None else self._cluster - self._total
        while heap and (free is None or free > 0):
            held, served, name = heap[0]
            full = self._namespace is not None and held >= self._namespace
            key = None if full else next(lines[name], None)
            if key is None:
                heappop(heap)
                continue
            heapreplace(heap, (held + 1, served, name))
            free = None if free is None else free - 1
            yield key

    def _line(self, namespace: str, ask: Ask | None) -> Iterator[Key]:
        """Who of a namespace gets each slot that it is given."""
        waiting = self._lines.get(namespace, [])
        if ask is None or ask.key.namespace != namespace:
            for _, key in waiting:
                yield from repeat(key, self._claims[key].wants)
            return
        after = bisect_left(waiting, (ask.place, ask.key))
        for _, key in waiting[:after]:
            if key != ask.key:
                yield from repeat(key, self._claims[key].wants)
        yield from repeat(ask.key, ask.wish)
        for _, key in waiting[after:]:
            if key != ask.key:
                yield from repeat(key, self._claims[key].wants)

    def _change(self, key: Key, **changes: int | Place) -> _Claim:
        """Change a claim, and everything that is derived of it."""
        claim = self._claims.setdefault(key, _Claim())
        before = claim.held
        if claim.wants:
            line = self._lines[key.namespace]
            del line[bisect_left(line, (claim.place, key))]
        for field, value in changes.items():
            setattr(claim, field, value)
        if claim.wants:
            insort(self._lines.setdefault(key.namespace, []), (claim.place, key))
        elif not self._lines.get(key.namespace, True):
            del self._lines[key.namespace]
        self._total += claim.held - before
        held = self._held.get(key.namespace, 0) + claim.held - before
        self._held[key.namespace] = held
        if not (claim.held or claim.wants):
            del self._claims[key]
        if not held and key.namespace not in self._lines:
            # Namespaces come and go.
            del self._held[key.namespace]
            self._served.pop(key.namespace, None)
        return claim
