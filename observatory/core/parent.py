"""`plan_runs`: what to do about the runs of one scheduled Observatory.

The start protocol of tasks, one level up. A run is an Observatory that its parent owns:

* It is created without being admitted: it begins nothing. Its name is derived from what it is.
* The parent's status, written under its resourceVersion, records its UID: this decides.
* Only then it is admitted. When it has ended, the parent's status records how; only then the
  finalizer goes that has kept it. A number or a fire time that is handled is never run again.

So `concurrencyPolicy` is a fact about one object's status, and no cache can break it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from observatory.api.names import FINALLY, admission
from observatory.api.runs import NO_RUNS, Active, Ended, Queued, Runs, Trigger
from observatory.api.runsschema import HISTORY_SHOWN
from observatory.api.status import Status
from observatory.api.times import whole_seconds
from observatory.core import admit
from observatory.core.access import Access
from observatory.core.children import Child, child_name
from observatory.core.deadlines import Alarm
from observatory.core.model import Desired, Event, Refused
from observatory.core.parentsummary import summarize_runs
from observatory.core.runrequests import obey
from observatory.core.runstarts import RunStart, starts_now

RETRY_REFUSED = timedelta(seconds=10)
"""After which the API server is asked again to take a run that it refused."""
DELETED = "Deleted"
_ON_PURPOSE = frozenset({"Cancelled", "Stopped", "Terminated"})
"""Reasons of ends that somebody wanted: no failures of the workflow."""
NAME_CONFLICT = "NameConflict"


@dataclass(frozen=True, slots=True)
class RunsPlan:
    """What to do now, in the order of the fields; `draft` is the status without the starts.

    Attributes:
        starts: Runs to begin.
        verify: Recorded runs that the cache lacks: a live GET decides whether they are gone.
        stop: Runs to be ended: each with the annotation that asks for it.
        delete: Observatories to be deleted: runs that never began, and those nobody keeps.
        finish: Those whose finalizer is to be removed: their end is stored.
        requeue_at: When to plan again though nothing may have changed.
        access: What it was made with.
    """

    draft: Status
    starts: tuple[RunStart, ...] = ()
    verify: tuple[Active, ...] = ()
    stop: tuple[Child, ...] = ()
    delete: tuple[Child, ...] = ()
    finish: tuple[Child, ...] = ()
    requeue_at: datetime | None = None
    access: Access = Access.NOT_ASKED


@dataclass(frozen=True, slots=True)
class RunAnswers:
    """For each start, by its number, the UID of its Observatory or the refusal; who is gone."""

    started: Mapping[int, str] = field(default_factory=dict)
    refused: Mapping[int, Refused] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()


def concerns(desired: Desired, status: Status, children: Sequence[Child]) -> bool:
    """Whether there are runs to see to: by a schedule, or left of one that was taken away."""
    runs = status.runs
    left = bool(runs.queued or runs.active or runs.handled)
    wanted = any(child.tracked or child.retry for child in children)
    return not status.active and (desired.scheduled or left or wanted)


def plan_runs(
    desired: Desired,
    status: Status,
    children: Sequence[Child],
    now: datetime,
    access: Access = Access.NOT_ASKED,
) -> RunsPlan:
    """What to do now. With everything done and nothing due, a plan without any action.

    A plan that `begins` something is to be made once more with what the API server says of the
    requester, where one is recorded.
    """
    own = [child for child in children if child.owner_uid == desired.uid]
    if desired.deleting:
        return RunsPlan(status, finish=tuple(each for each in own if _may_go(each)))
    alarm = Alarm(now)
    known = status.runs if status.observed_generation == desired.generation else NO_RUNS
    by_uid = {child.uid: child for child in own}
    runs, verify = _see_ends(status.runs, by_uid, now)
    if desired.suspend or status.observed_generation != desired.generation:
        runs = replace(runs, failures=0)
    status = obey(desired, replace(status, runs=runs), now, access)
    runs = _again(desired, status.runs, own, now)
    runs = admit.admit(desired, runs, status.observed_generation, alarm, access)
    starts, runs = starts_now(desired, runs, own, alarm, access)
    draft = summarize_runs(replace(status, runs=runs), desired, now, known, access)
    active = {each.uid for each in runs.active}
    return RunsPlan(
        draft=draft,
        starts=starts,
        verify=verify,
        stop=tuple(by_uid[each.uid] for each in runs.active if _is_to_stop(each, by_uid)),
        delete=_to_delete(desired, runs, own),
        finish=tuple(child for child in own if child.uid not in active and _may_go(child, runs)),
        requeue_at=alarm.at,
        access=access,
    )


def begins(plan: RunsPlan, status: Status) -> bool:
    """Whether a plan lets something begin, now or in its turn, that nothing had let before."""
    return bool(plan.starts) or plan.draft.runs.latest > status.runs.latest


def settle_runs(plan: RunsPlan, answers: RunAnswers, desired: Desired, now: datetime) -> Status:
    """The status to be stored, once the API server has answered the starts."""
    if not (answers.started or answers.refused or answers.lost):
        return plan.draft
    runs = plan.draft.runs
    for lost in (each for each in runs.active if each.uid in answers.lost):
        runs = _ended(runs, lost, None, now)
    names = {start.id.number: start.name for start in plan.starts}
    queued: list[Queued] = []
    for each in runs.queued:
        number, uid = each.id.number, answers.started.get(each.id.number)
        refused = answers.refused.get(number)
        if uid is not None:
            runs = _begun(runs, Active(each.id, names[number], uid, whole_seconds(now)))
        elif refused is not None:
            queued.append(replace(each, reason=refused.reason, message=refused.message))
        else:
            queued.append(each)
    runs = replace(runs, queued=tuple(queued))
    status = replace(plan.draft, runs=runs)
    return summarize_runs(status, desired, now, plan.draft.runs, plan.access)


def admissions(status: Status, children: Sequence[Child]) -> tuple[Active, ...]:
    """The recorded runs that are not admitted yet, as far as the cache knows."""
    by_uid = {child.uid: child for child in children}
    found = []
    for each in status.runs.active:
        child = by_uid.get(each.uid)
        if each.cancel_reason and each.retry is None and (child is None or not child.admitted):
            continue  # it never begins
        if child is None or child.admitted != admission(each.retry):
            found.append(each)
    return tuple(found)


def tell_runs(before: Runs, after: Runs) -> tuple[Event, ...]:
    """The Events about what changed from one stored status to the next."""
    events = []
    known = {each.uid: each for each in before.active}
    for each in after.active:
        if each.uid not in known:
            what = "again" if each.retry else f"for {each.id.time:%Y-%m-%dT%H:%MZ}"
            events.append(Event("RunStarted", f"Run {each.name} started {what}", action="Start"))
    for over in after.history:
        if over in before.history:
            continue
        good = over.succeeded
        reason, how = ("RunSucceeded", "succeeded") if good else ("RunFailed", "failed")
        note = f"Run {over.name} {how}" + (f": {over.reason}" if over.reason else "")
        events.append(Event(reason, note, action="Finish", warning=not good))
    for skip in after.skipped:
        if skip not in before.skipped:
            span = f"{skip.time:%Y-%m-%dT%H:%MZ}"
            span += f" to {skip.until:%Y-%m-%dT%H:%MZ}" if skip.until else ""
            note = f"No run for {span}: {skip.message}"
            events.append(Event("RunSkipped", note, action="Schedule", warning=True))
    return tuple(events)


def _see_ends(
    runs: Runs, by_uid: Mapping[str, Child], now: datetime
) -> tuple[Runs, tuple[Active, ...]]:
    verify = []
    for each in runs.active:
        child = by_uid.get(each.uid)
        if child is None:
            verify.append(each)
        elif child.over(each):
            runs = _ended(runs, each, child, now)
    return runs, tuple(verify)


def _ended(runs: Runs, over: Active, child: Child | None, now: datetime) -> Runs:
    """The runs without one that is over; `child` is None where that is gone."""
    ran = child is not None and child.begun and child.completion_time is not None
    succeeded = child is not None and ran and child.succeeded
    reason = over.cancel_reason or (child.reason if child is not None and ran else DELETED)
    ended = Ended(
        id=over.id,
        name=over.name,
        uid=over.uid,
        succeeded=succeeded,
        start_time=over.start_time,
        completion_time=(child.completion_time if child else None) or whole_seconds(now),
        reason=None if succeeded else reason,
    )
    failures = runs.failures
    if succeeded:
        failures = 0
    elif ran and over.cancel_reason is None and reason not in _ON_PURPOSE:
        failures += 1
    backfill = runs.backfill
    if backfill and over.id.trigger is Trigger.BACKFILL and over.retry is None:
        won, lost = backfill.succeeded + succeeded, backfill.failed + (not succeeded)
        backfill = replace(backfill, succeeded=won, failed=lost)
    last = runs.last_success_time
    return replace(
        runs,
        active=tuple(each for each in runs.active if each is not over),
        history=(*runs.history, ended)[-HISTORY_SHOWN:],
        failures=failures,
        backfill=backfill,
        last_success_time=max(filter(None, (last, ended.completion_time))) if succeeded else last,
    )


def _begun(runs: Runs, active: Active) -> Runs:
    last, backfill = runs.last_schedule_time, runs.backfill
    if active.id.trigger is Trigger.SCHEDULE:
        last = max(filter(None, (last, active.id.time)))
    if backfill and active.id.trigger is Trigger.BACKFILL and active.retry is None:
        backfill = replace(backfill, created=backfill.created + 1)
    return replace(
        runs,
        active=(*runs.active, active),
        last_schedule_time=last,
        last_run_time=active.start_time,
        backfill=backfill,
    )


def _again(desired: Desired, runs: Runs, own: Sequence[Child], now: datetime) -> Runs:
    """The runs with those that have ended and are to be retried, as the policy lets them."""
    if desired.scheduled and desired.schedule is None:
        return runs  # its policy can't be read
    for child in own:
        on = any(each.uid == child.uid for each in runs.active)
        ready = child.begun and child.completion_time and not child.deleting
        if not child.retry or child.id is None or on or not ready:
            continue
        if admit.exclusive(desired) and admit.busy(runs, queued=False):
            continue
        again = Active(child.id, child.key.name, child.uid, whole_seconds(now), retry=child.retry)
        runs = _begun(runs, again)
    return runs


def _is_to_stop(active: Active, by_uid: Mapping[str, Child]) -> bool:
    child = by_uid.get(active.uid)
    if active.cancel_reason is None or child is None or child.over(active):
        return False
    return bool(child.admitted) and not child.deleting and stop_nonce(active) not in child.asked


def stop_nonce(active: Active) -> str:
    """The request by which a run is ended: always the same for one reason."""
    return f"{active.cancel_reason}-{active.retry or active.id.number}"


def _may_go(child: Child, runs: Runs | None = None) -> bool:
    """Whether its finalizer may be removed: its end is stored, or nobody will store it any more."""
    if not child.tracked or not child.over(None) or FINALLY in child.finalizers:
        return False  # its own `finally` lets go of it first
    return runs is None or child.id is None or child.id.number <= runs.latest


def _to_delete(desired: Desired, runs: Runs, own: Sequence[Child]) -> tuple[Child, ...]:
    active = {each.uid: each for each in runs.active}
    queued = {child_name(desired, each.id) for each in runs.queued}
    delete, ended = [], []
    for child in own:
        if child.deleting or child.id is None:
            continue
        on = active.get(child.uid)
        if not child.admitted and child.id.number <= runs.latest and not child.begun:
            # No status will ever record it: numbers are given once. Or it was stopped too early.
            if (on is None and child.key.name not in queued) or (on and on.cancel_reason):
                delete.append(child)
        elif on is None and child.completion_time and not (child.retry or child.tracked):
            ended.append(child)
    ended.sort(key=lambda child: (child.completion_time, child.version), reverse=True)
    schedule = desired.schedule
    if schedule is not None:
        delete += [each for each in ended if each.succeeded][schedule.successful_limit :]
        delete += [each for each in ended if not each.succeeded][schedule.failed_limit :]
    return tuple(delete)
