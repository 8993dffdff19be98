"""`tell`: the Events about what changed from one stored status to the next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from observatory.api.conditions import SCHEDULED, VALID, Reason, find_condition
from observatory.api.fielderrors import list_errors
from observatory.api.status import Phase, Status
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.core.model import Desired, Event
from observatory.core.summary import TOO_LARGE, describe_failure

_PAUSED = frozenset({Reason.TOO_MANY_FAILURES, Reason.NEVER_FIRES, Reason.CLOCK_SKEW})
"""Why a schedule begins no run, though nobody has suspended it."""


def tell(before: Status, after: Status, desired: Desired) -> tuple[Event, ...]:
    """The Events about what changed from one stored status to the next."""
    events = [*tell_requests(before, after, desired)]
    old = {task.name: task for task in before.tasks} if before.run == after.run else {}
    if _is_too_large(after) and not _is_too_large(before):
        events.append(Event("StatusTooLarge", TOO_LARGE, action="Store", warning=True))
    if after.ending and after.ending != (before.ending if before.run == after.run else None):
        note = f"Run {after.run} is ending: {after.ending.message or after.ending.reason}"
        events.append(Event("RunEnding", note, action="End", warning=True))
    events += _about_tasks(old, after)
    if after.ended and not (before.ended and before.run == after.run):
        run = f"Run {after.run}"
        if after.phase is Phase.SUCCEEDED:
            note = f"{run} succeeded: {after.progress} tasks in {after.duration}"
            events.append(Event("RunSucceeded", note, action="Finish"))
        else:
            cause = describe_failure(after.failure) if after.failure else after.message
            note = f"{run} failed after {after.duration}: {cause}"
            events.append(Event("RunFailed", note, action="Finish", warning=True))
    return tuple(events)


def tell_requests(before: Status, after: Status, desired: Desired) -> tuple[Event, ...]:
    """The Events about what is wrong with the spec or its schedule, and about refused requests."""
    events = []
    was, now = (find_condition(status.conditions, SCHEDULED) for status in (before, after))
    if now is not None and now.reason in _PAUSED and (was is None or was.reason != now.reason):
        events.append(Event("SchedulePaused", now.message, action="Schedule", warning=True))
    if desired.errors and _valid(before) != _valid(after):
        note = f"Nothing will be started until it is mended: {list_errors(desired.errors)}"
        events.append(Event("Invalid", note, action="Validate", warning=True))
    for answer in after.requests:
        if not answer.accepted and answer not in before.requests:
            note = f"{answer.type}: {answer.message}"
            events.append(Event("RequestRefused", note, action=answer.type.value, warning=True))
    return tuple(events)


def _about_tasks(old: Mapping[str, TaskStatus], after: Status) -> Iterator[Event]:
    """The Events about attempts that have failed since; those of one plan may be thousands."""
    for task in after.tasks:
        was = old.get(task.name)
        if task.next_attempt_time and (was is None or was.next_attempt_time is None):
            note = f'Task "{task.name}" failed and tries again: {task.message}'
            yield Event("AttemptFailed", note, action="RunTask", warning=True)
        elif task.phase is TaskPhase.FAILED and (was is None or was.phase is not task.phase):
            cause = f"{task.reason}: {task.message}" if task.message else task.reason
            ignored = ", which is ignored" if task.ignored else ""
            note = f'Task "{task.name}" failed{ignored}: {cause}'
            yield Event("TaskFailed", note, action="RunTask", warning=True)


def _is_too_large(status: Status) -> bool:
    condition = find_condition(status.conditions, VALID)
    return condition is not None and condition.reason == Reason.STATUS_TOO_LARGE


def _valid(status: Status) -> tuple[str, str] | None:
    condition = find_condition(status.conditions, VALID)
    return (condition.status, condition.message) if condition else None
