"""One row of `status.tasks`, or of `status.finally`, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from observatory.api.types import JsonObject
from observatory.api.wire import optional_time, put, put_time


class TaskPhase(StrEnum):
    """Where a task is.

    `RUNNING` begins when the status records the Pod of an attempt; the Pod may still wait for a
    node or an image, and `reason` says so. After an attempt that is to be retried the task is
    `PENDING` again. `SUCCEEDED`, `FAILED` and `SKIPPED` are final.
    """

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SKIPPED = "Skipped"

    @property
    def ended(self) -> bool:
        """Whether it never changes again."""
        return self not in _UNENDED


_UNENDED = frozenset({TaskPhase.PENDING, TaskPhase.RUNNING})


class FailureClass(StrEnum):
    """Why an attempt failed, in one of a few words. Each failed attempt has exactly one."""

    APPLICATION_ERROR = "ApplicationError"
    OUT_OF_MEMORY = "OutOfMemory"
    TIMEOUT = "Timeout"
    DISRUPTION = "Disruption"
    NODE_LOST = "NodeLost"
    IMAGE_PULL = "ImagePull"
    CONFIGURATION = "Configuration"
    REJECTED = "Rejected"
    DELETED = "Deleted"
    LOST = "Lost"
    CANCELLED = "Cancelled"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that has ended, and was followed by another."""

    attempt: int
    class_: FailureClass | None = None
    reason: str | None = None
    message: str | None = None
    pod_name: str | None = None
    node_name: str | None = None
    start_time: datetime | None = None
    completion_time: datetime | None = None
    exit_code: int | None = None
    signal: int | None = None
    waited: tuple[int, ...] | None = None

    @classmethod
    def from_wire(cls, item: JsonObject) -> Attempt:
        """The value of one item of `attempts`."""
        get = item.get
        return cls(
            attempt=get("attempt", 0),
            class_=_class(get("class")),
            reason=get("reason"),
            message=get("message"),
            pod_name=get("podName"),
            node_name=get("nodeName"),
            start_time=optional_time(get("startTime")),
            completion_time=optional_time(get("completionTime")),
            exit_code=get("exitCode"),
            signal=get("signal"),
            waited=_waited(get("waitedSeconds")),
        )

    def to_wire(self) -> JsonObject:
        """The item as JSON, without what is unknown."""
        item: JsonObject = {"attempt": self.attempt}
        put(item, "class", self.class_ and self.class_.value)
        put(item, "reason", self.reason)
        put(item, "message", self.message)
        put(item, "podName", self.pod_name)
        put(item, "nodeName", self.node_name)
        put_time(item, "startTime", self.start_time)
        put_time(item, "completionTime", self.completion_time)
        put(item, "exitCode", self.exit_code)
        put(item, "signal", self.signal)
        put(item, "waitedSeconds", self.waited and list(self.waited))
        return item


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """The row of one task. `attempt` is 0 until the first attempt is recorded.

    Attributes:
        final: The task is one of `spec.finally`; its row is in `status.finally`.
        failures: Attempts that count against the retry limit.
        disruptions: Attempts that count against the disruption limit.
        waited: Seconds until the Pod of the attempt had its node, and from then until its container
            ran: as far as it came. None where it ran at once.
        cancel_reason: Why the attempt is being ended; its Pod is deleted, and counts as failed.
        ignored: It has failed, and the run goes on as if it had not.
        run: The run in which it succeeded, where a retry kept it from an earlier one.
    """

    name: str
    phase: TaskPhase = TaskPhase.PENDING
    attempt: int = 0
    pod_name: str | None = None
    pod_uid: str | None = None
    node_name: str | None = None
    start_time: datetime | None = None
    completion_time: datetime | None = None
    exit_code: int | None = None
    signal: int | None = None
    class_: FailureClass | None = None
    reason: str | None = None
    message: str | None = None
    since: datetime | None = None
    final: bool = False
    failures: int = 0
    disruptions: int = 0
    next_attempt_time: datetime | None = None
    first_start_time: datetime | None = None
    cancel_reason: str | None = None
    memory: str | None = None
    ignored: bool = False
    run: int = 0
    attempts: tuple[Attempt, ...] = ()
    waited: tuple[int, ...] | None = None

    @classmethod
    def from_wire(cls, row: JsonObject, *, final: bool = False) -> TaskStatus:
        """The row of one item of `status.tasks`, or with `final` of `status.finally`."""
        get = row.get
        return cls(
            name=row["name"],
            phase=TaskPhase(row["phase"]),
            attempt=get("attempt", 0),
            pod_name=get("podName"),
            pod_uid=get("podUID"),
            node_name=get("nodeName"),
            start_time=optional_time(get("startTime")),
            completion_time=optional_time(get("completionTime")),
            exit_code=get("exitCode"),
            signal=get("signal"),
            class_=_class(get("class")),
            reason=get("reason"),
            message=get("message"),
            since=optional_time(get("since")),
            final=final,
            failures=get("failures", 0),
            disruptions=get("disruptions", 0),
            next_attempt_time=optional_time(get("nextAttemptTime")),
            first_start_time=optional_time(get("firstStartTime")),
            cancel_reason=get("cancelReason"),
            memory=get("memory"),
            ignored=get("ignored", False),
            run=get("run", 0),
            attempts=tuple(map(Attempt.from_wire, get("attempts") or ())),
            waited=_waited(get("waitedSeconds")),
        )

    def to_wire(self) -> JsonObject:
        """The row as JSON, without what is unknown."""
        row: JsonObject = {"name": self.name, "phase": self.phase.value}
        if self.attempt:
            row["attempt"] = self.attempt
            put(row, "podName", self.pod_name)
            put(row, "podUID", self.pod_uid)
            put(row, "nodeName", self.node_name)
            put_time(row, "startTime", self.start_time)
            put_time(row, "completionTime", self.completion_time)
            put(row, "exitCode", self.exit_code)
            put(row, "signal", self.signal)
            put(row, "cancelReason", self.cancel_reason)
            put(row, "waitedSeconds", self.waited and list(self.waited))
        if self.class_ is not None:
            row["class"] = self.class_.value
        if self.reason is not None:
            row["reason"] = self.reason
            put(row, "message", self.message)
            put_time(row, "since", self.since)
        if self.failures or self.disruptions or self.run or self.ignored or self.attempts:
            self._put_history(row)
        return row

    def _put_history(self, row: JsonObject) -> None:
        """Add what only tasks have that failed before."""
        put(row, "failures", self.failures or None)
        put(row, "disruptions", self.disruptions or None)
        put_time(row, "nextAttemptTime", self.next_attempt_time)
        put_time(row, "firstStartTime", self.first_start_time)
        put(row, "memory", self.memory)
        put(row, "ignored", self.ignored or None)
        put(row, "run", self.run or None)
        if self.attempts:
            row["attempts"] = [attempt.to_wire() for attempt in self.attempts]


def _class(text: str | None) -> FailureClass | None:
    return None if text is None else FailureClass(text)


def _waited(seconds: list[int] | None) -> tuple[int, ...] | None:
    return None if seconds is None else tuple(map(int, seconds))
