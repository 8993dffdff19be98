"""What a retry runs again, and what it keeps.

A task runs again if it did not succeed, was changed, was asked for, or depends on one that runs
again; everything else is kept with its outcome. `finally` always runs again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from observatory.api.ending import Answer, RequestType
from observatory.api.fielderrors import did_you_mean
from observatory.api.status import Phase, Status
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.api.times import whole_seconds
from observatory.api.types import Task
from observatory.core import rows as row
from observatory.core.model import Desired, Program


@dataclass(frozen=True, slots=True)
class Retry:
    """The answer to a request to retry, and the rows of the run that it makes; None if refused."""

    answer: Answer
    rows: tuple[TaskStatus, ...] | None


def retry(
    desired: Desired, status: Status, before: Program | None, nonce: str, now: datetime
) -> Retry:
    """What a request to retry the latest run, which has ended, comes to."""
    why, rows = _kept(desired, status, before)
    if rows is None:
        message = why
    else:
        kept = sum(task.phase.ended for task in rows)
        again = sum(not task.final for task in rows) - kept
        tasks = f"{again} task{'' if again == 1 else 's'}"
        message = f"run {status.run + 1} runs {tasks} again and keeps {kept}"
    time = whole_seconds(now)
    answer = Answer(RequestType.RETRY, nonce, rows is not None, message, time)
    return Retry(answer, rows)


def _kept(
    desired: Desired, status: Status, before: Program | None
) -> tuple[str, tuple[TaskStatus, ...] | None]:
    program, start = desired.program, desired.retry_from
    if program is None:
        return f"the spec is invalid: {desired.errors[0]}", None
    if not status.run or desired.scheduled:
        return "no run has begun: there is nothing to retry", None
    if before is None:
        return f'ControllerRevision "{status.revision}" of run {status.run} is gone', None
    names = {task.name for task in program.tasks[: program.main]}
    if start is not None and start not in names:
        hint = did_you_mean(start, names) or "give the name of one of spec.tasks"
        return f'retry-from: no task is named "{start}"; {hint}', None
    unchanged = program.revision == before.revision
    if unchanged and start is None and status.phase is Phase.SUCCEEDED:
        return f"run {status.run} succeeded; name the task to begin with in retry-from", None
    return "", _rows(program, before, status, start)


def _rows(
    program: Program, before: Program, status: Status, start: str | None
) -> tuple[TaskStatus, ...]:
    rows = list(row.new_rows(program))
    earlier = {task.name: task for task in status.tasks if not task.final}
    was = {task.name: task for task in before.tasks[: before.main]}
    for index in program.order:
        task = program.tasks[index]
        old = earlier.get(task.name)
        if index >= program.main or task.name == start or old is None:
            continue
        if old.phase is not TaskPhase.SUCCEEDED or _work(task) != _work(was.get(task.name)):
            continue
        if all(rows[dependency].phase.ended for dependency in program.dependencies[index]):
            rows[index] = replace(old, run=old.run or status.run)
    return tuple(rows)


def _work(task: Task | None) -> tuple[object, ...] | None:
    """What a task does. How it is retried or waited for can change without doing it again."""
    if task is None:
        return None
    return task.image, task.command, task.args, task.env, task.resources
