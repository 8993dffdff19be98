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
from observatory.api.ending import Answer, Ending
from observatory.api.fielderrors import ErrorType
from observatory.api.openapi import DNS_LABEL
from observatory.api.runs import NO_RUNS, Runs
from observatory.api.statusschema import STATUS
from observatory.api.structural import check
from observatory.api.taskstatus import FailureClass, TaskPhase, TaskStatus
from observatory.api.text import shorten
from observatory.api.times import parse_time
from observatory.api.trace import Trace
from observatory.api.types import JsonObject
from observatory.api.wire import optional_time, put, put_time


class Phase(StrEnum):
    """Where a run is. Like the conditions, it is derived from the rows of the tasks."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


_TEXT: frozenset[type] = frozenset({str, type(None)})
_NUMBER: frozenset[type] = frozenset({int, type(None)})
_MOST = 2**31 - 1
"""What the API server takes for a number of runs or attempts; there must be a next one."""
_ERROR_LENGTH = 200


class StatusError(ValueError):
    """A status that this controller can't have written."""


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
            since=optional_time(item.get("since")),
        )

    def to_wire(self) -> JsonObject:
        """The item as JSON."""
        item: JsonObject = {"reason": self.reason, "tasks": self.tasks, "task": self.task}
        put(item, "message", self.message)
        put_time(item, "since", self.since)
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
    class_: FailureClass | None = None

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
            class_=FailureClass(failure["class"]) if "class" in failure else None,
        )

    def to_wire(self) -> JsonObject:
        """The failure as JSON."""
        failure: JsonObject = {"task": self.task, "reason": self.reason}
        put(failure, "class", self.class_ and self.class_.value)
        put(failure, "attempt", self.attempt or None)
        put(failure, "podName", self.pod_name)
        put(failure, "nodeName", self.node_name)
        put(failure, "exitCode", self.exit_code)
        put(failure, "signal", self.signal)
        put(failure, "message", self.message)
        put_time(failure, "time", self.time)
        return failure


@dataclass(frozen=True, slots=True)
class Status:
    """The whole status. `run` is 0 until the first run begins.

    Attributes:
        tasks: The rows of `status.tasks`, and after them those of `status.finally`.
        finally_time: When all tasks had ended, so that it was the turn of `finally`.
    """

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
    ending: Ending | None = None
    finally_time: datetime | None = None
    requests: tuple[Answer, ...] = ()
    tasks: tuple[TaskStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()
    runs: Runs = NO_RUNS
    trace: Trace | None = None

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
            failure, ending = status.get("failure"), status.get("ending")
            trace = status.get("trace")
            final = (TaskStatus.from_wire(row, final=True) for row in status.get("finally") or ())
            value = cls(
                observed_generation=status.get("observedGeneration", 0),
                phase=Phase(status.get("phase", Phase.PENDING)),
                message=status.get("message"),
                progress=status.get("progress"),
                run=status.get("run", 0),
                revision=status.get("revision"),
                start_time=optional_time(status.get("startTime")),
                completion_time=optional_time(status.get("completionTime")),
                duration=status.get("duration"),
                waiting_for=tuple(map(Waiting.from_wire, status.get("waitingFor") or ())),
                failure=Failure.from_wire(failure) if failure else None,
                ending=Ending.from_wire(ending) if ending else None,
                finally_time=optional_time(status.get("finallyTime")),
                requests=tuple(map(Answer.from_wire, status.get("requests") or ())),
                tasks=(*map(TaskStatus.from_wire, status.get("tasks") or ()), *final),
                conditions=tuple(map(Condition.from_wire, status.get("conditions") or ())),
                runs=Runs.from_wire(status),
                trace=Trace.from_wire(trace) if trace else None,
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
        if ending := self.ending:
            texts += [ending.reason, ending.message]
        for answer in self.requests:
            texts += [answer.nonce, answer.message]
        for condition in self.conditions:
            texts += [condition.type, condition.status, condition.reason, condition.message]
            numbers += [condition.observed_generation]
        _require(_TEXT, texts)
        _require(_NUMBER, numbers)
        for row in self.tasks:
            name, pod, uid = row.name, row.pod_name, row.pod_uid
            _require(_TEXT, (name, pod, uid, row.node_name, row.reason, row.message))
            _require(_NUMBER, (row.attempt, row.exit_code, row.signal))
            if row.attempts or row.failures or row.disruptions or row.cancel_reason or row.memory:
                _require(_TEXT, (row.cancel_reason, row.memory))
                _require(_NUMBER, (row.failures, row.disruptions, row.run))
            for old in row.attempts:
                _require(_TEXT, (old.reason, old.message, old.pod_name, old.node_name))
                _require(_NUMBER, (old.attempt, old.exit_code, old.signal))

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
        put(status, "message", self.message)
        put(status, "progress", self.progress)
        put(status, "run", self.run or None)
        put(status, "revision", self.revision)
        put_time(status, "startTime", self.start_time)
        put_time(status, "completionTime", self.completion_time)
        put(status, "duration", self.duration)
        if self.waiting_for:
            status["waitingFor"] = [waiting.to_wire() for waiting in self.waiting_for]
        if self.failure:
            status["failure"] = self.failure.to_wire()
        if self.ending:
            status["ending"] = self.ending.to_wire()
        put_time(status, "finallyTime", self.finally_time)
        if self.requests:
            status["requests"] = [answer.to_wire() for answer in self.requests]
        if rows := [task.to_wire() for task in self.tasks if not task.final]:
            status["tasks"] = rows
        if rows := [task.to_wire() for task in self.tasks if task.final]:
            status["finally"] = rows
        status |= self.runs.to_wire()
        if self.trace:
            status["trace"] = self.trace.to_wire()
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
