"""What should have moved by now: the table of docs/never-stuck.md, as a check at run time.

Every state that is not terminal is left when something happens, or when its time is over. This
looks for those whose time was over a while ago: then something is wrong with the operator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from observatory.api.ending import EndingMode
from observatory.api.status import Status
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.api.times import parse_time
from observatory.api.types import JsonObject
from observatory.core.access import NOT_CHECKED
from observatory.core.attempts import BACKOFF
from observatory.core.ending import expires
from observatory.core.model import Desired, Pod
from observatory.core.progress import START_PENDING

PATIENCE = timedelta(seconds=60)
"""How late anything may be: a busy operator, a slow API server, a clock that is a little off."""

INVARIANTS = (
    "RetryOverdue",
    "StartOverdue",
    "WaitWithoutReason",
    "GateOverdue",
    "OutcomeOverdue",
    "CancelOverdue",
    "RunDeadlineOverdue",
    "EndOverdue",
    "FinalizerOverdue",
    "ExpiryOverdue",
    "FireTimeOverdue",
)
"""What can be violated; the label of `observatory_invariant_violations_total`."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """Something that has not moved: which of the invariants, and what of the Observatory."""

    invariant: str
    what: str


def stuck(desired: Desired, status: Status, pods: Sequence[Pod], now: datetime) -> Iterator[Stuck]:
    """Everything of one Observatory that should have moved by now."""
    before = now - PATIENCE
    by_uid = {pod.uid: pod for pod in pods}
    if status.active:
        yield from _run(desired, status, before)
        for task in status.tasks:
            if task.phase is TaskPhase.PENDING:
                yield from _pending(desired, status, task, before)
            elif task.phase is TaskPhase.RUNNING and (pod := by_uid.get(task.pod_uid or "")):
                yield from _running(task, pod, before)
    elif (expiry := expires(desired, status)) and expiry < before and not desired.tracked:
        yield Stuck("ExpiryOverdue", f"its ttlSecondsAfterFinished was over at {expiry}")
    ended = {task.pod_uid for task in status.tasks if task.phase.ended}
    for pod in pods:
        over = pod.outcome.finished_at if pod.outcome else None
        if pod.tracked and pod.uid in ended and over is not None and over < before:
            yield Stuck("FinalizerOverdue", f"Pod {pod.key.name} is held, its end is stored")


def fire_time_overdue(status: JsonObject, now: datetime) -> Stuck | None:
    """A run that should have begun by its schedule, or have been skipped: from the stored status.

    Thousands of schedules wait at a time: nothing is derived of them for this look.
    """
    times = status.get("nextRunTimes")
    first = times[0] if isinstance(times, list) and times else None
    try:
        due = parse_time(first) if isinstance(first, str) else None
    except ValueError:
        return None
    if due is None or due >= now - PATIENCE or _awaits_the_api_server(status):
        return None
    return Stuck("FireTimeOverdue", f"its run of {due} has neither begun nor been skipped")


def _awaits_the_api_server(status: JsonObject) -> bool:
    """Whether a condition says that nobody answers whether its requester may still have runs."""
    conditions = status.get("conditions")
    return isinstance(conditions, list) and any(
        isinstance(each, dict) and each.get("reason") == NOT_CHECKED for each in conditions
    )


def _run(desired: Desired, status: Status, before: datetime) -> Iterator[Stuck]:
    ends = [task.completion_time for task in status.tasks if task.completion_time]
    if all(task.phase.ended for task in status.tasks) and ends and max(ends) < before:
        yield Stuck("EndOverdue", "all of its tasks have ended")
    if desired.deadline is None or status.start_time is None or status.finally_time is not None:
        return
    due = status.start_time + timedelta(seconds=desired.deadline)
    if due < before and (status.ending is None or status.ending.mode is EndingMode.DRAIN):
        yield Stuck("RunDeadlineOverdue", f"its activeDeadlineSeconds was over at {due}")


def _pending(
    desired: Desired, status: Status, task: TaskStatus, before: datetime
) -> Iterator[Stuck]:
    due = task.next_attempt_time
    if task.reason == BACKOFF and due and due < before and not desired.suspend:
        yield Stuck("RetryOverdue", f"task {task.name} was to try again at {due}")
    if task.reason == START_PENDING and task.since and task.since < before:
        yield Stuck("StartOverdue", f"task {task.name} could start since {task.since}")
    others = any(other.name != task.name and not other.phase.ended for other in status.tasks)
    if task.reason is None and not others and status.start_time and status.start_time < before:
        yield Stuck("WaitWithoutReason", f"task {task.name} waits, and nothing says what for")


def _running(task: TaskStatus, pod: Pod, before: datetime) -> Iterator[Stuck]:
    began = task.start_time or pod.created
    cancelled = task.since if task.cancel_reason else None
    if pod.outcome is not None:
        over = pod.outcome.finished_at
        if over is not None and over < before and began is not None and began < before:
            yield Stuck("OutcomeOverdue", f"Pod {pod.key.name} of task {task.name} has ended")
    elif cancelled is not None:
        if cancelled < before and not pod.deleting:
            yield Stuck("CancelOverdue", f"Pod {pod.key.name} was to be deleted at {cancelled}")
    elif pod.gated and began is not None and began < before:
        yield Stuck("GateOverdue", f"Pod {pod.key.name} of task {task.name} is recorded and gated")
