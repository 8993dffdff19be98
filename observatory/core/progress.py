"""How far a run is and what comes next: its ended Pods, its deadlines, its ready tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from observatory.api.ending import EndingMode
from observatory.api.limits import POD_LIMITS, RUN_LIMIT
from observatory.api.names import revision_hash
from observatory.api.status import Status
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.api.types import JsonObject, Task
from observatory.core import attempts, deadlines
from observatory.core import rows as row
from observatory.core.allowance import Allowance, limit_message
from observatory.core.attempts import BACKOFF, Closing
from observatory.core.deadlines import Alarm
from observatory.core.fit import room_for_pods
from observatory.core.model import (
    NAMESPACE_WIDE,
    Desired,
    Identity,
    Pod,
    PodRef,
    Program,
    Start,
)
from observatory.core.outcome import environment
from observatory.core.pods import name_of, pod_manifest, ref
from observatory.core.tracing import carried

STARTS_AT_ONCE = 500
"""Starts in one plan. A larger fan-out takes several, so that other runs get their turn."""
STATUS_FULL = "StatusFull"
"""Why a task waits where the status has no room to record one more Pod: some run to their end."""
START_PENDING = "StartPending"
"""Why a task waits that could start: its turn hasn't come, or nothing was heard of its Pod."""
_NO_REFUSAL = frozenset(
    {None, "Suspended", "MaxConcurrent", *POD_LIMITS, STATUS_FULL, START_PENDING, BACKOFF}
)
KILL_GRACE = 1
"""Seconds of grace of a Pod whose run is terminated: as good as none, but its node confirms it."""
NAME_CONFLICT = "NameConflict"
"""Why a task waits whose Pod's name belongs to a Pod that isn't its own."""


@dataclass(slots=True)
class Seen:
    """What the Pods of the running tasks ask for.

    `fatal` is a task that a rule of its retry policy fails the whole run for.
    """

    verify: list[PodRef] = field(default_factory=list)
    release: list[PodRef] = field(default_factory=list)
    fatal: str | None = None


def see_pods(closing: Closing, rows: list[TaskStatus], pods: Sequence[Pod], alarm: Alarm) -> Seen:
    """Bring the rows of the running tasks up to date with the Pods that are recorded for them."""
    seen = Seen()
    by_uid = {pod.uid: pod for pod in pods}
    for index, task in enumerate(rows):
        if task.phase is not TaskPhase.RUNNING:
            continue
        pod = by_uid.get(task.pod_uid or "")
        if pod is None:
            seen.verify.append(PodRef(task.pod_name or "", task.pod_uid or ""))
        elif pod.outcome:
            closed = attempts.close(closing, index, task, pod.outcome, pod.node_name)
            rows[index] = closed.row
            if closed.fails_run:
                seen.fatal = task.name
        elif task.cancel_reason is not None:
            continue  # it says why it ends, and that is what is waited for
        elif pod.gated:
            seen.release.append(ref(pod))
        else:
            rows[index], tell_at = row.waiting_for_pod(task, pod, alarm.now)
            alarm.set(tell_at)
    return seen


def enforce_deadlines(
    program: Program, rows: list[TaskStatus], pods: Sequence[Pod], alarm: Alarm
) -> None:
    """Cancel the attempts that have taken too long."""
    by_uid = {pod.uid: pod for pod in pods}
    for index, task in enumerate(rows):
        wanted = program.tasks[index]
        pod = by_uid.get(task.pod_uid or "") if task.phase is TaskPhase.RUNNING else None
        if pod is None or task.cancel_reason is not None:
            if task.next_attempt_time:
                rows[index] = _backoff_in_time(task, wanted, alarm)
            continue
        late = deadlines.overdue(wanted, task, pod, alarm)
        if late:
            rows[index] = attempts.cancelled(task, late.reason, late.message, alarm.now)


