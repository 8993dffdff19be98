"""What the status of a scheduled Observatory says as a whole: when next, and how was the last."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from observatory.api.conditions import (
    COMPLETE,
    FAILED,
    FALSE,
    SCHEDULED,
    SUCCEEDED,
    TRUE,
    VALID,
    Condition,
    Reason,
    find_condition,
    set_condition,
)
from observatory.api.fielderrors import list_errors
from observatory.api.runs import Runs
from observatory.api.runsschema import NEXT_SHOWN
from observatory.api.status import Phase, Status
from observatory.core import admit
from observatory.core.access import Access, not_allowed, not_checked
from observatory.core.due import next_starts
from observatory.core.model import Desired

SKEW = timedelta(minutes=1)
"""How far ahead of the clock a fire time may have been handled, without anybody wondering."""
_MESSAGE_LENGTH = 1024
_GOES_ON = frozenset({Reason.SCHEDULED, Reason.CLOCK_SKEW, Reason.REQUESTER_NOT_ALLOWED})
"""With these, fire times come and are handled."""


def summarize_runs(
    status: Status, desired: Desired, now: datetime, known: Runs, access: Access
) -> Status:
    """The status with everything derived anew. The same runs and spec give the same status.

    `known` are runs whose next times are right for this spec, or that have none.
    """
    runs = status.runs
    reason, message = _scheduled(desired, status, now, access)
    times: tuple[datetime, ...] = ()
    if reason in _GOES_ON and desired.schedule is not None:
        handled = {each.name: each.time for each in runs.handled}
        same = known.handled == runs.handled  # searching is most of what a plan costs
        times = known.next_times if same else ()
        times = times or next_starts(desired.schedule, handled, NEXT_SHOWN)
        if not times:
            reason, message = Reason.NEVER_FIRES, "No fire time is left that isn't blacked out"
    conditions = tuple(
        each for each in status.conditions if each.type not in (SUCCEEDED, FAILED, COMPLETE)
    )
    errors, generation = desired.errors, desired.generation
    valid = (FALSE, Reason.INVALID, list_errors(errors)) if errors else (TRUE, Reason.VALID, "")
    active = TRUE if reason is Reason.SCHEDULED else FALSE
    for condition in (
        Condition(VALID, *valid, generation),
        Condition(SCHEDULED, active, reason, message, generation),
    ):
        conditions = set_condition(conditions, condition, now)
    if not desired.scheduled:
        conditions = tuple(each for each in conditions if each.type != SCHEDULED)
    return replace(
        status,
        observed_generation=generation,
        runs=replace(runs, next_times=times),
        phase=_phase(status),
        message=_message(desired, runs, message),
        conditions=conditions,
    )


def _scheduled(
    desired: Desired, status: Status, now: datetime, access: Access
) -> tuple[Reason, str]:
    runs = status.runs
    if desired.errors:
        return Reason.INVALID, "Nothing is started until the spec is mended"
    if desired.suspend:
        return Reason.SUSPENDED, "Suspended: set spec.suspend to false to go on"
    if admit.paused(desired, runs):
        failed = f"{runs.failures} failed run{'' if runs.failures == 1 else 's'} in a row"
        remedy = "mend the spec, run it now with success, or suspend and resume it"
        return Reason.TOO_MANY_FAILURES, f"Paused after {failed}: {remedy}"
    told = find_condition(status.conditions, SCHEDULED)
    if answer := _requester(desired, told, access):
        return answer
    ahead = max((each.time for each in runs.handled), default=now)
    text = f"The clock was ahead: fire times up to {ahead:%Y-%m-%dT%H:%MZ} have been handled"
    # It is told until the next fire time: two operators whose clocks differ don't take turns in it.
    if ahead > now + SKEW or (told is not None and told.message == text):
        return Reason.CLOCK_SKEW, text
    return Reason.SCHEDULED, ""


def _requester(
    desired: Desired, told: Condition | None, access: Access
) -> tuple[Reason, str] | None:
    """What there is to say of who asked for the runs."""
    if access is Access.UNKNOWN:
        return Reason.REQUESTER_NOT_CHECKED, not_checked(desired)
    barred = not_allowed(desired)
    # It is told until the same requester is allowed a run again, or there is another one.
    still = access is Access.NOT_ASKED and told is not None and told.message == barred
    return (Reason.REQUESTER_NOT_ALLOWED, barred) if access is Access.DENIED or still else None


def _phase(status: Status) -> Phase:
    runs = status.runs
    if runs.active:
        return Phase.RUNNING
    if not runs.history:
        return status.phase  # of the run that it had before it was given a schedule, if it had one
    return Phase.SUCCEEDED if runs.history[-1].succeeded else Phase.FAILED


def _message(desired: Desired, runs: Runs, scheduled: str) -> str | None:
    """One line: what holds it back, what runs, how the last run ended."""
    parts = [str(desired.errors[0])] if desired.errors else [scheduled] if scheduled else []
    if runs.active:
        more = f" and {len(runs.active) - 1} more" if len(runs.active) > 1 else ""
        ending = runs.active[0].cancel_reason
        verb = f"Ending ({ending})" if ending else "Running"
        parts.append(f"{verb} {runs.active[0].name}{more}")
    if runs.queued:
        first = runs.queued[0]
        why = f": {first.reason}: {first.message}" if first.reason else ""
        parts.append(f"{len(runs.queued)} due{why}")
    if runs.backfill and runs.backfill.completion_time is None:
        done = runs.backfill.succeeded + runs.backfill.failed
        parts.append(f"Backfill: {done} done, up to {runs.backfill.time:%Y-%m-%dT%H:%MZ}")
    if runs.history and not runs.active:
        last = runs.history[-1]
        how = "succeeded" if last.succeeded else f"failed: {last.reason}"
        parts.append(f"Last run {last.name} {how}")
    return "; ".join(parts)[:_MESSAGE_LENGTH] or None
