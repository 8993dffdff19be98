"""`settle`: complete a plan's status with what the API server answered to the starts.

The second half of planning, and as pure as the first. Between the two, Pods were created, all of
them gated; what `settle` returns is written under the resourceVersion that was planned from.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from observatory.api.status import Status
from observatory.api.taskstatus import FailureClass, TaskPhase, TaskStatus
from observatory.core import rows as row
from observatory.core.attempts import Closed, Closing, close
from observatory.core.ending import after_failures
from observatory.core.model import (
    NAMESPACE_WIDE,
    Answers,
    Desired,
    Outcome,
    Plan,
    Refused,
    Start,
)
from observatory.core.progress import START_PENDING
from observatory.core.summary import summarize

DENIED_FOR = timedelta(seconds=60)
"""How long admission may go on denying a Pod before its task fails: policies get rolled out."""
RETRY_AFTER_AT_LEAST = timedelta(seconds=5)
RETRY_AFTER_AT_MOST = timedelta(minutes=5)


def settle(plan: Plan, answers: Answers, desired: Desired, now: datetime) -> Status:
    """The status to write: the draft with the starts recorded, refused, or still open.

    A failure that is heard of only now may end the run. Then no start is recorded: what was created
    for it is still gated, and is deleted by a later plan.
    """
    draft = plan.draft
    if not (answers.started or answers.refused or answers.lost):
        return draft
    starts = {start.attempt.task: start for start in plan.starts}
    closing = Closing.of(plan.program, desired.uid, draft, now)
    rows, fatal = list(draft.tasks), None
    for index, task in enumerate(rows):
        closed = _settled(closing, index, task, starts.get(task.name), answers)
        rows[index] = closed.row
        fatal = task.name if closed.fails_run else fatal
    goes_on = draft.ending
    if draft.active:
        draft = after_failures(desired, draft, rows, fatal, now)
    if draft.ending is goes_on:
        for index, task in enumerate(rows):
            if pod := answers.started.get(task.name):
                rows[index] = row.started(task, pod, starts[task.name].attempt.attempt, now)
    return summarize(replace(draft, tasks=tuple(rows)), desired, now)


def _settled(
    closing: Closing,
    index: int,
    task: TaskStatus,
    start: Start | None,
    answers: Answers,
) -> Closed:
    if task.phase is TaskPhase.RUNNING and task.pod_uid in answers.lost:
        return close(closing, index, task, _LOST, None)
    if start is None:
        return Closed(task)
    if refused := answers.refused.get(task.name):
        return _refused(closing, index, task, start, refused)
    if answers.held_back:
        return Closed(_held_back(task, answers.held_back, closing.now))
    return Closed(task)


_LOST = Outcome(
    succeeded=False,
    class_=FailureClass.LOST,
    reason="PodLost",
    message="The Pod vanished before its outcome was seen",
)


def _held_back(task: TaskStatus, refused: Refused, now: datetime) -> TaskStatus:
    """The row of a task that wasn't tried, since the whole namespace takes no Pods."""
    known = task.reason in NAMESPACE_WIDE or task.reason == START_PENDING
    if task.reason == refused.reason or not known:
        return task
    return row.waiting(task, refused.reason, refused.message, now)


def _refused(
    closing: Closing, index: int, task: TaskStatus, start: Start, refused: Refused
) -> Closed:
    waits = task.reason == refused.reason and task.since is not None
    limit = _patience(closing, index, refused)
    if refused.permanent or (waits and task.since and limit and closing.now - task.since >= limit):
        rejected = Outcome(
            succeeded=False,
            class_=FailureClass.REJECTED,
            reason=refused.reason,
            message=refused.message,
        )
        attempted = replace(task, attempt=start.attempt.attempt, start_time=None)
        return close(closing, index, attempted, rejected, None)
    if waits:
        # Some refusals are worded anew each time. Each wording would be a write, and each write
        # a reason to look again, at once.
        return Closed(task)
    return Closed(row.waiting(task, refused.reason, refused.message, closing.now))


def _patience(closing: Closing, index: int, refused: Refused) -> timedelta | None:
    """How long a task may wait for such a refusal to pass; None for as long as it takes."""
    program = closing.program
    seconds = program.tasks[index].starting_deadline if program else None
    if seconds is not None:
        return timedelta(seconds=seconds)
    return DENIED_FOR if refused.reason == "AdmissionDenied" else None


def retry_at(
    plan: Plan, status: Status, refused: Collection[str], now: datetime
) -> datetime | None:
    """When to try the refused starts again: after as long as they have waited, within bounds.

    A deadline that ends before is not waited over.
    """
    waits = [task for task in status.tasks if task.name in refused and task.since]
    since = [task.since for task in waits if task.since]
    if not since:
        return None
    waited = now - min(since)
    again = now + min(max(waited, RETRY_AFTER_AT_LEAST), RETRY_AFTER_AT_MOST)
    limits = _deadlines(plan)
    ends = (task.since + limits[task.name] for task in waits if task.since and task.name in limits)
    return min((again, *(end for end in ends if end > now)))


def _deadlines(plan: Plan) -> dict[str, timedelta]:
    tasks = plan.program.tasks if plan.program else ()
    return {
        task.name: timedelta(seconds=task.starting_deadline)
        for task in tasks
        if task.starting_deadline is not None
    }
