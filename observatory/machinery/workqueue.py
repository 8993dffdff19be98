"""The work queue: client-go's, with controller-runtime's priorities, fair between groups.

- A key is never handed out twice at once. Added while it is processed, it comes back exactly once.
- A delayed key keeps its earliest time. Adding it now takes the delayed entry along: whoever works
  on the key says anew when it wants it back.
- The highest priority is served first, but one pop of 8 serves the next level down. Neither
  client-go's nor controller-runtime's queue does that: there, low priorities can starve.
- Within a level, groups such as namespaces take turns. Within a group it is first in, first out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from enum import IntEnum
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

from observatory.machinery.instant import Instant

K = TypeVar("K", bound=Hashable)

_YIELD_EVERY = 8
"""Of so many pops, one goes to the next lower level."""
_SPARE_DEADLINES = 64
"""Not worth tidying up."""


class Priority(IntEnum):
    """Who goes first."""

    LOW = -100
    """The initial list: every object at once, most of them long finished."""
    NORMAL = 0


@dataclass(frozen=True, slots=True)
class Taken(Generic[K]):
    """A key that somebody now works on, until `done`."""

    key: K
    priority: int
    waited_seconds: float
    """Since it was added or fell due."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key in the queue: since when, or from when on, if it is delayed."""

    since: Instant
    priority: int


class WorkQueue(Generic[K]):
    """Keys that need work. `group` tells which keys share a turn."""

    def __init__(self, group: Callable[[K], Hashable] = lambda _key: None) -> None:
        self._group = group
        # client-go's sets. A dirty key waits in `_ready` unless it is being processed.
        self._dirty: dict[K, _Entry] = {}
        self._processing: dict[K, Instant] = {}
        self._delayed: dict[K, _Entry] = {}
        # An entry of the heap is void unless `_delayed` holds the same time.
        self._deadlines: list[tuple[Instant, int, K]] = []
        self._ready: dict[int, _Turns[K]] = {}
        self._pops = 0
        self._sequence = 0
        self._shutting_down = False
        self.adds = 0
        """Keys that became dirty so far."""

    def add(self, key: K, now: Instant, *, priority: int = Priority.NORMAL) -> None:
        """Have `key` worked on soon. A key that waits already keeps the higher priority."""
        if self._shutting_down:
            return
        if (delayed := self._delayed.pop(key, None)) is not None:
            priority = max(priority, delayed.priority)
        entry = self._dirty.get(key)
        if entry is None:
            self.adds += 1
            self._dirty[key] = _Entry(now, priority)
        elif priority > entry.priority:
            if key not in self._processing:
                self._unready(key, entry.priority)
            self._dirty[key] = replace(entry, priority=priority)
        else:
            return
        if key not in self._processing:
            self._make_ready(key)

    def add_at(self, key: K, due: Instant, *, priority: int = Priority.NORMAL) -> None:
        """Have `key` worked on from `due` on, unless that happens earlier."""
        if self._shutting_down or key in self._dirty:
            return
        if (delayed := self._delayed.get(key)) is not None:
            priority = max(priority, delayed.priority)
            due = min(due, delayed.since)
        self._delayed[key] = _Entry(due, priority)
        self._push_deadline(key, due)

    def get(self, now: Instant) -> Taken[K] | None:
        """Take the next key, or None when there is nothing to do at `now`."""
        self._add_delayed(now)
        if not self._ready:
            return None
        level = self._next_level()
        key = self._ready[level].pop()
        self._drop_if_empty(level)
        entry = self._dirty.pop(key)
        self._processing[key] = now
        return Taken(key, entry.priority, max(0.0, now - entry.since))

    def done(self, key: K) -> None:
        """Give a taken key back; raises KeyError when it was not taken."""
        del self._processing[key]
        if key in self._dirty:
            self._make_ready(key)

    def next_deadline(self) -> Instant | None:
        """When `get` may next find a key without any `add` or `done`."""
        while self._deadlines:
            due, _, key = self._deadlines[0]
            if self._is_due(key, due):
                return due
            heappop(self._deadlines)
        return None

    def shut_down(self) -> None:
        """Take no more keys and drop the delayed ones. What is dirty is still handed out."""
        self._shutting_down = True
        self._delayed.clear()

    @property
    def shutting_down(self) -> bool:
        """Whether `shut_down` was called."""
        return self._shutting_down

    def depth(self) -> dict[int, int]:
        """How many keys wait for a worker, by priority; delayed ones do not count."""
        return {level: len(turns) for level, turns in self._ready.items()}

    def unfinished_work_seconds(self, now: Instant) -> float:
        """The time that all taken keys together have been in hand."""
        return sum(now - since for since in self._processing.values())

    def longest_running_seconds(self, now: Instant) -> float:
        """The time that the first-taken key has been in hand: a stuck worker shows here."""
        return max((now - since for since in self._processing.values()), default=0.0)

    def _add_delayed(self, now: Instant) -> None:
        while (due := self.next_deadline()) is not None and due <= now:
            _, _, key = heappop(self._deadlines)
            self.add(key, due, priority=self._delayed[key].priority)

    def _push_deadline(self, key: K, due: Instant) -> None:
        # Keys that are worked on long before they fall due leave void entries behind.
        if len(self._deadlines) > 2 * len(self._delayed) + _SPARE_DEADLINES:
            self._deadlines = [
                entry for entry in self._deadlines if self._is_due(entry[2], entry[0])
            ]
            heapify(self._deadlines)
        # The sequence keeps the heap from comparing keys.
        self._sequence += 1
        heappush(self._deadlines, (due, self._sequence, key))

    def _is_due(self, key: K, due: Instant) -> bool:
        delayed = self._delayed.get(key)
        return delayed is not None and delayed.since == due

    def _next_level(self) -> int:
        """The highest level; one level lower for each time that 8 divides the count of pops."""
        self._pops += 1
        levels = sorted(self._ready)
        pops = self._pops
        while len(levels) > 1 and pops % _YIELD_EVERY == 0:
            levels.pop()
            pops //= _YIELD_EVERY
        return levels[-1]

    def _make_ready(self, key: K) -> None:
        turns = self._ready.setdefault(self._dirty[key].priority, _Turns())
        turns.push(self._group(key), key)

    def _unready(self, key: K, level: int) -> None:
        self._ready[level].remove(self._group(key), key)
        self._drop_if_empty(level)

    def _drop_if_empty(self, level: int) -> None:
        if not self._ready[level]:
            del self._ready[level]


class _Turns(Generic[K]):
    """The ready keys of one level: groups take turns, each with its keys in order of arrival.

    OrderedDict, because the first key of a dict is found by walking over all deleted ones.
    """

    def __init__(self) -> None:
        self._groups: OrderedDict[Hashable, OrderedDict[K, None]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, group: Hashable, key: K) -> None:
        self._groups.setdefault(group, OrderedDict())[key] = None
        self._count += 1

    def pop(self) -> K:
        group, keys = next(iter(self._groups.items()))
        key, _ = keys.popitem(last=False)
        self._groups.move_to_end(group)
        self._forget(group)
        return key

    def remove(self, group: Hashable, key: K) -> None:
        del self._groups[group][key]
        self._forget(group)

    def _forget(self, group: Hashable) -> None:
        self._count -= 1
        if not self._groups[group]:
            del self._groups[group]
