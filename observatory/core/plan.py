"""`plan`: what to do about one Observatory, given what is wanted, what is seen and the time.

A pure function. What it can't know in advance, the answers to the starts, goes through
`observatory.core.settle.settle`, which completes the status before it is written.

The rules that make an attempt start at most once (docs/architecture.md, "How one attempt runs"):

* A task starts because a status, written under its resourceVersion, records its Pod's UID.
* A recorded end never changes. A Pod that vanished after it was recorded is lost, not made again.
* A Pod is deleted only where the status proves that it can never be recorded.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from observatory.api.status import Phase, Status
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.api.times import whole_seconds
from observatory.core import rows as row
from observatory.core.model import Desired, Event, Observed, Plan
from observatory.core.pods import ref
from observatory.core.progress import (
    Run,
    Seen,
    early,
    see_pods,
    skip_dependents,
    start_ready,
    tidy,
)
from observatory.core.summary import DELETED, summarize

FORSAKEN_AFTER = timedelta(seconds=60)
"""How long the gated Pods are kept of a run that doesn't begin."""


def plan(desired: Desired, observed: Observed, now: datetime) -> Plan:
    """What to do now. With everything done and nothing new, a plan without any action."""
    if desired.deleting and desired.orphaning:
        return Plan(draft=observed.status)  # as with any owner: what runs is to outlive it
    if desired.deleting:
        return _cancel(desired, observed, now)
    if observed.status.active:
        return _continue(desired, observed, now)
    if begins(desired, observed.status):
        return _begin(desired, observed, now)
    return _idle(desired, observed, now)


def begins(desired: Desired, status: Status) -> bool:
    """Whether a run is to begin: the first one, or one more because the tasks were edited."""
    if desired.program is None or desired.schedule is not None or desired.suspend:
        return False
    return not status.active and status.revision != desired.program.revision


def _begin(desired: Desired, observed: Observed, now: datetime) -> Plan:
    program = desired.program
    assert program is not None  # noqa: S101 - `begins` has said so
    status = Status(
        phase=Phase.RUNNING,
        run=observed.status.run + 1,
        revision=program.revision,
        start_time=whole_seconds(now),
        tasks=tuple(TaskStatus(task.name) for task in program.tasks),
        conditions=observed.status.conditions,
    )
    begun = _continue(desired, replace(observed, status=status, pinned=program), now)
    count = len(program.tasks)
    note = f"Run {status.run} started: {count} task{'' if count == 1 else 's'}"
    return replace(
        begun,
        revision=program,
        beforehand=tidy(observed.status, observed.pods).finish,
        events=(Event("RunStarted", note, action="Start"),),
    )


def _continue(desired: Desired, observed: Observed, now: datetime) -> Plan:
    program, status = observed.pinned, observed.status
    if program is None:
        return _abandon(desired, observed, now)
    rows = row.rows_of(status, program)
    seen = see_pods(rows, observed.pods, now)
    skip_dependents(rows, program)
    starts = start_ready(Run(desired, program, status.run, observed.pods), rows, now)
    status = replace(status, tasks=tuple(rows))
    return replace(_finished(desired, observed, status, seen, now), starts=starts)


def _abandon(desired: Desired, observed: Observed, now: datetime) -> Plan:
    """The revision is gone that the run is pinned to: let what runs end, and start nothing."""
    rows = list(observed.status.tasks)
    seen = see_pods(rows, observed.pods, now)
    revision = observed.status.revision
    message = f'ControllerRevision "{revision}", which the run is pinned to, is gone or unreadable'
    for index, task in enumerate(rows):
        if task.phase is TaskPhase.PENDING:
            rows[index] = row.failed(task, "RevisionLost", message, now)
    return _finished(desired, observed, replace(observed.status, tasks=tuple(rows)), seen, now)


def _cancel(desired: Desired, observed: Observed, now: datetime) -> Plan:
    """The Observatory is being deleted: first its Pods go, then its run ends.

    The deletion timestamp is the decision: it changed the resourceVersion, so no start that was
    planned before it can be recorded any more. The end is written only once every Pod is gone or
    terminal. Written earlier, a Pod that was released just before could start after it.
    """
    status = observed.status
    rows = list(status.tasks)
    seen = see_pods(rows, observed.pods, now)
    live = [pod for pod in observed.pods if pod.outcome is None]
    if live or seen.verify:
        delete = tuple(ref(pod) for pod in live if not pod.deleting)
        return Plan(draft=status, verify=tuple(seen.verify), delete=delete)
    for index, task in enumerate(rows):
        if not task.phase.ended:
            rows[index] = row.skipped(task, "Cancelled", DELETED)
    if status.active:
        status = summarize(replace(status, tasks=tuple(rows)), desired, now)
    return Plan(draft=status, finish=tuple(ref(pod) for pod in observed.pods if pod.tracked))


def _idle(desired: Desired, observed: Observed, now: datetime) -> Plan:
    """No run is on, and none begins: what was created for the next one is not needed.

    The tasks were edited and edited back, say, before a status recorded the run. Another operator
    may be ahead of this cache, and just be beginning that run: hence the time.
    """
    made = _finished(desired, observed, observed.status, Seen(), now)
    kept_since = {ref(pod): pod.wait.since for pod in early(observed) if pod.wait}
    due = {pod: since + FORSAKEN_AFTER for pod, since in kept_since.items()}
    later = [time for time in due.values() if time > now]
    return replace(
        made,
        discard=tuple(pod for pod, time in due.items() if time <= now),
        requeue_at=min(later, default=None),
    )


def _finished(
    desired: Desired, observed: Observed, status: Status, seen: Seen, now: datetime
) -> Plan:
    """The plan around a status whose rows are up to date."""
    draft = summarize(status, desired, now)
    left_over = tidy(draft, observed.pods)
    return Plan(
        draft=draft,
        verify=tuple(seen.verify),
        release=tuple(seen.release),
        finish=left_over.finish,
        delete=left_over.delete,
        let_go=left_over.let_go,
        requeue_at=seen.tell_at,
    )
