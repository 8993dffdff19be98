"""Which tasks may start, and which never will: trigger rules, `finally`, and a run that is ending.

There is one rule about skipping: a task is skipped as soon as its trigger rule can't be met any
more. The reason says whether that is because something failed (`DependencyFailed`, which counts as
a failure for those that depend on it) or not (`TriggerRule`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from observatory.api.ending import EndingMode
from observatory.api.status import Status
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.api.times import whole_seconds
from observatory.core import attempts
from observatory.core import rows as row
from observatory.core.attempts import DEADLINE
from observatory.core.deadlines import Alarm
from observatory.core.ending import CANCELLED
from observatory.core.model import Desired, Program
from observatory.core.trigger import (
    DEPENDENCY_FAILED,
    TRIGGER_RULE,
    TriggerRule,
    Verdict,
    tally,
    verdict,
)

_GOES_WELL = frozenset({TaskPhase.PENDING, TaskPhase.RUNNING, TaskPhase.SUCCEEDED})
ON_DELETION = 300
"""Seconds that `finally` may take while its Observatory is being deleted, unless it says so."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is: the tasks that may start now, in order, and the status that says so."""

    status: Status
    ready: tuple[int, ...]


def take_turns(
    desired: Desired,
    program: Program,
    status: Status,
    rows: list[TaskStatus],
    alarm: Alarm,
) -> Turn:
    """Skip what never will start, and find what may."""
    if status.ending is not None:
        _skip_the_rest(status, program, rows, alarm.now)
    ready = _advance(program, rows, final=False)
    if program.has_finally and all(task.phase.ended for task in rows[: program.main]):
        if status.finally_time is None:
            status = replace(status, finally_time=whole_seconds(alarm.now))
        _bound_finally(desired, program, status, rows, alarm)
        ready += _advance(program, rows, final=True)
    return Turn(status, ready)


def _skip_the_rest(status: Status, program: Program, rows: list[TaskStatus], now: datetime) -> None:
    """What hasn't begun will not; what was to be tried again has failed."""
    ending = status.ending
    assert ending is not None  # noqa: S101 - the caller has looked
    end = len(rows) if ending.mode is EndingMode.TERMINATE else program.main
    for index in range(end):
        task = rows[index]
        if task.phase is not TaskPhase.PENDING:
            continue
        if task.attempt:
            rows[index] = attempts.give_up(task, program.tasks[index], now)
        else:
            rows[index] = row.skipped(task, ending.reason, ending.message or ending.reason)


def _bound_finally(
    desired: Desired,
    program: Program,
    status: Status,
    rows: list[TaskStatus],
    alarm: Alarm,
) -> None:
    """End what takes longer than `finally` may take."""
    seconds = desired.finally_deadline or (ON_DELETION if desired.deleting else None)
    if _namespace_goes(desired, rows):
        reason, message = CANCELLED, "The namespace is being deleted: it takes no more Pods"
    elif seconds is not None and status.finally_time is not None:
        due = status.finally_time + timedelta(seconds=seconds)
        if due > alarm.now:
            alarm.set(due)
            return
        reason, message = DEADLINE, f"finally took longer than {seconds} s"
    else:
        return
    for index in range(program.main, len(rows)):
        task = rows[index]
        if task.phase is TaskPhase.RUNNING:
            rows[index] = attempts.cancelled(task, reason, message, alarm.now)
        elif task.phase is TaskPhase.PENDING and task.attempt:
            rows[index] = attempts.give_up(task, program.tasks[index], alarm.now)
        elif task.phase is TaskPhase.PENDING:
            rows[index] = row.skipped(task, reason, message)


def _namespace_goes(desired: Desired, rows: Sequence[TaskStatus]) -> bool:
    return desired.deleting and any(task.reason == "NamespaceTerminating" for task in rows)


def _advance(program: Program, rows: list[TaskStatus], *, final: bool) -> tuple[int, ...]:
    """Skip, in topological order, what can't be met any more; the indexes of what is ready."""
    ready = []
    succeeded = [task.phase is TaskPhase.SUCCEEDED for task in rows]
    # Most runs go well, and have thousands of dependencies: those need no more than a look.
    well = all(task.phase in _GOES_WELL for task in rows)
    for index in program.order:
        task = rows[index]
        if task.phase is not TaskPhase.PENDING or (index >= program.main) is not final:
            continue
        if task.attempt:  # its rule was met before
            ready.append(index)
            continue
        dependencies = program.dependencies[index]
        rule = TriggerRule(program.tasks[index].trigger_rule)
        if well and rule is TriggerRule.ALL_SUCCEEDED:
            if all(map(succeeded.__getitem__, dependencies)):
                ready.append(index)
            continue
        needs = [rows[dependency] for dependency in dependencies]
        match verdict(rule, tally(needs)):
            case Verdict.READY:
                ready.append(index)
            case Verdict.WAIT:
                continue
            case Verdict.SKIP:
                rows[index] = row.skipped(task, TRIGGER_RULE, _unmet(rule, needs))
            case Verdict.SKIP_FAILED:
                rows[index] = row.skipped(task, DEPENDENCY_FAILED, _unmet(rule, needs))
    return tuple(ready)


def _unmet(rule: TriggerRule, needs: Sequence[TaskStatus]) -> str:
    """Why a rule can't be met any more: the first of the dependencies that rules it out."""
    wanted = (TaskPhase.FAILED, TaskPhase.SKIPPED)
    if rule in {TriggerRule.ALL_FAILED, TriggerRule.ANY_FAILED}:
        wanted = (TaskPhase.SUCCEEDED, TaskPhase.SKIPPED)
    cause = next((task for task in needs if task.phase in wanted and not task.ignored), None)
    if cause is None:
        return f"{rule} can't be met: its dependencies ended otherwise"
    how = {TaskPhase.FAILED: "failed", TaskPhase.SUCCEEDED: "succeeded"}
    text = f'Task "{cause.name}", which it depends on, {how.get(cause.phase, "was skipped")}'
    return text if rule is TriggerRule.ALL_SUCCEEDED else f"{rule} can't be met: {text}"
