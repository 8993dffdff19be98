"""The status of an Observatory as a value, to and from the wire.

The controller is the only writer of status, so what is read here was written by `to_wire`. Still
nothing that another writer puts there may break more than this one object: `from_wire` raises
`StatusError`, and the caller reports it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from observatory.api.conditions import Condition
from observatory.api.fielderrors import ErrorType
from observatory.api.openapi import DNS_LABEL
from observatory.api.statusschema import STATUS
from observatory.api.structural import check
from observatory.api.text import shorten
from observatory.api.times import format_time, parse_time
from observatory.api.types import JsonObject


class Phase(StrEnum):
    """Where a run is. Like the conditions, it is derived from the rows of the tasks."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class TaskPhase(StrEnum):
    """Where a task is.

    `RUNNING` begins when the status records the Pod of an attempt; the Pod may still wait for a
    node or an image, and `reason` says so. `SUCCEEDED`, `FAILED` and `SKIPPED` are final.
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


_TEXT: frozenset[type] = frozenset({str, type(None)})
_NUMBER: frozenset[type] = frozenset({int, type(None)})
_MOST = 2**31 - 1
"""What the API server takes for a number of runs or attempts; there must be a next one."""
_ERROR_LENGTH = 200


class StatusError(ValueError):
    """A status that this controller can't have written."""


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """One row of `status.tasks`. `attempt` is 0 until the first attempt is recorded."""

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
    reason: str | None = None
    message: str | None = None
    since: datetime | None = None

    @classmethod
    def from_wire(cls, row: JsonObject) -> TaskStatus:
        """The row of one item of `status.tasks`."""
        get = row.get
        return cls(
            name=row["name"],
            phase=TaskPhase(row["phase"]),
            attempt=get("attempt", 0),
            pod_name=get("podName"),
            pod_uid=get("podUID"),
            node_name=get("nodeName"),
            start_time=_time(get("startTime")),
            completion_time=_time(get("completionTime")),
            exit_code=get("exitCode"),
            signal=get("signal"),
            reason=get("reason"),
            message=get("message"),
            since=_time(get("since")),
        )

    def to_wire(self) -> JsonObject:
        """The row as JSON, without what is unknown."""
        row: JsonObject = {"name": self.name, "phase": self.phase.value}
        if self.attempt:
            row["attempt"] = self.attempt
            _put(row, "podName", self.pod_name)
            _put(row, "podUID", self.pod_uid)
            _put(row, "nodeName", self.node_name)
            _put_time(row, "startTime", self.start_time)
            _put_time(row, "completionTime", self.completion_time)
            _put(row, "exitCode", self.exit_code)
            _put(row, "signal", self.signal)
        if self.reason is not None:
            row["reason"] = self.reason
            _put(row, "message", self.message)
            _put_time(row, "since", self.since)
        return row


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that tasks of the run wait for: how many of them, an example, since when."""

    reason: str
    tasks: int
    task: str
    message: str | None = None
    since: datetime | None = None

    @classmethod
    def from_wire(cls, item: JsonObject) -> Waiting:
        """The value of one item of `status.waitingFor`."""
        return cls(
            reason=item["reason"],
            tasks=item["tasks"],
            task=item["task"],
            message=item.get("message"),
            since=_time(item.get("since")),
        )

    def to_wire(self) -> JsonObject:
        """The item as JSON."""
        item: JsonObject = {"reason": self.reason, "tasks": self.tasks, "task": self.task}
        _put(item, "message", self.message)
        _put_time(item, "since", self.since)
        return item


@dataclass(frozen=True, slots=True)
class Failure:
    """The first failure of a run. It outlives the Pod that it tells of."""

    task: str
    attempt: int
    reason: str
    time: datetime
    pod_name: str | None = None
    node_name: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    message: str | None = None

    @classmethod
    def from_wire(cls, failure: JsonObject) -> Failure:
        """The value of `status.failure`."""
        return cls(
            task=failure["task"],
            attempt=failure.get("attempt", 0),
            reason=failure["reason"],
            time=parse_time(failure["time"]),
            pod_name=failure.get("podName"),
            node_name=failure.get("nodeName"),
            exit_code=failure.get("exitCode"),
            signal=failure.get("signal"),
            message=failure.get("message"),
        )

    def to_wire(self) -> JsonObject:
        """The failure as JSON."""
        failure: JsonObject = {"task": self.task, "reason": self.reason}
        _put(failure, "attempt", self.attempt or None)
        _put(failure, "podName", self.pod_name)
        _put(failure, "nodeName", self.node_name)
        _put(failure, "exitCode", self.exit_code)
        _put(failure, "signal", self.signal)
        _put(failure, "message", self.message)
        _put_time(failure, "time", self.time)
        return failure


@dataclass(frozen=True, slots=True)
class Status:
    """The whole status. `run` is 0 until the first run begins."""

    observed_generation: int = 0
    phase: Phase = Phase.PENDING
    message: str | None = None
    progress: str | None = None
    run: int = 0
    revision: str | None = None
    start_time: datetime | None = None
    completion_time: datetime | None = None
    duration: str | None = None
    waiting_for: tuple[Waiting, ...] = ()
    failure: Failure | None = None
    tasks: tuple[TaskStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()

    @property
    def active(self) -> bool:
        """Whether a run has begun and not ended."""
        return self.run > 0 and self.completion_time is None

    @property
    def ended(self) -> bool:
        """Whether the latest run has ended."""
        return self.completion_time is not None

    @classmethod
    def from_wire(cls, status: JsonObject) -> Status:
        """The value of an object's `status`; an empty one where the controller wrote none yet.

        Raises:
            StatusError: Somebody else wrote it.
        """
        try:
            failure = status.get("failure")
            value = cls(
                observed_generation=status.get("observedGeneration", 0),
                phase=Phase(status.get("phase", Phase.PENDING)),
                message=status.get("message"),
                progress=status.get("progress"),
                run=status.get("run", 0),
                revision=status.get("revision"),
                start_time=_time(status.get("startTime")),
                completion_time=_time(status.get("completionTime")),
                duration=status.get("duration"),
                waiting_for=tuple(map(Waiting.from_wire, status.get("waitingFor") or ())),
                failure=Failure.from_wire(failure) if failure else None,
                tasks=tuple(map(TaskStatus.from_wire, status.get("tasks") or ())),
                conditions=tuple(map(Condition.from_wire, status.get("conditions") or ())),
            )
            value._check_types()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StatusError(_told(status, error)) from error
        value._check()
        return value

    def _check_types(self) -> None:
        """Raise `TypeError` where a value is not of its type: it would break the plan instead.

        A run of 4,000 tasks is read after each of its writes, so a row is looked at in one go.
        """
        texts: list[object] = [self.message, self.progress, self.revision, self.duration]
        numbers: list[object] = [self.run, self.observed_generation]
        if failure := self.failure:
            texts += [failure.task, failure.reason, failure.message]
            texts += [failure.pod_name, failure.node_name]
            numbers += [failure.attempt, failure.exit_code, failure.signal]
        for condition in self.conditions:
            texts += [condition.type, condition.status, condition.reason, condition.message]
            numbers += [condition.observed_generation]
        _require(_TEXT, texts)
        _require(_NUMBER, numbers)
        for row in self.tasks:
            name, pod, uid = row.name, row.pod_name, row.pod_uid
            _require(_TEXT, (name, pod, uid, row.node_name, row.reason, row.message))
            _require(_NUMBER, (row.attempt, row.exit_code, row.signal))

    def _check(self) -> None:
        """Refuse what the schema lets pass and nothing here could work with."""
        if not _is_count(self.run):
            raise StatusError("status.run: Invalid value: must be a number of runs")
        if self.revision is not None and not _is_name(self.revision):
            raise StatusError("status.revision: Invalid value: must be the name of a revision")
        if self.run > 0 and self.start_time is None:
            raise StatusError("status.startTime: Required value: a run has begun")
        for index, task in enumerate(self.tasks):
            if not (task.name and _is_count(task.attempt)):
                raise StatusError(f"status.tasks[{index}]: Invalid value: no task's attempt")
            if task.phase is TaskPhase.RUNNING and not task.pod_uid:
                raise StatusError(f"status.tasks[{index}].podUID: Required value")
            if task.pod_name is not None and not _is_name(task.pod_name):
                raise StatusError(f"status.tasks[{index}].podName: Invalid value: no Pod's name")

    def to_wire(self) -> JsonObject:
        """The status as JSON, without what is unknown."""
        status: JsonObject = {
            "observedGeneration": self.observed_generation,
            "phase": self.phase.value,
        }
        _put(status, "message", self.message)
        _put(status, "progress", self.progress)
        _put(status, "run", self.run or None)
        _put(status, "revision", self.revision)
        _put_time(status, "startTime", self.start_time)
        _put_time(status, "completionTime", self.completion_time)
        _put(status, "duration", self.duration)
        if self.waiting_for:
            status["waitingFor"] = [waiting.to_wire() for waiting in self.waiting_for]
        if self.failure:
            status["failure"] = self.failure.to_wire()
        if self.tasks:
            status["tasks"] = [task.to_wire() for task in self.tasks]
        status["conditions"] = [condition.to_wire() for condition in self.conditions]
        return status


def _told(status: object, error: Exception) -> str:
    """What is wrong, as far as the schema can say it; unknown fields are not."""
    errors = check(status, STATUS, "status")
    wrong = next((str(one) for one in errors if one.type is not ErrorType.FORBIDDEN), None)
    return wrong or shorten(f"status: Invalid value: {error!a}", _ERROR_LENGTH)


def _require(types: frozenset[type], values: Iterable[object]) -> None:
    if not types.issuperset(map(type, values)):
        raise TypeError("a value of another type")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < _MOST


def _is_name(value: object) -> bool:
    # Names become paths of requests: these can't lead anywhere else.
    return isinstance(value, str) and bool(re.fullmatch(DNS_LABEL, value))


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)


def _put(row: JsonObject, field: str, value: object) -> None:
    if value is not None:
        row[field] = value


def _put_time(row: JsonObject, field: str, time: datetime | None) -> None:
    if time is not None:
        row[field] = format_time(time)
