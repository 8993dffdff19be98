"""Fault plans: what goes wrong, at which request. They are JSON; see `Fault` for the fields.

{"on": {"write": 5}, "do": "kill"}
{"on": {"write": 5}, "when": "after", "do": "stop", "seconds": 6}
{"on": {"verb": "update", "resource": "observatories", "nth": 2}, "do": "status", "status": 409}
{"on": {"write": 3}, "do": "hold", "watch": "pods", "seconds": 4}
{"on": {"resource": "leases", "operator": 0}, "do": "hang", "for": 6}
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.calls import Call

AT_REQUESTS = {
    "kill": "SIGKILL the operator, exactly there",
    "terminate": "SIGTERM it; the request goes on",
    "stop": "SIGSTOP it for `seconds`; the request, or its answer, waits as long",
    "drop_request": "close the connection; the API server never hears of it",
    "drop_answer": "close the connection once the API server has answered",
    "reset": "as drop_answer or drop_request, by `when`, with a TCP reset",
    "hang": "no answer until the faults heal, or `for` is over",
    "status": "answer `status` in place of the API server",
    "delay": "wait `seconds`",
    "slow": "let the answer drip for `seconds`",
    "truncate": "close the connection in the middle of the answer",
    "touch": "annotate the object first, as another writer would: a true conflict",
    "rewind": "answer a list or an initial watch as it was `back` writes ago",
}
AT_STREAMS = {
    "hold": "let the watch wait for `seconds`, or until the faults heal, then bring all of it",
    "cut": "end the watch in good form",
    "fin": "close its connection",
    "cut_reset": "reset its connection",
    "cut_line": "close its connection within a line",
    "silent": "bring nothing any more and keep the connection open",
    "error410": "end it with an ERROR event of code 410; taken up at an old version it meets HTTP"
    " 410, or with `seconds` another ERROR event after so long",
}
_ONLY_BEFORE = {"drop_request", "hang", "status", "touch", "rewind"}
_ONLY_AFTER = {"drop_answer", "slow", "truncate"}


class PlanError(ValueError):
    """A plan that says nothing, or nothing that can be done."""


@dataclass(frozen=True, slots=True)
class On:
    """Which requests: all that is given must be so. A resource of `!leases` is any but leases.

    `write` is short for the n-th write of a run: leases and Events don't count. `request` is the
    n-th request of any kind. Both count over all operators and incarnations of a case.
    """

    write: int | None = None
    request: int | None = None
    verb: str | None = None
    resource: str | None = None
    subresource: str | None = None
    name: str | None = None
    initial: bool | None = None
    operator: int | None = None
    nth: int = 1

    def matches(self, call: Call, operator: int) -> bool:
        """Whether this is such a request, whichever it is in their order."""
        if self.write is not None and not call.counts:
            return False
        if self.operator is not None and operator != self.operator:
            return False
        if self.name is not None and self.name not in call.name:
            return False
        given = (
            (self.verb, call.verb),
            (self.resource, call.resource),
            (self.subresource, call.subresource),
        )
        if any(not _is(wanted, found) for wanted, found in given if wanted is not None):
            return False
        return self.initial is None or self.initial == call.initial

    @property
    def first(self) -> int:
        """The number, among the requests that match, of the first one that is meant."""
        return self.write or self.request or self.nth


def _is(wanted: str, found: str) -> bool:
    return found != wanted[1:] if wanted.startswith("!") else found == wanted


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        do: One of `AT_REQUESTS` or `AT_STREAMS`.
        when: `before` the request reaches the API server, or `after` it has answered.
        watch: Of which resource the streams are meant; empty for all. On a watch request
            itself it is that stream.
        lines: With a watch request: after so many lines of it.
        times: How many matching requests in a row; 0 for all.
        window: In JSON `for`: all matching requests for so many seconds.
        share: Which part of the matching requests, from 0 to 1; which ones follows from their
            number.
    """

    on: On
    do: str
    when: str = "before"
    watch: str = ""
    lines: int = 0
    seconds: float = 0.0
    status: int = 500
    retry_after: int | None = None
    back: int = 0
    times: int = 1
    window: float | None = None
    share: float = 1.0

    @property
    def at_streams(self) -> bool:
        """Whether it happens to watches that are open, not to a request."""
        return self.do in AT_STREAMS

    def to_json(self) -> dict[str, Any]:
        """As it is written in plans: what differs from the default."""
        made = _given(self)
        if "window" in made:
            made["for"] = made.pop("window")
        return {**made, "on": _given(self.on)}


