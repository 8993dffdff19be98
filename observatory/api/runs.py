"""The runs of a scheduled Observatory as its status has them, to and from the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from observatory.api.fielderrors import ErrorType
from observatory.api.runsschema import RUNS
from observatory.api.structural import check
from observatory.api.times import format_time, parse_time
from observatory.api.types import JsonObject
from observatory.api.wire import optional_time, put, put_time

T = TypeVar("T")


class Trigger(StrEnum):
    """Why a run begins."""

    SCHEDULE = "Schedule"
    RUN_NOW = "RunNow"
    BACKFILL = "Backfill"


@dataclass(frozen=True, slots=True)
class RunId:
    """Which run: its number, which no other has, and what it is for.

    Attributes:
        time: Its fire time; of a run that was asked for, when it was.
    """

    number: int
    schedule: str
    time: datetime
    trigger: Trigger

    @classmethod
    def from_wire(cls, item: JsonObject) -> RunId:
        """The identity in an item of any of the lists."""
        time = parse_time(item["time"])
        return cls(item["number"], item["schedule"], time, Trigger(item["trigger"]))

    def to_wire(self) -> JsonObject:
        """The fields of the identity."""
        return {
            "number": self.number,
            "schedule": self.schedule,
            "time": format_time(self.time),
            "trigger": self.trigger.value,
        }


@dataclass(frozen=True, slots=True)
class Queued:
    """A run that is due and has not begun."""

    id: RunId
    reason: str | None = None
    message: str | None = None

    @classmethod
    def from_wire(cls, item: JsonObject) -> Queued:
        """An item of `status.queuedRuns`."""
        return cls(RunId.from_wire(item), item.get("reason"), item.get("message"))

    def to_wire(self) -> JsonObject:
        """The item as JSON."""
        item = self.id.to_wire()
        put(item, "reason", self.reason)
        put(item, "message", self.message)
        return item


@dataclass(frozen=True, slots=True)
class Active:
    """A run that has begun and not ended: the Observatory of that UID, and no namesake of it.

    Attributes:
        retry: The request that it runs again for, after it had ended.
        cancel_reason: Why it is being ended.
    """

    id: RunId
    name: str
    uid: str
    start_time: datetime
    retry: str | None = None
    cancel_reason: str | None = None

    @classmethod
    def from_wire(cls, item: JsonObject) -> Active:
        """An item of `status.activeRuns`."""
        return cls(
            id=RunId.from_wire(item),
            name=item["name"],
            uid=item["uid"],
            start_time=parse_time(item["startTime"]),
            retry=item.get("retry"),
            cancel_reason=item.get("cancelReason"),
        )

    def to_wire(self) -> JsonObject:
        """The item as JSON."""
        item = self.id.to_wire() | {"name": self.name, "uid": self.uid}
        put_time(item, "startTime", self.start_time)
        put(item, "retry", self.retry)
        put(item, "cancelReason", self.cancel_reason)
        return item


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended."""

    id: RunId
    name: str
    uid: str
    succeeded: bool
    start_time: datetime
    completion_time: datetime
    reason: str | None = None

    @classmethod
    def from_wire(cls, item: JsonObject) -> Ended:
        """An item of `status.runHistory`."""
        return cls(
            id=RunId.from_wire(item),
            name=item["name"],
            uid=item["uid"],
            succeeded=item["phase"] == "Succeeded",
            start_time=parse_time(item["startTime"]),
            completion_time=parse_time(item["completionTime"]),
            reason=item.get("reason"),
        )

    def to_wire(self) -> JsonObject:
        """The item as JSON."""
        item = self.id.to_wire() | {"name": self.name, "uid": self.uid}
        item["phase"] = "Succeeded" if self.succeeded else "Failed"
        put(item, "reason", self.reason)
        put_time(item, "startTime", self.start_time)
        put_time(item, "completionTime", self.completion_time)
        return item


@dataclass(frozen=True, slots=True)
class Skipped:
    """A fire time at which no run has begun; with `until`, all of them up to that one."""

    schedule: str
    time: datetime
    reason: str
    message: str
    until: datetime | None = None

    @classmethod
    def from_wire(cls, item: JsonObject) -> Skipped:
        """An item of `status.skippedRuns`."""
        return cls(
            schedule=item["schedule"],
            time=parse_time(item["time"]),
            reason=item["reason"],
            message=item.get("message", ""),
            until=optional_time(item.get("until")),
        )

    def to_wire(self) -> JsonObject:
        """The item as JSON."""
        item: JsonObject = {"schedule": self.schedule, "time": format_time(self.time)}
        put_time(item, "until", self.until)
        return item | {"reason": self.reason, "message": self.message}


@dataclass(frozen=True, slots=True)
class Handled:
    """Up to where a schedule has been seen to: no fire time up to `time` is ever run again."""

    name: str
    schedule: str
    time_zone: str
    time: datetime

    @classmethod
    def from_wire(cls, item: JsonObject) -> Handled:
        """An item of `status.schedules`."""
        time = parse_time(item["handledTime"])
        return cls(item["name"], item["schedule"], item["timeZone"], time)

    def to_wire(self) -> JsonObject:
        """The item as JSON."""
        return {
            "name": self.name,
            "schedule": self.schedule,
            "timeZone": self.time_zone,
            "handledTime": format_time(self.time),
        }


