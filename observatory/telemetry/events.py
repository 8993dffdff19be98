"""Kubernetes Events: what is in them, which are the same, and how many are too many. Pure.

What is recorded is best effort: nothing may depend on an Event. The series are those of
client-go's `tools/events`, with two differences. The note is part of what makes two Events the
same: tasks are no API objects, so often the note alone tells which task an Event is about. And the
count of a series is written at powers of two, not every half hour: it is nearly right at any time,
for few writes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from observatory.api.names import EVENTS, FIELD_MANAGER, GROUP, Key
from observatory.api.times import micro_time
from observatory.api.types import JsonObject
from observatory.machinery.instant import Instant

REPORTING_CONTROLLER = f"{GROUP}/{FIELD_MANAGER}"
NOTE_BYTES = 1024
INSTANCE_LENGTH = 128
SERIES_SECONDS = 360.0
"""A series that was silent for so long has ended: the next one is a new Event."""
BURST = 25
REFILL_SECONDS = 300.0
"""An object may have `BURST` Events of one reason at once, and one more in every so many seconds.

client-go's numbers, but by reason: many failed tasks must not hide that their run has failed.
"""
REMEMBERED = 4096
"""Series and objects that are remembered; the longest unused are forgotten."""

NORMAL = "Normal"
WARNING = "Warning"
_NAME_LENGTH = 253


class Identity(NamedTuple):
    """What two Events have in common that are one series."""

    uid: str
    type: str
    reason: str
    action: str
    note: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an object."""

    regarding: JsonObject
    """An object reference, see `reference`."""
    type: str
    """`NORMAL` or `WARNING`."""
    reason: str
    """Why, as one specific CamelCase word that people can search for."""
    action: str
    """What was done, as one CamelCase word."""
    note: str
    """A sentence for people."""

    @property
    def identity(self) -> Identity:
        """See `Identity`."""
        uid = str(self.regarding.get("uid") or "")
        return Identity(uid, self.type, self.reason, self.action, self.note)


def reference(item: JsonObject) -> JsonObject:
    """The reference to an object that says which it is, of which version."""
    metadata = item["metadata"]
    fields = ("namespace", "name", "uid", "resourceVersion")
    found: JsonObject = {"apiVersion": item["apiVersion"], "kind": item["kind"]}
    return found | {name: metadata[name] for name in fields if metadata.get(name)}


def body(event: Event, now: datetime, instance: str) -> tuple[Key, JsonObject]:
    """The Event as it is created, and its key."""
    regarding = event.regarding
    namespace = str(regarding.get("namespace") or "default")
    suffix = f".{int(now.timestamp() * 1_000_000_000):x}"
    name = str(regarding["name"])[: _NAME_LENGTH - len(suffix)].rstrip("-.") + suffix
    made: JsonObject = {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"namespace": namespace, "name": name},
        "eventTime": micro_time(now),
        "reportingController": REPORTING_CONTROLLER,
        "reportingInstance": instance[:INSTANCE_LENGTH],
        "type": event.type,
        "reason": event.reason,
        "action": event.action,
        "note": shortened(event.note),
        "regarding": regarding,
    }
    return Key(namespace, name), made


def series(count: int, now: datetime) -> JsonObject:
    """The merge patch that says how often it has happened."""
    return {"series": {"count": count, "lastObservedTime": micro_time(now)}}


def shortened(note: str) -> str:
    """The note in at most `NOTE_BYTES` bytes of UTF-8, cut between characters."""
    encoded = note.encode()
    if len(encoded) <= NOTE_BYTES:
        return note
    mark = "…"
    return encoded[: NOTE_BYTES - len(mark.encode())].decode(errors="ignore") + mark


@dataclass(frozen=True, slots=True)
class Create:
    """Create the Event, then tell `Correlator.created` under which key."""

    event: Event


@dataclass(frozen=True, slots=True)
class Count:
    """Write the count into the series of the Event that is there."""

    key: Key
    count: int


@dataclass(slots=True)
class _Series:
    seen: Instant
    count: int = 1
    key: Key | None = None  # None until it is created


@dataclass(slots=True)
class _Bucket:
    filled: Instant
    tokens: float = field(default=float(BURST))

    def take(self, now: Instant) -> bool:
        refill = (now - self.filled) / REFILL_SECONDS
        self.tokens, self.filled = min(self.tokens + refill, float(BURST)), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Correlator:
    """Decides what is written when an Event is recorded: it, a count, or nothing."""

    def __init__(self) -> None:
        self._series: OrderedDict[Identity, _Series] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()

    def record(self, event: Event, now: Instant) -> Create | Count | None:
        """What to write for an Event that happened now."""
        identity = event.identity
        known = self._series.get(identity)
        if known is not None and now - known.seen < SERIES_SECONDS:
            self._series.move_to_end(identity)
            known.seen = now
            known.count += 1
            power_of_two = known.count & (known.count - 1) == 0
            return Count(known.key, known.count) if power_of_two and known.key else None
        source = (identity.uid, identity.reason)
        bucket = self._buckets.setdefault(source, _Bucket(now))
        self._buckets.move_to_end(source)
        _trim(self._buckets)
        if not bucket.take(now):
            return None
        self._series[identity] = _Series(now)
        _trim(self._series)
        return Create(event)

    def created(self, event: Event, key: Key) -> None:
        """Tell where the Event is, so that its series can be counted there."""
        if (known := self._series.get(event.identity)) is not None:
            known.key = key

    def forget(self, event: Event) -> None:
        """Tell that the Event could not be written, or is not there any more."""
        self._series.pop(event.identity, None)


def _trim(entries: OrderedDict[Identity, _Series] | OrderedDict[tuple[str, str], _Bucket]) -> None:
    while len(entries) > REMEMBERED:
        entries.popitem(last=False)
