"""What requests do to the runs of a scheduled Observatory."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from observatory.api.ending import Answer, RequestType
from observatory.api.runs import Backfill, Runs, Trigger
from observatory.api.runsschema import MAX_QUEUED
from observatory.api.status import Status
from observatory.api.times import format_time, parse_time, whole_seconds
from observatory.core import ending
from observatory.core.access import Access, not_allowed
from observatory.core.admit import (
    REPLACED,
    STOPPED,
    TERMINATED,
    busy,
    drop_queue,
    enqueue,
    exclusive,
    replace_earlier,
    stopped,
)
from observatory.core.due import between
from observatory.core.model import Desired
from observatory.core.schedule import ConcurrencyPolicy

MOST_AT_ONCE = 50
"""Runs of a backfill that may be on at the same time."""

_SECOND = timedelta(seconds=1)
_DIGITS = 9
_RANGE = "backfill-range must be two times such as 2026-01-01T00:00:00Z/2026-01-31T23:59:59Z"
_Handled = tuple[Runs, bool, str]


def obey(desired: Desired, status: Status, now: datetime, access: Access) -> Status:
    """The status that has obeyed what is asked for and has no answer.

    While nobody knows whether the requester may have runs, a request for some has to wait.
    """
    for type_ in (
        RequestType.TERMINATE,
        RequestType.STOP,
        RequestType.RUN_NOW,
        RequestType.BACKFILL,
        RequestType.RETRY,
    ):
        nonce = ending.asked(desired, status, type_)
        begins = type_ in {RequestType.RUN_NOW, RequestType.BACKFILL}
        if nonce and not (begins and access is Access.UNKNOWN):
            if begins and access is Access.DENIED:
                runs, accepted, message = status.runs, False, not_allowed(desired)
            else:
                runs, accepted, message = _handle(desired, status.runs, type_, nonce, now)
            answer = Answer(type_, nonce, accepted, message, whole_seconds(now))
            status = ending.answered(replace(status, runs=runs), [answer])
    return status


def _handle(
    desired: Desired, runs: Runs, type_: RequestType, nonce: str, now: datetime
) -> _Handled:
    match type_:
        case RequestType.TERMINATE | RequestType.STOP:
            return _end(runs, type_, nonce)
        case RequestType.RUN_NOW:
            return _run_now(desired, runs, now)
        case RequestType.BACKFILL:
            return _backfill(desired, runs, nonce, now)
        case RequestType.RETRY:
            latest = runs.history[-1].name if runs.history else "NAME"
            text = f"it is a schedule: retry one of its runs, such as observatory retry {latest}"
            return runs, False, text
        case _:
            assert_never(type_)


def _end(runs: Runs, type_: RequestType, nonce: str) -> _Handled:
    going = runs.backfill is not None and runs.backfill.completion_time is None
    if not (runs.active or runs.queued or going):
        return runs, False, f"no run is on: there is nothing to {type_.value.lower()}"
    terminated = type_ is RequestType.TERMINATE
    milder = (None, STOPPED, REPLACED) if terminated else (None, REPLACED)
    reason = TERMINATED if terminated else STOPPED
    runs = drop_queue(runs, STOPPED, f"taken off the queue by request {nonce}")
    active = tuple(
        replace(each, cancel_reason=reason) if each.cancel_reason in milder else each
        for each in runs.active
    )
    runs = replace(runs, active=active, backfill=stopped(runs.backfill, f"by request {nonce}"))
    count = len(active)
    text = f"{count} run{'' if count == 1 else 's'} {'is' if count == 1 else 'are'} being ended"
    return runs, True, text


def _run_now(desired: Desired, runs: Runs, now: datetime) -> _Handled:
    schedule = desired.schedule
    if schedule is None:
        return runs, False, _why_not(desired)
    policy = schedule.concurrency
    if policy is ConcurrencyPolicy.FORBID and busy(runs, queued=True):
        return runs, False, "a run is on, and concurrencyPolicy is Forbid"
    if len(runs.queued) >= MAX_QUEUED:
        return runs, False, f"{MAX_QUEUED} runs are waiting already"
    if policy is ConcurrencyPolicy.REPLACE:
        runs = replace_earlier(runs)
    runs = enqueue(runs, schedule.entries[0].name, whole_seconds(now), Trigger.RUN_NOW)
    waits = " when those before it have ended" if exclusive(desired) and runs.active else ""
    return runs, True, f"run {runs.latest} begins{waits}"


def _backfill(desired: Desired, runs: Runs, nonce: str, now: datetime) -> _Handled:
    schedule = desired.schedule
    if schedule is None:
        return runs, False, _why_not(desired)
    if runs.backfill and runs.backfill.completion_time is None:
        return runs, False, "a backfill is in progress: stop it first, or wait for its end"
    try:
        made = _asked_for(desired, nonce, now)
    except ValueError as error:
        return runs, False, str(error)
    if next(between(schedule, made.time, made.until), None) is None:
        return runs, False, "no fire time is within that range, or none that isn't blacked out"
    span = f"from {format_time(made.since)} to {format_time(made.until)}"
    text = f"runs begin for the fire times {span}, {made.max_concurrent} at a time"
    return replace(runs, backfill=made), True, text


def _asked_for(desired: Desired, nonce: str, now: datetime) -> Backfill:
    """The backfill that the annotations describe; `ValueError` says what is wrong with them."""
    span, concurrency = desired.backfill
    since, _, until = span.partition("/")
    try:
        begin, end = whole_seconds(parse_time(since)), whole_seconds(parse_time(until))
    except ValueError as error:
        raise ValueError(_RANGE) from error
    if not begin <= end <= now:
        raise ValueError("backfill-range must end after it begins, and not in the future")
    most = int(concurrency[:_DIGITS]) if concurrency.isdecimal() else 0
    if concurrency and not 1 <= most <= MOST_AT_ONCE:
        raise ValueError(f"backfill-max-concurrent must be a number from 1 to {MOST_AT_ONCE}")
    return Backfill(nonce, begin, end, most or 1, begin - _SECOND)


def _why_not(desired: Desired) -> str:
    return f"the spec is invalid: {desired.errors[0]}" if desired.errors else "it has no schedule"
