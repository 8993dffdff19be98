"""Which runs of the queue begin now, and what the others wait for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from observatory.api.runs import Queued, RunId, Runs, Skipped, Trigger
from observatory.api.runsschema import MAX_ACTIVE
from observatory.api.types import JsonObject
from observatory.core import admit
from observatory.core.access import NOT_ALLOWED, NOT_CHECKED, Access, not_allowed, not_checked
from observatory.core.children import Child, child_manifest, child_name
from observatory.core.deadlines import Alarm
from observatory.core.due import BLACKOUT, add_skipped
from observatory.core.model import Desired

RUNS_AT_ONCE = 20
"""Runs that begin in one plan."""
IN_PROGRESS = "RunInProgress"
SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True)
class RunStart:
    """Begin a run: with the Observatory that is there already, else with a new one of `body`."""

    id: RunId
    name: str
    adopt: str | None = None
    body: JsonObject | None = None


def starts_now(
    desired: Desired, runs: Runs, own: Sequence[Child], alarm: Alarm, access: Access
) -> tuple[tuple[RunStart, ...], Runs]:
    """The runs to begin now. Those of the queue that have to wait say what for."""
    return _allowed(desired, *_starts(desired, runs, own, alarm), access)


def _starts(
    desired: Desired, runs: Runs, own: Sequence[Child], alarm: Alarm
) -> tuple[tuple[RunStart, ...], Runs]:
    """Those whose turn it is, whoever asked for them."""
    starts: list[RunStart] = []
    queued: list[Queued] = []
    by_name = {child.key.name: child for child in own}
    room = min(MAX_ACTIVE - len(runs.active), RUNS_AT_ONCE)
    taken = admit.exclusive(desired) and admit.busy(runs, queued=False)
    held = _held_back(desired, runs, alarm) if runs.queued else None
    for each in runs.queued:
        alone = admit.exclusive(desired) and each.id.trigger is not Trigger.BACKFILL
        if held and each.id.trigger is not Trigger.RUN_NOW:
            queued.append(replace(each, reason=held[0], message=held[1]))
        elif alone and taken:
            message = "waits for runs before it to end"
            queued.append(replace(each, reason=IN_PROGRESS, message=message))
        else:
            queued.append(each)
            if desired.template is not None and len(starts) < room:
                taken = taken or alone
                starts += _start(desired, each.id, by_name)
    return tuple(starts), replace(runs, queued=tuple(queued))


def _allowed(
    desired: Desired, starts: tuple[RunStart, ...], runs: Runs, access: Access
) -> tuple[tuple[RunStart, ...], Runs]:
    """What of it may begin. What may not is skipped; what nobody knows of stays in the queue."""
    turn = {start.id for start in starts}
    if access is Access.DENIED:
        skipped = runs.skipped
        for run in (each.id for each in runs.queued if each.id in turn):
            skip = Skipped(run.schedule, run.time, NOT_ALLOWED, not_allowed(desired))
            skipped = add_skipped(skipped, skip, None)
        kept = tuple(each for each in runs.queued if each.id not in turn)
        return (), replace(runs, queued=kept, skipped=skipped)
    if access is Access.UNKNOWN:
        told = (NOT_CHECKED, not_checked(desired))
        queued = (
            replace(each, reason=told[0], message=told[1]) if each.id in turn else each
            for each in runs.queued
        )
        return (), replace(runs, queued=tuple(queued))
    return starts, runs


def _start(desired: Desired, run: RunId, by_name: Mapping[str, Child]) -> list[RunStart]:
    name = child_name(desired, run)
    child = by_name.get(name)
    if child is None:
        return [RunStart(run, name, body=child_manifest(desired, run))]
    if child.deleting:
        return []  # it was never recorded; once it is gone, there is a new one
    return [RunStart(run, name, adopt=child.uid)]


def _held_back(desired: Desired, runs: Runs, alarm: Alarm) -> tuple[str, str] | None:
    """Why no run begins now but one that somebody asks for."""
    if desired.suspend or admit.paused(desired, runs):
        return SUSPENDED, "begins when the schedule goes on"
    window = desired.schedule.blackout(alarm.now) if desired.schedule else None
    if window is None:
        return None
    alarm.set(window.end)
    return BLACKOUT, f'within the blackout "{window.name}"'