def _given(value: On | Fault) -> dict[str, Any]:
    found = {}
    for each in dataclasses.fields(value):
        content = getattr(value, each.name)
        if each.default is dataclasses.MISSING or content != each.default:
            found[each.name] = content
    return found


def parse(fault: Mapping[str, Any]) -> Fault:
    """The fault that a plan describes.

    Raises:
        PlanError: A field is unknown, or fields contradict each other.
    """
    fields = dict(fault)
    if "for" in fields:
        fields["window"] = fields.pop("for")
    on = fields.pop("on", None)
    if not isinstance(on, Mapping):
        raise PlanError(f'{dict(fault)}: "on" is missing: say which request, as {{"write": 5}}')
    made = Fault(on=_made(On, on), **_checked(Fault, fields))
    known = AT_REQUESTS | AT_STREAMS
    if made.do not in known:
        raise PlanError(f'do: "{made.do}" is unknown; there are {", ".join(known)}')
    if made.when not in {"before", "after"}:
        raise PlanError(f'when: "{made.when}" is neither "before" nor "after"')
    if made.do in _ONLY_BEFORE and made.when == "after":
        raise PlanError(f'when: "{made.do}" happens only before a request')
    if made.do in _ONLY_AFTER and "when" not in fields:
        return dataclasses.replace(made, when="after")
    if made.do in _ONLY_AFTER and made.when == "before":
        raise PlanError(f'when: "{made.do}" happens only after a request')
    return made


def _made(kind: type[On], fields: Mapping[str, Any]) -> On:
    return kind(**_checked(kind, fields))


def _checked(kind: type[Any], fields: Mapping[str, Any]) -> Mapping[str, Any]:
    known = [each.name for each in dataclasses.fields(kind)]
    unknown = fields.keys() - set(known)
    if unknown:
        text = ", ".join(sorted(unknown))
        raise PlanError(f"{text}: no such field; there are {', '.join(known)}")
    return fields


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = 0
    hits: int = 0
    since: float | None = None

    def fires(self, call: Call, operator: int, now: float) -> bool:
        fault = self.fault
        if not fault.on.matches(call, operator):
            return False
        self.seen += 1
        if self.seen < fault.on.first:
            return False
        if self.since is None:
            self.since = now
        if fault.window is not None:
            if now - self.since > fault.window:
                return False
        elif fault.times and self.hits >= fault.times:
            return False
        if fault.share < 1 and zlib.crc32(str(self.seen).encode()) % 1000 >= fault.share * 1000:
            return False
        self.hits += 1
        return True


@dataclass(slots=True)
class Armory:
    """The faults of one case, counted over all its operators."""

    armed: list[_Armed] = field(default_factory=list)
    healed: bool = False
    requests: int = 0
    writes: int = 0

    @classmethod
    def of(cls, faults: Iterable[Fault]) -> Armory:
        """Armed with these."""
        return cls([_Armed(fault) for fault in faults])

    def fired(self, call: Call, operator: int, now: float) -> list[Fault]:
        """What is to happen to this request."""
        self.requests += 1
        self.writes += call.counts
        if self.healed:
            return []
        return [each.fault for each in self.armed if each.fires(call, operator, now)]

    @property
    def all_fired(self) -> bool:
        """Whether every fault has happened at least once."""
        return all(each.hits for each in self.armed)

    def left(self, fault: Fault, now: float) -> float | None:
        """The seconds that are left of a fault's window; None if it has none."""
        since = next((each.since for each in self.armed if each.fault is fault), None)
        if fault.window is None or since is None:
            return None
        return max(0.0, since + fault.window - now)