def cancel_running(status: Status, rows: list[TaskStatus], now: datetime) -> None:
    """Cancel the attempts that a run doesn't let go on which is ending."""
    ending = status.ending
    if ending is None or ending.mode is EndingMode.DRAIN:
        return
    for index, task in enumerate(rows):
        spared = task.final and ending.mode is not EndingMode.TERMINATE
        if task.phase is TaskPhase.RUNNING and not spared:
            message = ending.message or ending.reason
            rows[index] = attempts.cancelled(task, ending.reason, message, now)


def to_delete(
    status: Status, rows: Sequence[TaskStatus], pods: Sequence[Pod]
) -> tuple[tuple[PodRef, ...], tuple[PodRef, ...]]:
    """The Pods of cancelled attempts: those to delete, and those to delete without their grace."""
    cancelled = {
        task.pod_uid for task in rows if task.phase is TaskPhase.RUNNING and task.cancel_reason
    }
    if not cancelled:
        return (), ()
    live = [pod for pod in pods if pod.uid in cancelled and pod.outcome is None]
    if status.ending and status.ending.mode is EndingMode.TERMINATE:
        return (), tuple(
            ref(pod) for pod in live if not pod.deleting or (pod.grace or 0) > KILL_GRACE
        )
    return tuple(ref(pod) for pod in live if not pod.deleting), ()


@dataclass(frozen=True, slots=True)
class Run:
    """One run in progress: what is wanted, what it is pinned to, and what is known of it."""

    desired: Desired
    program: Program
    status: Status
    pods: Sequence[Pod]
    alarm: Alarm
    allowance: Allowance


def start_ready(
    run: Run, ready: Sequence[int], rows: list[TaskStatus], now: datetime
) -> tuple[tuple[Start, ...], int]:
    """The attempts to start now. The rows of ready tasks that have to wait say what for.

    How many more there would be if those that share the slots left more of them comes second.
    """
    starts: list[Start] = []
    short = 0
    by_name = {pod.key.name: pod for pod in run.pods}
    bounds, told = _bounds(run, rows), set[str]()
    suspended = run.desired.suspend and run.status.ending is None and not run.desired.deleting
    for index in _in_turn(ready, rows):
        policy = run.program.policies[index]
        rows[index] = attempts.pause_in_bounds(rows[index], policy, now)
        again_at = rows[index].next_attempt_time
        if suspended:
            rows[index] = row.waiting(rows[index], "Suspended", None, now)
        elif again_at and again_at > now:
            run.alarm.set(again_at)
        elif bound := bounds.reached(len(starts) + short, pauses=again_at is not None):
            rows[index] = _passed_over(rows[index], bound, told, now)
        elif bounds.shared and len(starts) >= bounds.shared.starts:
            rows[index] = _passed_over(rows[index], bounds.shared, told, now)
            short += 1
        else:
            if rows[index].reason in _NO_REFUSAL:
                rows[index] = row.waiting(rows[index], START_PENDING, None, now)
            if len(starts) < STARTS_AT_ONCE:
                rows[index], start = _start(run, index, rows, by_name, now)
                starts += [start] if start else []
    return tuple(starts), short


