"""`settle`: complete a plan's status with what the API server answered to the starts.

The second half of planning, and as pure as the first. Between the two, Pods were created, all of
them gated; what `settle` returns is written under the resourceVersion that was planned from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from observatory.api.conditions import VALID, Reason, find_condition
from observatory.api.fielderrors import list_errors
from observatory.api.status import Phase, Status
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.core import rows as row
from observatory.core.model import (
    NAMESPACE_WIDE,
    Answers,
    Desired,
    Event,
    Plan,
    Refused,
    Start,
)
from observatory.core.progress import START_PENDING
from observatory.core.summary import TOO_LARGE, describe_failure, summarize

DENIED_FOR = timedelta(seconds=60)
"""How long admission may go on denying a Pod before its task fails: policies get rolled out."""
RETRY_AFTER_AT_LEAST = timedelta(seconds=5)
RETRY_AFTER_AT_MOST = timedelta(minutes=5)


def settle(plan: Plan, answers: Answers, desired: Desired, now: datetime) -> Status:
    """The status to write: the draft with the starts recorded, refused, or still open."""
    if not (answers.started or answers.refused or answers.lost):
        return plan.draft
    starts = {start.attempt.task: start for start in plan.starts}
    rows = tuple(_settled(task, starts, answers, now) for task in plan.draft.tasks)
    return summarize(replace(plan.draft, tasks=rows), desired, now)


def _settled(
    task: TaskStatus, starts: dict[str, Start], answers: Answers, now: datetime
) -> TaskStatus:
    if task.phase is TaskPhase.RUNNING and task.pod_uid in answers.lost:
        return row.failed(task, "PodLost", "The Pod vanished before its outcome was seen", now)
    start = starts.get(task.name)
    if start is None:
        return task
    if pod := answers.started.get(task.name):
        return row.started(task, pod, start.attempt.attempt, now)
    if refused := answers.refused.get(task.name):
        return _refused(task, start, refused, now)
    if answers.held_back:
        return _held_back(task, answers.held_back, now)
    return task


def _held_back(task: TaskStatus, refused: Refused, now: datetime) -> TaskStatus:
    """The row of a task that wasn't tried, since the whole namespace takes no Pods."""
    known = task.reason in NAMESPACE_WIDE or task.reason == START_PENDING
    if task.reason == refused.reason or not known:
        return task
    return row.waiting(task, refused.reason, refused.message, now)


def _refused(task: TaskStatus, start: Start, refused: Refused, now: datetime) -> TaskStatus:
    known = task.since if task.reason == refused.reason else None
    denied_too_long = refused.reason == "AdmissionDenied" and known and now - known >= DENIED_FOR
    if refused.permanent or denied_too_long:
        attempted = replace(task, attempt=start.attempt.attempt)
        return row.failed(attempted, refused.reason, refused.message, now)
    if task.reason == refused.reason and task.since:
        # Some refusals are worded anew each time. Each wording would be a write, and each write
        # a reason to look again, at once.
        return task
    return row.waiting(task, refused.reason, refused.message, now)


def retry_at(status: Status, refused: Mapping[str, Refused], now: datetime) -> datetime | None:
    """When to try the refused starts again: after as long as they have waited, within bounds."""
    since = [task.since for task in status.tasks if task.name in refused and task.since]
    if not since:
        return None
    waited = now - min(since)
    return now + min(max(waited, RETRY_AFTER_AT_LEAST), RETRY_AFTER_AT_MOST)


def tell(before: Status, after: Status, desired: Desired) -> tuple[Event, ...]:
    """The Events about what changed from one stored status to the next."""
    events = []
    old = {task.name: task.phase for task in before.tasks} if before.run == after.run else {}
    if desired.errors and _valid(before) != _valid(after):
        note = f"Nothing will be started until it is mended: {list_errors(desired.errors)}"
        events.append(Event("Invalid", note, action="Validate", warning=True))
    if _is_too_large(after) and not _is_too_large(before):
        events.append(Event("StatusTooLarge", TOO_LARGE, action="Store", warning=True))
    for task in after.tasks:
        if task.phase is TaskPhase.FAILED and old.get(task.name) is not TaskPhase.FAILED:
            cause = f"{task.reason}: {task.message}" if task.message else task.reason
            note = f'Task "{task.name}" failed: {cause}'
            events.append(Event("TaskFailed", note, action="RunTask", warning=True))
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


def _is_too_large(status: Status) -> bool:
    condition = find_condition(status.conditions, VALID)
    return condition is not None and condition.reason == Reason.STATUS_TOO_LARGE


def _valid(status: Status) -> tuple[str, str] | None:
    condition = find_condition(status.conditions, VALID)
    return (condition.status, condition.message) if condition else None
