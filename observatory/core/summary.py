"""What a status says as a whole: conditions, phase, progress, what is waited for, what failed.

All of it is derived from the rows of the tasks and from the spec, in one place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from observatory.api.conditions import (
    COMPLETE,
    FAILED,
    FALSE,
    SCHEDULED,
    SUCCEEDED,
    TRUE,
    UNKNOWN,
    VALID,
    Condition,
    Reason,
    find_condition,
    set_condition,
)
from observatory.api.fielderrors import list_errors
from observatory.api.limits import POD_LIMITS
from observatory.api.status import Failure, Phase, Status, Waiting
from observatory.api.taskstatus import FailureClass, TaskPhase, TaskStatus
from observatory.api.times import format_duration, whole_seconds
from observatory.core.attempts import DEADLINE
from observatory.core.ending import CANCELLED, DELETED, STOPPED, TASK_FAILED, TERMINATED
from observatory.core.model import Desired
from observatory.core.trigger import TRIGGER_RULE

DEPENDENCIES = "Dependencies"
"""The reason of tasks that wait for others: the one wait that isn't told on each row."""

TOO_LARGE = (
    "Spec and status together exceed what etcd stores in one object (1.5 MiB): nothing more is "
    "started; split the workflow, or shorten its names, commands, args and env"
)
_MESSAGE_LENGTH = 1024


def summarize(status: Status, desired: Desired, now: datetime) -> Status:
    """The status with everything derived anew. The same rows and spec give the same status."""
    rows = status.tasks
    failure = status.failure or _first_failure(rows)
    waiting = _waiting(rows)
    status = replace(
        status,
        observed_generation=desired.generation,
        progress=_progress(rows),
        waiting_for=waiting,
        failure=failure,
    )
    if status.active and all(task.phase.ended for task in rows):
        assert status.start_time is not None  # noqa: S101 - a run that began has one
        completed = whole_seconds(now)
        duration = format_duration(completed - status.start_time)
        status = replace(status, completion_time=completed, duration=duration)
    status = replace(status, phase=_phase(status))
    status = replace(status, message=_message(status, desired))
    return replace(status, conditions=_conditions(status, desired, now))


def too_large(status: Status, desired: Desired, now: datetime) -> Status:
    """A status as it is stored, saying that the one which should replace it can't be.

    Its rows stay: what they record has started.
    """
    reason = Reason.STATUS_TOO_LARGE
    condition = Condition(VALID, FALSE, reason, TOO_LARGE, desired.generation)
    conditions = set_condition(status.conditions, condition, now)
    return replace(status, message=f"{reason}: {TOO_LARGE}", conditions=conditions)


def _phase(status: Status) -> Phase:
    if status.run == 0:
        return Phase.PENDING
    if not status.ended:
        return Phase.RUNNING
    return Phase.FAILED if any(map(_spoils, status.tasks)) else Phase.SUCCEEDED


def _spoils(task: TaskStatus) -> bool:
    """Whether a run with this row, all of which have ended, has failed."""
    if task.phase is TaskPhase.SKIPPED:
        return task.reason != TRIGGER_RULE
    return task.phase is TaskPhase.FAILED and not task.ignored


def _progress(rows: tuple[TaskStatus, ...]) -> str | None:
    """Tasks that succeeded, of all that run by their trigger rules; `finally` is not counted."""
    counted = [
        task
        for task in rows
        if not (task.final or (task.phase is TaskPhase.SKIPPED and task.reason == TRIGGER_RULE))
    ]
    if not rows:
        return None
    return f"{sum(task.phase is TaskPhase.SUCCEEDED for task in counted)}/{len(counted)}"


def _waiting(rows: Iterable[TaskStatus]) -> tuple[Waiting, ...]:
    """The waits by reason, those that need somebody first, dependencies last."""
    waits: dict[str, list[TaskStatus]] = {}
    for task in rows:
        if task.phase is TaskPhase.PENDING or (
            task.phase is TaskPhase.RUNNING and task.reason is not None
        ):
            waits.setdefault(task.reason or DEPENDENCIES, []).append(task)
    # What passes by itself comes last.
    last = (
        "Backoff",
        "MaxConcurrent",
        *POD_LIMITS,
        "StatusFull",
        "StartPending",
        "Suspended",
        DEPENDENCIES,
    )
    rank = {reason: place for place, reason in enumerate(last)}
    return tuple(
        Waiting(
            reason=reason,
            tasks=len(tasks),
            task=tasks[0].name,
            message=next((task.message for task in tasks if task.message), None),
            since=min((task.since for task in tasks if task.since), default=None),
        )
        for reason, tasks in sorted(waits.items(), key=lambda item: rank.get(item[0], -1))
    )


def _first_failure(rows: Iterable[TaskStatus]) -> Failure | None:
    """The first failure that counts; one of `finally` only where no task failed before."""
    failed = [
        (task.final, task.completion_time, place, task)
        for place, task in enumerate(rows)
        if task.phase is TaskPhase.FAILED and not task.ignored and task.completion_time
        if task.class_ is not FailureClass.CANCELLED
    ]
    if not failed:
        return None
    _, time, _, first = min(failed)
    return Failure(
        task=first.name,
        attempt=first.attempt,
        reason=first.reason or "Error",
        time=time,
        pod_name=first.pod_name,
        node_name=first.node_name,
        exit_code=first.exit_code,
        signal=first.signal,
        message=first.message,
        class_=first.class_,
    )


def describe_failure(failure: Failure, others: int = 0) -> str:
    """A failure in one line: the task, how many others failed, the cause, the last output."""
    how = failure.reason
    if failure.exit_code is not None:
        how += f" (exit code {failure.exit_code})"
    last_line = (failure.message or "").strip().rpartition("\n")[2]
    more = f", the first of {others + 1}," if others > 0 else ""
    return f'Task "{failure.task}"{more} failed: {how}' + (f": {last_line}" if last_line else "")


