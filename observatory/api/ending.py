"""How a run comes to an early end, and the answers to those who asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from observatory.api.times import format_time, parse_time
from observatory.api.types import JsonObject
from observatory.api.wire import put, put_time


class EndingMode(StrEnum):
    """How a run is ended before its tasks are through. A later one is stricter."""

    DRAIN = "Drain"
    STOP = "Stop"
    TERMINATE = "Terminate"

    @property
    def rank(self) -> int:
        """Its place: no run goes back to one of a lower rank."""
        return list(EndingMode).index(self)


@dataclass(frozen=True, slots=True)
class Ending:
    """That the run is to end before its tasks are through, and why."""

    mode: EndingMode
    reason: str
    time: datetime
    message: str | None = None

    @classmethod
    def from_wire(cls, ending: JsonObject) -> Ending:
        """The value of `status.ending`."""
        return cls(
            mode=EndingMode(ending["mode"]),
            reason=ending["reason"],
            time=parse_time(ending["time"]),
            message=ending.get("message"),
        )

    def to_wire(self) -> JsonObject:
        """The ending as JSON."""
        ending: JsonObject = {"mode": self.mode.value, "reason": self.reason}
        put(ending, "message", self.message)
        put_time(ending, "time", self.time)
        return ending


class RequestType(StrEnum):
    """What can be asked for by an annotation."""

    RETRY = "Retry"
    STOP = "Stop"
    TERMINATE = "Terminate"
    RUN_NOW = "RunNow"
    BACKFILL = "Backfill"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: the annotation's value, and what came of it."""

    type: RequestType
    nonce: str
    accepted: bool
    message: str
    time: datetime

    @classmethod
    def from_wire(cls, item: JsonObject) -> Answer:
        """The value of one item of `status.requests`."""
        return cls(
            type=RequestType(item["type"]),
            nonce=item["nonce"],
            accepted=item["outcome"] == "Accepted",
            message=item.get("message", ""),
            time=parse_time(item["time"]),
        )

    def to_wire(self) -> JsonObject:
        """The item as JSON."""
        return {
            "type": self.type.value,
            "nonce": self.nonce,
            "outcome": "Accepted" if self.accepted else "Refused",
            "message": self.message,
            "time": format_time(self.time),
        }