@dataclass(frozen=True, slots=True)
class _Bound:
    """So many starts and no more, and what is told of a task that has to wait then."""

    starts: int
    reason: str
    message: str | None = None


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What limits the starts of one plan: of this run alone, and of those that share with it.

    What the user has asked for is told first.
    """

    asked: tuple[_Bound, ...]
    room: int
    shared: _Bound | None

    def reached(self, starts: int, *, pauses: bool) -> _Bound | None:
        """What keeps one more from being started; a task that `pauses` has its room already."""
        for bound in self.asked:
            if starts >= bound.starts:
                return bound
        return _Bound(self.room, STATUS_FULL) if starts >= self.room + pauses else None


def _bounds(run: Run, rows: Sequence[TaskStatus]) -> _Bounds:
    running = sum(task.phase is TaskPhase.RUNNING for task in rows)
    pausing = sum(task.next_attempt_time is not None for task in rows)
    asked = [_Bound((run.desired.max_concurrent or len(rows)) - running, "MaxConcurrent")]
    allowance, shared = run.allowance, None
    if most := allowance.run:
        asked.append(_Bound(most - running, RUN_LIMIT, limit_message(RUN_LIMIT, most)))
    if allowance.starts is not None:
        message = limit_message(allowance.reason, allowance.limit)
        shared = _Bound(allowance.starts, allowance.reason, message)
    names, branches = (task.name for task in rows), run.program.branches
    room = room_for_pods(run.desired.size, names, branches=branches) - running - pausing
    return _Bounds(tuple(asked), room, shared)


def _backoff_in_time(task: TaskStatus, wanted: Task, alarm: Alarm) -> TaskStatus:
    """The row of a task that waits for its next attempt: it ends where its deadline comes first."""
    due = deadlines.due(wanted, task)
    if due is None or due > alarm.now:
        alarm.set(due)
        return task
    return attempts.out_of_time(task, wanted, alarm.now)


def _passed_over(task: TaskStatus, bound: _Bound, told: set[str], now: datetime) -> TaskStatus:
    """The row of a task that is not even tried. The first of a reason tells the message for all.

    What its own Pod was refused for is told on, with the time since when: two tasks that took turns
    in being refused would else be a write each time, and each write a reason to try the other.
    """
    if task.reason not in _NO_REFUSAL:
        return task
    message = None if bound.reason in told else bound.message
    told.add(bound.reason)
    return row.waiting(task, bound.reason, message, now)


def _in_turn(ready: Sequence[int], rows: Sequence[TaskStatus]) -> list[int]:
    """Last those whose own Pods were refused: they are not to keep the others back."""
    waits = _NO_REFUSAL | NAMESPACE_WIDE
    return sorted(ready, key=lambda index: rows[index].reason not in waits)


def _start(
    run: Run, index: int, rows: Sequence[TaskStatus], by_name: dict[str, Pod], now: datetime
) -> tuple[TaskStatus, Start | None]:
    task = rows[index]
    revision = revision_hash(run.program.revision)
    attempt = Identity(run.status.run, revision, task.name, task.attempt + 1)
    name = name_of(attempt, run.desired.key.name, run.desired.uid)
    existing = by_name.get(name)
    if existing is None:
        wanted = run.program.tasks[index]
        more = _environment(run, task, rows)
        body = pod_manifest(run.desired, wanted, attempt, memory=task.memory, more_env=more)
        return task, Start(attempt, name, body=body)
    if existing.deleting and existing.gated:
        return task, None  # deleted before it was recorded: once it is gone, there is a new one
    if not adoptable(existing, run.desired, attempt):
        return row.waiting(task, NAME_CONFLICT, name_conflict(name), now), None
    return task, Start(attempt, name, adopt=ref(existing))


def _environment(run: Run, task: TaskStatus, rows: Sequence[TaskStatus]) -> Iterator[JsonObject]:
    """The variables that every container gets, and those of `finally`."""
    if run.desired.scheduled_time:
        yield {"name": "OBSERVATORY_SCHEDULED_TIME", "value": run.desired.scheduled_time}
    yield from carried(run.desired, run.status, task.name, task.attempt + 1)
    if task.final:
        yield from environment(run.desired.key.name, run.status, rows)


def adoptable(pod: Pod, desired: Desired, attempt: Identity) -> bool:
    """Whether a Pod of that name, which no status records yet, may be recorded as the attempt's.

    Without its gate it may be running already, and it was not a status that let it.
    """
    return pod.owner_uid == desired.uid and pod.identity == attempt and pod.gated


def name_conflict(name: str) -> str:
    """What to tell about a Pod that has an attempt's name and isn't its Pod."""
    return f'Pod "{name}" exists and is not this task\'s; delete it to go on'
