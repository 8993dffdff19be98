"""How far a run is and what comes next: its ended Pods, its ready tasks, its left-over Pods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from observatory.api.names import revision_hash
from observatory.api.status import Status
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.core import rows as row
from observatory.core.fit import room_for_pods
from observatory.core.model import (
    NAMESPACE_WIDE,
    Desired,
    Identity,
    Observed,
    Pod,
    PodRef,
    Program,
    Start,
)
from observatory.core.pods import name_of, pod_manifest, ref

STARTS_AT_ONCE = 500
"""Starts in one plan. A larger fan-out takes several, so that other runs get their turn."""
STATUS_FULL = "StatusFull"
"""Why a task waits where the status has no room to record one more Pod: some run to their end."""
START_PENDING = "StartPending"
"""Why a task waits that could start: its turn hasn't come, or nothing was heard of its Pod."""
_NO_REFUSAL = frozenset({None, "Suspended", "MaxConcurrent", STATUS_FULL, START_PENDING})
NAME_CONFLICT = "NameConflict"
"""Why a task waits whose Pod's name belongs to a Pod that isn't its own."""


@dataclass(slots=True)
class Seen:
    """What the Pods of the running tasks ask for."""

    verify: list[PodRef] = field(default_factory=list)
    release: list[PodRef] = field(default_factory=list)
    tell_at: datetime | None = None


def see_pods(rows: list[TaskStatus], pods: Iterable[Pod], now: datetime) -> Seen:
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
            rows[index] = row.ended(task, pod.outcome, pod.node_name, now)
        elif pod.gated:
            seen.release.append(ref(pod))
        else:
            rows[index], tell_at = row.waiting_for_pod(task, pod, now)
            seen.tell_at = min(filter(None, (seen.tell_at, tell_at)), default=None)
    return seen


def skip_dependents(rows: list[TaskStatus], program: Program) -> None:
    """Skip what depends on a task that failed or was skipped, and what depends on that."""
    dead = {task.name for task in rows if task.phase in (TaskPhase.FAILED, TaskPhase.SKIPPED)}
    if not dead:
        return
    for index in program.order:
        if rows[index].phase is not TaskPhase.PENDING:
            continue
        for dependency in program.dependencies[index]:
            cause = rows[dependency]
            if cause.name in dead:
                how = "failed" if cause.phase is TaskPhase.FAILED else "was skipped"
                message = f'Task "{cause.name}", which it depends on, {how}'
                rows[index] = row.skipped(rows[index], "DependencyFailed", message)
                dead.add(rows[index].name)
                break


def ready_tasks(rows: Sequence[TaskStatus], program: Program) -> list[int]:
    """The indexes of the tasks that could start: not begun, all dependencies succeeded."""
    succeeded = [task.phase is TaskPhase.SUCCEEDED for task in rows]
    return [
        index
        for index in program.order
        if rows[index].phase is TaskPhase.PENDING
        and all(map(succeeded.__getitem__, program.dependencies[index]))
    ]


@dataclass(frozen=True, slots=True)
class Run:
    """One run in progress: what is wanted, what it is pinned to, and what is seen of it."""

    desired: Desired
    program: Program
    number: int
    pods: Sequence[Pod]


def start_ready(run: Run, rows: list[TaskStatus], now: datetime) -> tuple[Start, ...]:
    """The attempts to start now. The rows of ready tasks that have to wait say what for."""
    starts: list[Start] = []
    by_name = {pod.key.name: pod for pod in run.pods}
    running = sum(task.phase is TaskPhase.RUNNING for task in rows)
    slots = (run.desired.max_concurrent or len(rows)) - running
    room = room_for_pods(run.desired.size, (task.name for task in rows)) - running
    for index in _in_turn(ready_tasks(rows, run.program), rows):
        if run.desired.suspend:
            rows[index] = row.waiting(rows[index], "Suspended", None, now)
        elif len(starts) >= slots:
            rows[index] = _passed_over(rows[index], "MaxConcurrent", now)
        elif len(starts) >= room:
            rows[index] = _passed_over(rows[index], STATUS_FULL, now)
        else:
            if rows[index].reason in _NO_REFUSAL:
                rows[index] = row.waiting(rows[index], START_PENDING, None, now)
            if len(starts) < STARTS_AT_ONCE:
                rows[index], start = _start(run, index, rows[index], by_name, now)
                starts += [start] if start else []
    return tuple(starts)


