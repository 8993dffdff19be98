"""Which runs of a scheduled Observatory are let into its queue, and which are skipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from observatory.api.runs import Backfill, Handled, Queued, RunId, Runs, Skipped, Trigger
from observatory.api.runsschema import MAX_QUEUED
from observatory.api.times import whole_seconds
from observatory.core.access import NOT_ALLOWED, Access, not_allowed
from observatory.core.deadlines import Alarm
from observatory.core.due import LATE, add_skipped, between, due, handled_anew, next_due
from observatory.core.model import Desired
from observatory.core.schedule import ConcurrencyPolicy, Entry, Schedule

IN_PROGRESS = "RunInProgress"
SUPERSEDED = "Superseded"
QUEUE_FULL = "QueueFull"
STOPPED = "Stopped"
TERMINATED = "Terminated"
REPLACED = "Replaced"
_ZERO = timedelta()


def exclusive(desired: Desired) -> bool:
    """Whether only one of its runs may be on at a time, beside those of a backfill."""
    schedule = desired.schedule
    return schedule is not None and schedule.concurrency is not ConcurrencyPolicy.ALLOW


def busy(runs: Runs, *, queued: bool) -> bool:
    """Whether a run is on, or with `queued` about to be, that others may have to wait for."""
    ids = [each.id for each in runs.active]
    ids += [each.id for each in runs.queued] if queued else []
    return any(run.trigger is not Trigger.BACKFILL for run in ids)


def paused(desired: Desired, runs: Runs) -> bool:
    """Whether so many runs in a row have failed that no more is started."""
    limit = desired.schedule.failure_limit if desired.schedule else None
    return limit is not None and runs.failures >= limit


def admit(desired: Desired, runs: Runs, generation: int, alarm: Alarm, access: Access) -> Runs:
    """The runs with all that is due in the queue, or among what is skipped.

    `generation` is the one that the status was last written for; 0 for the first status.
    """
    now, schedule = alarm.now, desired.schedule
    if not desired.scheduled:
        runs = drop_queue(runs, STOPPED, "the schedule was removed")
        backfill = stopped(runs.backfill, "the schedule was removed")
        return _go_on(None, replace(runs, handled=(), backfill=backfill), alarm.now)
    if schedule is None:
        return runs
    runs = _drop_late(schedule, runs, alarm)
    first = generation == 0 and desired.created is not None
    since = whole_seconds(desired.created if first and desired.created else now)
    # Nothing begins of a schedule before a status says that it is known: what no status knows, and
    # what is left of a plan that failed, can be told apart by it.
    known = {each.name: each for each in runs.handled}
    handled = handled_anew(runs.handled, schedule.entries, since)
    runs = replace(runs, handled=handled)
    barred = not_allowed(desired) if access is Access.DENIED else None
    if not (desired.suspend or paused(desired, runs) or access is Access.UNKNOWN):
        new = frozenset(each.name for each in handled if known.get(each.name) != each)
        following = next_due(schedule, _times(runs))
        if following is not None and following <= now:
            runs = _take_due(schedule, runs, new, now, barred)
            following = next_due(schedule, _times(runs))
        alarm.set(following)
    if barred:
        runs = replace(runs, backfill=stopped(runs.backfill, barred))
    on = not (desired.suspend or access is Access.UNKNOWN)
    return _go_on(schedule if on else None, runs, now)


def _times(runs: Runs) -> dict[str, datetime]:
    return {each.name: each.time for each in runs.handled}


def _take_due(
    schedule: Schedule, runs: Runs, new: frozenset[str], now: datetime, barred: str | None
) -> Runs:
    found: list[tuple[datetime, Entry]] = []
    handled: list[Handled] = []
    before = {each.name: each for each in runs.handled}
    skipped = runs.skipped
    for entry in schedule.entries:
        known = before[entry.name]
        if entry.name in new:
            handled.append(known)
            continue
        seen = due(schedule, entry, known.time, now)
        found += [(time, entry) for time in seen.times]
        for skip in seen.skipped:
            skipped = add_skipped(skipped, skip, known.time)
        handled.append(replace(known, time=seen.handled))
    runs = replace(runs, handled=tuple(handled), skipped=skipped)
    found.sort(key=lambda item: (item[0], item[1].name))
    return _let_in(schedule, runs, found, before, barred) if found else runs


def _let_in(
    schedule: Schedule,
    runs: Runs,
    found: Sequence[tuple[datetime, Entry]],
    before: dict[str, Handled],
    barred: str | None,
) -> Runs:
    """The runs with these fire times in the queue, as the policy has it.

    `barred` says why there is to be no run, whatever the policy: none gives way to it either.
    """
    policy = schedule.concurrency
    latest = found[-1]
    for item in found:
        time, entry = item
        why = None
        if barred:
            why = NOT_ALLOWED, barred
        elif policy is ConcurrencyPolicy.FORBID and busy(runs, queued=True):
            why = IN_PROGRESS, "a run was on, and concurrencyPolicy is Forbid"
        elif policy in (ConcurrencyPolicy.FORBID, ConcurrencyPolicy.REPLACE) and item != latest:
            why = SUPERSEDED, "a later one was due at the same time"
        elif len(runs.queued) >= MAX_QUEUED:
            why = QUEUE_FULL, f"{MAX_QUEUED} runs were waiting already"
        if why:
            skip = Skipped(entry.name, time, *why)
            skipped = add_skipped(runs.skipped, skip, before[entry.name].time)
            runs = replace(runs, skipped=skipped)
            continue
        if policy is ConcurrencyPolicy.REPLACE:
            runs = replace_earlier(runs)
        runs = enqueue(runs, entry.name, time, Trigger.SCHEDULE)
    return runs


def enqueue(runs: Runs, schedule: str, time: datetime, trigger: Trigger) -> Runs:
    """The runs with one more in the queue; it gets the next number."""
    number = runs.latest + 1
    queued = Queued(RunId(number, schedule, time, trigger))
    return replace(runs, latest=number, queued=(*runs.queued, queued))


def replace_earlier(runs: Runs) -> Runs:
    """The runs as a new one finds them that takes the place of all before it."""
    runs = drop_queue(runs, SUPERSEDED, "a later one took its place", Trigger.BACKFILL)
    return replace(
        runs,
        active=tuple(
            each
            if each.cancel_reason or each.id.trigger is Trigger.BACKFILL
            else replace(each, cancel_reason=REPLACED)
            for each in runs.active
        ),
    )


def drop_queue(runs: Runs, reason: str, message: str, spare: Trigger | None = None) -> Runs:
    """The runs with an empty queue, but for those of that trigger; the others are skipped."""
    skipped = runs.skipped
    kept = []
    for each in runs.queued:
        if each.id.trigger is spare:
            kept.append(each)
        else:
            skip = Skipped(each.id.schedule, each.id.time, reason, message)
            skipped = add_skipped(skipped, skip, None)
    return replace(runs, queued=tuple(kept), skipped=skipped)


def _drop_late(schedule: Schedule, runs: Runs, alarm: Alarm) -> Runs:
    """The runs without those of the queue that are later now than they may be."""
    if schedule.starting_deadline is None:
        return runs
    jitter = {entry.name: entry.jitter for entry in schedule.entries}
    kept, skipped = [], runs.skipped
    for each in runs.queued:
        run = each.id
        late = run.time + schedule.starting_deadline + jitter.get(run.schedule, _ZERO)
        if run.trigger is not Trigger.SCHEDULE or alarm.now < late:
            kept.append(each)
            alarm.set(late if run.trigger is Trigger.SCHEDULE else None)
            continue
        seconds = int(schedule.starting_deadline.total_seconds())
        why = f"; it waited: {each.reason}" if each.reason else ""
        message = f"later than startingDeadlineSeconds ({seconds} s){why}"
        skipped = add_skipped(skipped, Skipped(run.schedule, run.time, LATE, message), None)
    return replace(runs, queued=tuple(kept), skipped=skipped)


def stopped(backfill: Backfill | None, why: str) -> Backfill | None:
    """A backfill of which no more runs begin."""
    if backfill is None or backfill.completion_time or backfill.stopped:
        return backfill
    return replace(backfill, stopped=why)


def _go_on(schedule: Schedule | None, runs: Runs, now: datetime) -> Runs:
    """The runs with as many of a backfill in the queue as it may have at a time.

    Without a schedule none is added, it only may have come to its end.
    """
    backfill = runs.backfill
    if backfill is None or backfill.completion_time is not None:
        return runs
    ids = [each.id for each in runs.active] + [each.id for each in runs.queued]
    on = sum(run.trigger is Trigger.BACKFILL for run in ids)
    if backfill.stopped is None:
        if schedule is None:
            return runs
        for time, entries in between(schedule, backfill.time, backfill.until):
            if on >= backfill.max_concurrent:
                return replace(runs, backfill=backfill)
            for entry in entries:
                runs = enqueue(runs, entry.name, time, Trigger.BACKFILL)
                on += 1
            backfill = replace(backfill, time=time)
    if on == 0:
        backfill = replace(backfill, completion_time=whole_seconds(now))
    return replace(runs, backfill=backfill)
