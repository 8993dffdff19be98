"""Why a run ends before its tasks are through: asked for, out of time, or a failure that is enough.

It is decided once and stored. A stricter way to end takes the place of a milder one, never the
other way round: terminate beats stop, and both beat `suspend`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from observatory.api.ending import Answer, Ending, EndingMode, RequestType
from observatory.api.status import Status
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.api.times import whole_seconds
from observatory.core.attempts import DEADLINE
from observatory.core.deadlines import Alarm
from observatory.core.model import Desired

TASK_FAILED = "TaskFailed"
STOPPED = "Stopped"
TERMINATED = "Terminated"
CANCELLED = "Cancelled"

DELETED = "The Observatory was deleted before its run ended"

_MODES = {"StopScheduling": EndingMode.DRAIN, "CancelRunning": EndingMode.STOP}


def decide(status: Status, mode: EndingMode, reason: str, message: str, now: datetime) -> Status:
    """The status of a run that is to end in this way, unless it already ends in a stricter one."""
    if status.ending and status.ending.mode.rank >= mode.rank:
        return status
    return replace(status, ending=Ending(mode, reason, whole_seconds(now), message))


def answered(status: Status, answers: Sequence[Answer]) -> Status:
    """The status with these answers, each in the place of an earlier one of its type."""
    if not answers:
        return status
    new = {answer.type: answer for answer in answers}
    kept = (answer for answer in status.requests if answer.type not in new)
    return replace(status, requests=(*kept, *answers))


def asked(desired: Desired, status: Status, type_: RequestType) -> str | None:
    """The nonce of a request that has no answer yet."""
    nonce = dict(desired.requests).get(type_)
    told = next((answer.nonce for answer in status.requests if answer.type is type_), None)
    return nonce if nonce != told else None


def refuse(desired: Desired, status: Status, why: dict[RequestType, str], now: datetime) -> Status:
    """The status with all that is asked for and has no answer refused, for these reasons."""
    time = whole_seconds(now)
    return answered(
        status,
        [
            Answer(type_, nonce, accepted=False, message=message, time=time)
            for type_, message in why.items()
            if (nonce := asked(desired, status, type_))
        ],
    )


NO_SCHEDULE = "it has no schedule: set spec.schedule, or use retry"


def without_run(desired: Desired, status: Status, now: datetime) -> Status:
    """The status that refuses to stop what doesn't run."""
    what = f"run {status.run} has ended" if status.run else "no run has begun"
    why = {RequestType.STOP: f"{what}: there is nothing to stop"}
    why[RequestType.TERMINATE] = f"{what}: there is nothing to terminate"
    why |= {RequestType.RUN_NOW: NO_SCHEDULE, RequestType.BACKFILL: NO_SCHEDULE}
    return refuse(desired, status, why, now)


def within_run(desired: Desired, status: Status, now: datetime) -> Status:
    """The status of a run in progress that obeys what is asked for."""
    run, time = f"run {status.run}", whole_seconds(now)
    for type_, mode, reason, how in (
        (RequestType.TERMINATE, EndingMode.TERMINATE, TERMINATED, "is terminated"),
        (RequestType.STOP, EndingMode.STOP, STOPPED, "is stopped"),
    ):
        if nonce := asked(desired, status, type_):
            over = status.finally_time is not None and mode is EndingMode.STOP
            if status.ending and status.ending.mode is EndingMode.TERMINATE:
                message = f"{run} is being terminated already"
            elif over:
                message = f"the tasks of {run} have ended: only finally runs"
            else:
                message = f"{run} {how}"
                status = decide(status, mode, reason, f"asked for by request {nonce}", now)
            status = answered(status, [Answer(type_, nonce, not over, message, time)])
    busy = f"{run} is in progress: ask again when it has ended, or stop it first"
    why = {RequestType.RETRY: busy, RequestType.RUN_NOW: busy, RequestType.BACKFILL: busy}
    return refuse(desired, status, why, now)


def out_of_time(desired: Desired, status: Status, alarm: Alarm) -> Status:
    """The status of a run that may have taken too long."""
    if desired.deadline is None or status.start_time is None or status.finally_time:
        return status
    due = status.start_time + timedelta(seconds=desired.deadline)
    if due > alarm.now:
        alarm.set(due)
        return status
    message = f"The run took longer than activeDeadlineSeconds ({desired.deadline} s)"
    return decide(status, EndingMode.STOP, DEADLINE, message, alarm.now)


def after_failures(
    desired: Desired, status: Status, rows: Sequence[TaskStatus], fatal: str | None, now: datetime
) -> Status:
    """The status of a run in which a task may have failed; `fatal` is one that a rule fails it for.

    By `failurePolicy` any failure may be enough.
    """
    if status.finally_time:
        return status
    if fatal is not None:
        message = f'Task "{fatal}" failed, and a rule of its retry says FailWorkflow'
        return decide(status, EndingMode.STOP, TASK_FAILED, message, now)
    mode = _MODES.get(desired.failure_policy)
    failed = next(filter(counts, rows), None) if mode else None
    if mode is None or failed is None:
        return status
    message = f'Task "{failed.name}" failed, and failurePolicy is {desired.failure_policy}'
    return decide(status, mode, TASK_FAILED, message, now)


def counts(task: TaskStatus) -> bool:
    """Whether this row is a failure of the run's tasks: not an ignored one, nor one of ours."""
    return task.phase is TaskPhase.FAILED and not (task.ignored or task.final)


def expires(desired: Desired, status: Status) -> datetime | None:
    """When the time of an Observatory is over that has run."""
    if desired.ttl is None or status.completion_time is None:
        return None
    return status.completion_time + timedelta(seconds=desired.ttl)