def _passed_over(task: TaskStatus, reason: str, now: datetime) -> TaskStatus:
    """The row of a task that is not even tried.

    What its own Pod was refused for is told on, with the time since when: two tasks that took turns
    in being refused would else be a write each time, and each write a reason to try the other.
    """
    return row.waiting(task, reason, None, now) if task.reason in _NO_REFUSAL else task


def _in_turn(ready: list[int], rows: Sequence[TaskStatus]) -> list[int]:
    """Last those whose own Pods were refused: they are not to keep the others back."""
    waits = _NO_REFUSAL | NAMESPACE_WIDE
    return sorted(ready, key=lambda index: rows[index].reason not in waits)


def _start(
    run: Run, index: int, task: TaskStatus, by_name: dict[str, Pod], now: datetime
) -> tuple[TaskStatus, Start | None]:
    attempt = Identity(run.number, revision_hash(run.program.revision), task.name, task.attempt + 1)
    name = name_of(attempt, run.desired.key.name, run.desired.uid)
    existing = by_name.get(name)
    if existing is None:
        body = pod_manifest(run.desired, run.program.tasks[index], attempt)
        return task, Start(attempt, name, body=body)
    if existing.deleting and existing.gated:
        return task, None  # deleted before it was recorded: once it is gone, there is a new one
    if not adoptable(existing, run.desired, attempt):
        return row.waiting(task, NAME_CONFLICT, name_conflict(name), now), None
    return task, Start(attempt, name, adopt=ref(existing))


def adoptable(pod: Pod, desired: Desired, attempt: Identity) -> bool:
    """Whether a Pod of that name, which no status records yet, may be recorded as the attempt's.

    Without its gate it may be running already, and it was not a status that let it.
    """
    return pod.owner_uid == desired.uid and pod.identity == attempt and pod.gated


def name_conflict(name: str) -> str:
    """What to tell about a Pod that has an attempt's name and isn't its Pod."""
    return f'Pod "{name}" exists and is not this task\'s; delete it to go on'


@dataclass(frozen=True, slots=True)
class Tidy:
    """What the left-over Pods ask for, as the fields of the same names of a Plan."""

    finish: tuple[PodRef, ...]
    delete: tuple[PodRef, ...]
    let_go: tuple[PodRef, ...]


def tidy(status: Status, pods: Sequence[Pod]) -> Tidy:
    """The Pods whose finalizer may go, and those to delete, once `status` is stored.

    A Pod that this status doesn't record may be recorded in a newer one, as long as its attempt
    is still open here. It keeps its finalizer, unless it is certain that it never ran.
    """
    recorded = {task.pod_uid: task for task in status.tasks if task.pod_uid} if pods else {}
    by_name = {task.name: task for task in status.tasks} if pods else {}
    finish: list[PodRef] = []
    delete: list[PodRef] = []
    let_go: list[PodRef] = []
    for pod in pods:
        task = recorded.get(pod.uid)
        closed = task.phase.ended if task else _closed(pod.identity, status, by_name)
        if pod.tracked and pod.outcome and (closed or pod.gated):
            finish.append(ref(pod))
        elif pod.tracked and pod.outcome and not task and _in_conflict(pod, by_name):
            let_go.append(ref(pod))
        elif closed and pod.gated and not pod.deleting:
            delete.append(ref(pod))
    return Tidy(tuple(finish), tuple(delete), tuple(let_go))


def early(observed: Observed) -> Iterator[Pod]:
    """The gated Pods of a run that the status doesn't know yet."""
    for pod in observed.pods:
        of_later_run = pod.identity is not None and pod.identity.run > observed.status.run
        if of_later_run and pod.gated and not pod.deleting and pod.outcome is None:
            yield pod


def _in_conflict(pod: Pod, by_name: Mapping[str, TaskStatus]) -> bool:
    """Whether somebody was told to delete this Pod: then it must not be held back."""
    task = by_name.get(pod.identity.task) if pod.identity else None
    return task is not None and task.reason == NAME_CONFLICT and pod.deleting


def _closed(attempt: Identity | None, status: Status, by_name: Mapping[str, TaskStatus]) -> bool:
    """Whether this status, and so every later one, rules out that it records the attempt's Pod."""
    if attempt is None or attempt.run > status.run:
        return False  # not provably ours, or of a run that this status is too old to know
    if attempt.run < status.run or attempt.revision != revision_hash(status.revision or ""):
        return True
    task = by_name.get(attempt.task)
    return task is None or task.phase.ended or task.attempt >= attempt.attempt
