"""Which trace a run is: its ids, and how they are handed on (W3C Trace Context).

Nothing here is random: ids are hashes of what a run is, so every operator that ever works on it, or
works it out anew after a crash, finds the same ones.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from observatory.api.types import JsonObject
from observatory.api.wire import put

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_TRACE_BYTES, _SPAN_BYTES = 16, 8
_SAMPLED = 1
CARRIER_LENGTH = 8192
"""Characters of a tracestate or baggage that are handed on; W3C asks for no more."""


@dataclass(frozen=True, slots=True)
class SpanContext:
    """One span, as others refer to it; ids in lowercase hexadecimal."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @property
    def traceparent(self) -> str:
        """It in the form of the header and the environment variable of that name."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"

    @classmethod
    def parse(cls, traceparent: str | None) -> SpanContext | None:
        """The span that a `traceparent` names; None where it is absent or names none."""
        match = _TRACEPARENT.fullmatch(traceparent.strip()) if traceparent else None
        if match is None or not (int(match[1], 16) and int(match[2], 16)):
            return None
        return cls(match[1], match[2], sampled=bool(int(match[3], 16) & _SAMPLED))


Sampler = Callable[[str, SpanContext | None], bool]
"""Whether the trace of that id, with that span as its parent, is recorded."""


def trace_id(uid: str, run: int) -> str:
    """The trace of a run that continues no other."""
    return _hash(_TRACE_BYTES, uid, run)


def run_span_id(uid: str, run: int) -> str:
    """The root span of a run."""
    return _hash(_SPAN_BYTES, uid, run, "run")


def task_span_id(uid: str, run: int, task: str) -> str:
    """The span of one task of a run."""
    return _hash(_SPAN_BYTES, uid, run, "task", task)


def attempt_span_id(uid: str, run: int, task: str, attempt: int, part: str = "") -> str:
    """The span of one attempt at a task, or of one part of it."""
    return _hash(_SPAN_BYTES, uid, run, "attempt", task, attempt, part)


def _hash(size: int, *parts: object) -> str:
    text = "".join(f"{len(str(part))}:{part}" for part in parts)
    return hashlib.sha256(text.encode()).digest()[:size].hex()


@dataclass(frozen=True, slots=True)
class Trace:
    """`status.trace`: the trace of the latest run.

    Attributes:
        span_id: The root span of the run.
        parent_span_id: The caller's span that it continues, where there was one.
        previous: The root span of the run before, as a traceparent, where this one retries it.
        exported: The whole trace has been handed to the collector.
    """

    trace_id: str
    span_id: str
    sampled: bool = True
    parent_span_id: str | None = None
    previous: str | None = None
    exported: bool = False

    @property
    def root(self) -> SpanContext:
        """The root span of the run."""
        return SpanContext(self.trace_id, self.span_id, self.sampled)

    @property
    def to_export(self) -> bool:
        """Whether the collector is still to hear of it."""
        return self.sampled and not self.exported

    @classmethod
    def from_wire(cls, item: JsonObject) -> Trace:
        """The value of `status.trace`.

        Raises:
            ValueError: These are no ids.
        """
        trace = cls(
            trace_id=item["traceID"],
            span_id=item["spanID"],
            sampled=item.get("sampled", False),
            parent_span_id=item.get("parentSpanID"),
            previous=item.get("previous"),
            exported=item.get("exported", False),
        )
        ids = trace.root.traceparent, SpanContext(trace.trace_id, trace.parent_span_id or "1" * 16)
        if SpanContext.parse(ids[0]) is None or SpanContext.parse(ids[1].traceparent) is None:
            raise ValueError("trace: no ids of a trace")
        return trace

    def to_wire(self) -> JsonObject:
        """It as JSON."""
        item: JsonObject = {"traceID": self.trace_id, "spanID": self.span_id}
        put(item, "sampled", self.sampled or None)
        put(item, "parentSpanID", self.parent_span_id)
        put(item, "previous", self.previous)
        put(item, "exported", self.exported or None)
        return item


@dataclass(frozen=True, slots=True)
class Carrier:
    """What the creator of an Observatory hands on of its own trace; see W3C Trace Context.

    `schedule` is the traceparent of the scheduled Observatory that this is a run of.
    """

    traceparent: str | None = None
    tracestate: str | None = None
    baggage: str | None = None
    schedule: str | None = None


NO_CARRIER = Carrier()
