"""The rows of `status.tasks`: how one task's row changes, one function a change."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from observatory.api.status import Status
from observatory.api.taskstatus import FailureClass, TaskPhase, TaskStatus
from observatory.api.times import whole_seconds
from observatory.core.model import Outcome, Pod, PodRef, PodWait, Program

SOFT_WAIT = timedelta(seconds=10)
"""How long a Pod may wait for its node or its image before a status tells of it.

Every Pod waits a little. Told at once, each would cost one more write and tell nothing.
"""

STAGES = 2
"""What a Pod has to get before it runs: a node, and there its container."""


def rows_of(status: Status, program: Program) -> list[TaskStatus]:
    """One row a task, in the order of the program's tasks: those of `finally` come last."""
    rows = status.tasks
    if len(rows) == len(program.tasks) and all(
        row.name == task.name for row, task in zip(rows, program.tasks, strict=True)
    ):
        return list(rows)
    known = {row.name: row for row in rows}
    return [known.get(row.name) or row for row in new_rows(program)]


def new_rows(program: Program) -> tuple[TaskStatus, ...]:
    """The rows of a run that has started nothing."""
    return tuple(
        TaskStatus(task.name, final=index >= program.main)
        for index, task in enumerate(program.tasks)
    )


def started(row: TaskStatus, pod: PodRef, attempt: int, now: datetime) -> TaskStatus:
    """The row of a task whose attempt is recorded as started."""
    return replace(
        row,
        phase=TaskPhase.RUNNING,
        attempt=attempt,
        pod_name=pod.name,
        pod_uid=pod.uid,
        start_time=whole_seconds(now),
        next_attempt_time=None,
        reason=None,
        message=None,
        since=None,
    )


def ended(row: TaskStatus, outcome: Outcome, node_name: str | None, now: datetime) -> TaskStatus:
    """The row of a task whose recorded Pod has ended. It never changes again."""
    finished = whole_seconds(outcome.finished_at or now)
    if row.start_time and finished < row.start_time:
        finished = row.start_time  # the node's clock runs behind ours
    return replace(
        row,
        phase=TaskPhase.SUCCEEDED if outcome.succeeded else TaskPhase.FAILED,
        node_name=None if outcome.succeeded else node_name,
        completion_time=finished,
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        class_=outcome.class_,
        reason=outcome.reason,
        message=outcome.message,
        since=None,
        cancel_reason=None,
        next_attempt_time=None,
        waited=_waited(row.start_time, outcome),
    )


def _waited(start: datetime | None, outcome: Outcome) -> tuple[int, ...] | None:
    """How long the Pod took from one stage to the next; None where that says nothing."""
    if start is None or outcome.reached is None:
        return None
    waited, at = [], start
    for time in outcome.reached:
        waited.append(max(int((time - at).total_seconds()), 0))
        at = max(time, at)  # nodes have clocks of their own
    ran_at_once = len(waited) == STAGES and not any(waited)
    return None if ran_at_once else tuple(waited)


def failed(
    row: TaskStatus, reason: str, message: str, now: datetime, class_: FailureClass
) -> TaskStatus:
    """The row of a task that failed without an outcome of a Pod, and is not tried again."""
    outcome = Outcome(succeeded=False, class_=class_, reason=reason, message=message)
    return ended(row, outcome, None, now)


def skipped(row: TaskStatus, reason: str, message: str) -> TaskStatus:
    """The row of a task that will not run."""
    return replace(
        row,
        phase=TaskPhase.SKIPPED,
        reason=reason,
        message=message,
        since=None,
        next_attempt_time=None,
        cancel_reason=None,
    )


def waiting(row: TaskStatus, reason: str, message: str | None, since: datetime) -> TaskStatus:
    """The row of a task that waits. The same wait keeps the time at which it began."""
    if row.reason == reason and row.since:
        return row if row.message == message else replace(row, message=message)
    return replace(row, reason=reason, message=message, since=whole_seconds(since))


def plain(row: TaskStatus) -> TaskStatus:
    """The row of a task that waits for nothing worth telling."""
    if row.reason is None:
        return row
    return replace(row, reason=None, message=None, since=None)


def waiting_for_pod(row: TaskStatus, pod: Pod, now: datetime) -> tuple[TaskStatus, datetime | None]:
    """The row of a task whose Pod exists, and when a wait that is still young is worth telling."""
    wait: PodWait | None = pod.wait
    if wait is None:
        return plain(row), None
    # A time far ahead of ours says nothing about how long the wait has been.
    if not wait.hard and -SOFT_WAIT < now - wait.since < SOFT_WAIT:
        return row, wait.since + SOFT_WAIT
    if row.reason == wait.reason and row.since:
        # The kubelet words one failure in several ways, in turn, and the scheduler counts its
        # nodes anew: each wording would be a write.
        return row, None
    return waiting(row, wait.reason, wait.message, min(wait.since, now)), None
