"""The Pods that are no longer needed: which finalizers may go, and which Pods are to be deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from observatory.api.names import revision_hash
from observatory.api.status import Status
from observatory.api.taskstatus import TaskStatus
from observatory.core.model import Identity, Observed, Pod, PodRef
from observatory.core.pods import ref
from observatory.core.progress import NAME_CONFLICT


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


def retired(status: Status, pods: Sequence[Pod], retention: str) -> tuple[PodRef, ...]:
    """The Pods that need not stay after a run whose end is stored.

    Those that no status can record any more are ended attempts of this run or of an earlier one.
    """
    if retention == "All" or not status.ended:
        return ()
    recorded = {task.pod_uid for task in status.tasks}
    by_name = {task.name: task for task in status.tasks}
    return tuple(
        ref(pod)
        for pod in pods
        if pod.outcome
        and not pod.deleting
        and (pod.uid in recorded or _closed(pod.identity, status, by_name))
        and (retention == "None" or pod.outcome.succeeded)
    )