def _message(status: Status, desired: Desired) -> str | None:
    """One line: why the run goes no further, or how it ended."""
    if status.run and not status.ended:
        return _running_message(status)
    parts = []
    parts += _how_it_failed(status)
    if desired.errors:
        more = f" (and {len(desired.errors) - 1} more)" if len(desired.errors) > 1 else ""
        edited = "Edited spec is invalid: " if status.run else ""
        parts.append(f"{edited}{desired.errors[0]}{more}")
    elif desired.run_of is not None and not status.run and not desired.may_begin():
        parts.append("Waits for the Observatory that it is a run of to let it begin")
    elif desired.suspend and not status.run:
        parts.append("Suspended: set spec.suspend to false to start")
    elif desired.suspend and _edited(status, desired):
        parts.append("Suspended: the edited tasks run when spec.suspend is false again")
    return "; ".join(parts)[:_MESSAGE_LENGTH] or None


def _how_it_failed(status: Status) -> list[str]:
    """The first failure, what ends the run early, and a failure of `finally` that came after."""
    parts = []
    failure = status.failure
    if status.ending and status.ending.reason != TASK_FAILED:
        parts.append(f"{status.ending.reason}: {status.ending.message}")
    if failure:
        parts.append(describe_failure(failure, others=sum(map(_spoils_alone, status.tasks)) - 1))
    last = next((task for task in status.tasks if task.final and _spoils_alone(task)), None)
    if last is not None and (failure is None or failure.task != last.name):
        parts.append(f'finally: task "{last.name}" failed: {last.reason}')
    if not parts and status.phase is Phase.FAILED:
        parts.append(DELETED)
    return parts


def _spoils_alone(task: TaskStatus) -> bool:
    return task.phase is TaskPhase.FAILED and not task.ignored


def _running_message(status: Status) -> str | None:
    parts = _how_it_failed(status)
    parts += [_describe_wait(wait) for wait in status.waiting_for if wait.reason != DEPENDENCIES]
    if not parts:
        running = [task.name for task in status.tasks if task.phase is TaskPhase.RUNNING]
        if running:
            more = f" and {len(running) - 1} more" if len(running) > 1 else ""
            parts.append(f"Running {running[0]}{more}")
    return "; ".join(parts)[:_MESSAGE_LENGTH] or None


def _describe_wait(wait: Waiting) -> str:
    more = f" and {wait.tasks - 1} more" if wait.tasks > 1 else ""
    text = f"{wait.reason}: {wait.task}{more}"
    return f"{text}: {wait.message}" if wait.message else text


def _conditions(status: Status, desired: Desired, now: datetime) -> tuple[Condition, ...]:
    conditions = status.conditions
    for condition in _wanted(status, desired):
        conditions = set_condition(conditions, condition, now)
    return tuple(item for item in conditions if item.type != SCHEDULED)


def _wanted(status: Status, desired: Desired) -> Iterator[Condition]:
    now = desired.generation
    if desired.errors:
        text = list_errors(desired.errors)
        yield Condition(VALID, FALSE, Reason.INVALID, text, now)
    else:
        yield Condition(VALID, TRUE, Reason.VALID, "", now)
    reason, message = _reason(status)
    generation = _run_generation(status, desired)
    for type_, state in zip((SUCCEEDED, FAILED, COMPLETE), _OUTCOMES[status.phase], strict=True):
        yield Condition(type_, state, reason, message or "", generation)


def _edited(status: Status, desired: Desired) -> bool:
    """Whether the tasks were edited since the latest run began."""
    return desired.program is None or desired.program.revision != status.revision


def _run_generation(status: Status, desired: Desired) -> int:
    """The generation that the run's conditions tell of.

    After the tasks were edited they tell of an older one until the next run begins. With the new
    one, `kubectl wait` would take the end of the old run for the end of the new.
    """
    if status.run == 0 or not _edited(status, desired):
        return desired.generation
    told = find_condition(status.conditions, COMPLETE)
    older = desired.generation - 1
    return min(told.observed_generation, older) if told else older


# Succeeded, Failed, Complete
_OUTCOMES = {
    Phase.PENDING: (UNKNOWN, UNKNOWN, FALSE),
    Phase.RUNNING: (UNKNOWN, UNKNOWN, FALSE),
    Phase.SUCCEEDED: (TRUE, FALSE, TRUE),
    Phase.FAILED: (FALSE, TRUE, TRUE),
}


def _reason(status: Status) -> tuple[Reason, str | None]:
    match status.phase:
        case Phase.PENDING:
            return Reason.NOT_STARTED, status.message
        case Phase.RUNNING:
            return Reason.RUNNING, None
        case Phase.SUCCEEDED:
            return Reason.ALL_TASKS_SUCCEEDED, None
        case Phase.FAILED:
            return _why_failed(status), "; ".join(_how_it_failed(status))
        case _:
            assert_never(status.phase)


def _why_failed(status: Status) -> Reason:
    ended_by = _ENDED_BY.get(status.ending.reason) if status.ending else None
    if ended_by is not None:
        return ended_by
    if status.failure is None:
        return Reason.CANCELLED
    final = any(task.final and task.name == status.failure.task for task in status.tasks)
    return Reason.FINALLY_FAILED if final else Reason.TASK_FAILED


_ENDED_BY = {
    DEADLINE: Reason.DEADLINE_EXCEEDED,
    STOPPED: Reason.STOPPED,
    TERMINATED: Reason.TERMINATED,
    CANCELLED: Reason.CANCELLED,
}
