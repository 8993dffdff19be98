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

from observatory.api.ending import EndingMode, RequestType
from observatory.api.status import Phase, Status
from observatory.api.taskstatus import FailureClass, TaskPhase, TaskStatus
from observatory.api.times import whole_seconds
from observatory.core import again, ending, progress
from observatory.core import rows as row
from observatory.core.attempts import Closing
from observatory.core.branches import ON_DELETION, take_turns
from observatory.core.deadlines import Alarm
from observatory.core.leftovers import early, retired, tidy
from observatory.core.model import Desired, Event, Observed, Plan, Program
from observatory.core.pods import ref
from observatory.core.progress import Run, Seen, see_pods, start_ready
from observatory.core.summary import summarize
from observatory.core.tracing import trace_of

FORSAKEN_AFTER = timedelta(seconds=60)
"""How long the gated Pods are kept of a run that doesn't begin."""
ADMITTED_WITHIN = timedelta(seconds=10)
"""How long a run of a schedule takes at most, as a rule, to be let begin."""
LONGEST_GRACE = 30
"""Seconds that a container may take to end where its task says nothing: Kubernetes' default."""


def plan(desired: Desired, observed: Observed, now: datetime) -> Plan:
    """What to do now. With everything done and nothing new, a plan without any action."""
    status = observed.status
    if desired.deleting and not _finally_first(desired, observed, now):
        return _cancel(desired, observed, now)
    if status.active:
        return _continue(desired, observed, now)
    if (patient := _admission_time(desired, status)) and now < patient:
        return Plan(draft=status, requeue_at=patient)
    observed = replace(observed, status=ending.without_run(desired, status, now))
    if nonce := ending.asked(desired, status, RequestType.RETRY):
        answer = again.retry(desired, status, observed.pinned, nonce, now)
        if answer.rows is None or desired.may_begin(nonce):
            observed = replace(observed, status=ending.answered(observed.status, [answer.answer]))
        if answer.rows is not None and desired.may_begin(nonce):
            return _begin(desired, observed, now, answer.rows)
    if begins(desired, status):
        return _begin(desired, observed, now, None)
    return _idle(desired, observed, now)


def _admission_time(desired: Desired, status: Status) -> datetime | None:
    """Until when nothing is said about a run of a schedule that waits to be let begin.

    Its parent needs a moment for it: a status in between would be a write for nothing.
    """
    unknown = status.observed_generation == 0 and not desired.may_begin()
    return desired.created + ADMITTED_WITHIN if unknown and desired.created else None


def begins(desired: Desired, status: Status) -> bool:
    """Whether a run is to begin: the first one, or one more because the tasks were edited."""
    if desired.program is None or desired.scheduled or desired.suspend:
        return False
    if desired.run_of is not None and (status.run or not desired.may_begin()):
        return False  # a run of a schedule is one run; edited tasks run when it is retried
    return not status.active and status.revision != desired.program.revision


def _begin(
    desired: Desired, observed: Observed, now: datetime, rows: tuple[TaskStatus, ...] | None
) -> Plan:
    """Begin a run of the desired program, with these rows where a retry keeps some."""
    program = desired.program
    assert program is not None  # noqa: S101 - the caller has seen it
    if program.has_finally and not desired.held:
        return Plan(draft=observed.status, hold=True)
    status = Status(
        phase=Phase.RUNNING,
        run=observed.status.run + 1,
        revision=program.revision,
        start_time=whole_seconds(now),
        trace=trace_of(desired, observed.status, observed.sampler),
        tasks=row.new_rows(program) if rows is None else rows,
        requests=observed.status.requests,
        conditions=observed.status.conditions,
    )
    begun = _continue(desired, replace(observed, status=status, pinned=program), now)
    count = sum(not task.phase.ended for task in status.tasks)
    note = f"Run {status.run} started: {count} task{'' if count == 1 else 's'}"
    return replace(
        begun,
        revision=program,
        beforehand=tidy(observed.status, observed.pods).finish,
        events=(Event("RunStarted", note, action="Start"),),
    )


def _continue(desired: Desired, observed: Observed, now: datetime) -> Plan:
    program, status, pods = observed.pinned, observed.status, observed.pods
    if program is None:
        return _abandon(desired, observed, now)
    alarm = Alarm(now)
    rows = row.rows_of(status, program)
    status = ending.within_run(desired, status, now)
    status = ending.out_of_time(desired, status, alarm)
    if desired.deleting:
        status = ending.decide(status, EndingMode.STOP, ending.CANCELLED, ending.DELETED, now)
    closing = Closing.of(program, desired.uid, status, now)
    seen = see_pods(closing, rows, pods, alarm)
    progress.enforce_deadlines(program, rows, pods, alarm)
    status = ending.after_failures(desired, status, rows, seen.fatal, now)
    progress.cancel_running(status, rows, now)
    turn = take_turns(desired, program, status, rows, alarm)
    if desired.deleting:
        alarm.set(_held_until(desired, program, turn.status))
    run = Run(desired, program, turn.status, pods, alarm, observed.allowance)
    starts, short = start_ready(run, turn.ready, rows, now)
    status = replace(turn.status, tasks=tuple(rows))
    made = _finished(desired, observed, status, seen, alarm)
    return replace(made, starts=starts, short=short, program=program)