@dataclass(frozen=True, slots=True)
class Backfill:
    """Runs for a range of past fire times; both ends belong to it.

    Attributes:
        time: Each fire time of the range up to this one has had its run.
        stopped: Why no more of its runs begin.
    """

    nonce: str
    since: datetime
    until: datetime
    max_concurrent: int
    time: datetime
    created: int = 0
    succeeded: int = 0
    failed: int = 0
    stopped: str | None = None
    completion_time: datetime | None = None

    @classmethod
    def from_wire(cls, item: JsonObject) -> Backfill:
        """The value of `status.backfill`."""
        return cls(
            nonce=item["nonce"],
            since=parse_time(item["since"]),
            until=parse_time(item["until"]),
            max_concurrent=item["maxConcurrent"],
            time=parse_time(item["handledTime"]),
            created=item.get("created", 0),
            succeeded=item.get("succeeded", 0),
            failed=item.get("failed", 0),
            stopped=item.get("stopped"),
            completion_time=optional_time(item.get("completionTime")),
        )

    def to_wire(self) -> JsonObject:
        """The backfill as JSON."""
        item: JsonObject = {
            "nonce": self.nonce,
            "since": format_time(self.since),
            "until": format_time(self.until),
            "maxConcurrent": self.max_concurrent,
            "handledTime": format_time(self.time),
            "created": self.created,
            "succeeded": self.succeeded,
            "failed": self.failed,
        }
        put(item, "stopped", self.stopped)
        put_time(item, "completionTime", self.completion_time)
        return item


@dataclass(frozen=True, slots=True)
class Runs:
    """What a scheduled Observatory's status says of its runs. `latest` is 0 before the first."""

    latest: int = 0
    handled: tuple[Handled, ...] = ()
    next_times: tuple[datetime, ...] = ()
    queued: tuple[Queued, ...] = ()
    active: tuple[Active, ...] = ()
    history: tuple[Ended, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    backfill: Backfill | None = None
    failures: int = 0
    last_schedule_time: datetime | None = None
    last_run_time: datetime | None = None
    last_success_time: datetime | None = None

    @property
    def busy(self) -> bool:
        """Whether a run is on."""
        return bool(self.active)

    @classmethod
    def from_wire(cls, status: JsonObject) -> Runs:
        """The part of a status that is about runs.

        Raises:
            ValueError: It has a value that the schema doesn't allow.
        """
        part = {field: status[field] for field in RUNS if field in status}
        if not part:
            return NO_RUNS
        for error in check(part, _SCHEMA, "status"):
            if error.type is not ErrorType.FORBIDDEN:
                raise ValueError(str(error))
        backfill = status.get("backfill")
        return cls(
            latest=status.get("latestRun", 0),
            handled=_each(Handled.from_wire, status.get("schedules")),
            next_times=_each(parse_time, status.get("nextRunTimes")),
            queued=_each(Queued.from_wire, status.get("queuedRuns")),
            active=_each(Active.from_wire, status.get("activeRuns")),
            history=_each(Ended.from_wire, status.get("runHistory")),
            skipped=_each(Skipped.from_wire, status.get("skippedRuns")),
            backfill=Backfill.from_wire(backfill) if backfill else None,
            failures=status.get("consecutiveFailures", 0),
            last_schedule_time=optional_time(status.get("lastScheduleTime")),
            last_run_time=optional_time(status.get("lastRunTime")),
            last_success_time=optional_time(status.get("lastSuccessTime")),
        )

    def to_wire(self) -> JsonObject:
        """The fields of the status."""
        status: JsonObject = {}
        put(status, "latestRun", self.latest or None)
        put_time(status, "lastScheduleTime", self.last_schedule_time)
        put_time(status, "lastRunTime", self.last_run_time)
        put_time(status, "lastSuccessTime", self.last_success_time)
        put(status, "consecutiveFailures", self.failures or None)
        lists = (
            ("nextRunTimes", map(format_time, self.next_times)),
            ("schedules", (each.to_wire() for each in self.handled)),
            ("queuedRuns", (each.to_wire() for each in self.queued)),
            ("activeRuns", (each.to_wire() for each in self.active)),
            ("runHistory", (each.to_wire() for each in self.history)),
            ("skippedRuns", (each.to_wire() for each in self.skipped)),
        )
        status |= {name: items for name, each in lists if (items := list(each))}
        if self.backfill:
            status["backfill"] = self.backfill.to_wire()
        return status


NO_RUNS = Runs()
_SCHEMA: JsonObject = {"type": "object", "properties": RUNS}


def _each(read: Callable[[T], object], items: Iterable[T] | None) -> tuple:  # type: ignore[type-arg]
    return tuple(map(read, items or ()))