def _abandon(desired: Desired, observed: Observed, now: datetime) -> Plan:
    """The revision is gone that the run is pinned to: let what runs end, and start nothing."""
    alarm, status = Alarm(now), ending.within_run(desired, observed.status, now)
    rows = list(status.tasks)
    closing = Closing.of(None, desired.uid, status, now)
    seen = see_pods(closing, rows, observed.pods, alarm)
    progress.cancel_running(status, rows, now)
    message = (
        f'ControllerRevision "{status.revision}", which the run is pinned to, is gone or unreadable'
    )
    lost = FailureClass.CONFIGURATION
    for index, task in enumerate(rows):
        if task.phase is TaskPhase.PENDING:
            rows[index] = row.failed(task, "RevisionLost", message, now, lost)
    status = replace(status, tasks=tuple(rows))
    return _finished(desired, observed, status, seen, alarm)


def _finally_first(desired: Desired, observed: Observed, now: datetime) -> bool:
    """Whether an Observatory that is being deleted runs its `finally` before it goes.

    It takes no longer than it may: then the finalizer goes, whatever still runs. Where the Pods are
    to outlive it or to go before it, there is nothing to run.
    """
    program, status = observed.pinned, observed.status
    if not (desired.held and status.active and program and program.has_finally):
        return False
    if desired.orphaning or "foregroundDeletion" in desired.finalizers:
        return False
    end = _held_until(desired, program, status)
    return end is None or now < end


def _held_until(desired: Desired, program: Program, status: Status) -> datetime | None:
    """Until when an Observatory that is being deleted is held; None before that is decided."""
    if status.finally_time is not None:
        since, tasks = status.finally_time, program.tasks[program.main :]
    elif status.ending is not None:
        since, tasks = status.ending.time, program.tasks[: program.main]
    else:
        return None
    seconds = desired.finally_deadline or ON_DELETION
    grace = max(LONGEST_GRACE if task.grace is None else task.grace for task in tasks)
    return since + timedelta(seconds=seconds + grace + LONGEST_GRACE)


def _cancel(desired: Desired, observed: Observed, now: datetime) -> Plan:
    """The Observatory is being deleted: first its Pods go, then its run ends.

    The deletion timestamp is the decision: it changed the resourceVersion, so no start that was
    planned before it can be recorded any more. The end is written only once every Pod is gone or
    terminal. Written earlier, a Pod that was released just before could start after it.
    """
    status = observed.status
    release = False if desired.held else None
    if desired.orphaning:  # as with any owner: what runs is to outlive it
        return Plan(draft=status, hold=release)
    rows = list(status.tasks)
    closing = Closing.of(None, desired.uid, status, now)
    seen = see_pods(closing, rows, observed.pods, Alarm(now))
    live = [pod for pod in observed.pods if pod.outcome is None]
    if live or seen.verify:
        delete = tuple(ref(pod) for pod in live if not pod.deleting)
        return Plan(draft=status, verify=tuple(seen.verify), delete=delete, hold=release)
    for index, task in enumerate(rows):
        if not task.phase.ended:
            rows[index] = row.skipped(task, ending.CANCELLED, ending.DELETED)
    if status.active:
        status = summarize(replace(status, tasks=tuple(rows)), desired, now)
    finish = tuple(ref(pod) for pod in observed.pods if pod.tracked)
    return Plan(draft=status, finish=finish, hold=release)


def _idle(desired: Desired, observed: Observed, now: datetime) -> Plan:
    """No run is on, and none begins: what is left of runs is not needed.

    The tasks were edited and edited back, say, before a status recorded the run. Another operator
    may be ahead of this cache, and just be beginning that run: hence the time.
    """
    alarm, status = Alarm(now), observed.status
    # What a run of a schedule has come to is recorded by its parent first, which then lets it go.
    expiry = None if desired.tracked else ending.expires(desired, status)
    if expiry and expiry <= now:
        return Plan(draft=status, expire=True, hold=False if desired.held else None)
    alarm.set(expiry)
    made = _finished(desired, observed, status, Seen(), alarm)
    kept_since = {ref(pod): pod.wait.since for pod in early(observed) if pod.wait}
    due = {pod: since + FORSAKEN_AFTER for pod, since in kept_since.items()}
    for time in due.values():
        alarm.set(time if time > now else None)
    return replace(
        made,
        delete=(*made.delete, *retired(status, observed.pods, desired.retention)),
        discard=tuple(pod for pod, time in due.items() if time <= now),
        hold=False if desired.held else None,
        requeue_at=alarm.at,
    )


def _finished(
    desired: Desired, observed: Observed, status: Status, seen: Seen, alarm: Alarm
) -> Plan:
    """The plan around a status whose rows are up to date."""
    draft = summarize(status, desired, alarm.now)
    left_over = tidy(draft, observed.pods)
    delete, kill = progress.to_delete(draft, draft.tasks, observed.pods)
    return Plan(
        draft=draft,
        verify=tuple(seen.verify),
        release=tuple(seen.release),
        finish=left_over.finish,
        delete=(*left_over.delete, *delete),
        kill=kill,
        let_go=left_over.let_go,
        requeue_at=alarm.at,
    )
