"""Which fire times of a schedule are due, which of them are skipped, and which come next.

It takes as long after years without an operator as after a minute: fire times are looked for from
now backwards, and what lies further back than is wanted is skipped as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import merge

from observatory.api.runs import Handled, Skipped
from observatory.api.runsschema import SKIPPED_SHOWN
from observatory.core.schedule import CatchUp, Entry, Schedule

ON_TIME = timedelta(minutes=1)
"""A run is not late that begins within this time."""
MISSED = "Missed"
LATE = "DeadlineExceeded"
BLACKOUT = "Blackout"

_MOST_WINDOWS = 200
"""Blackouts in a row that are looked through for one fire time beyond them."""
_MOMENT = timedelta(microseconds=1)
_WORDS = {
    CatchUp.NONE: "it was missed, and catchUp is None",
    CatchUp.LATEST: "it was missed; only the latest of several is caught up on",
    CatchUp.ALL: "it was missed; only the latest are caught up on, as catchUp.limit says",
}


@dataclass(frozen=True, slots=True)
class Due:
    """The fire times that are to run, and those that are skipped; both the oldest first."""

    times: tuple[datetime, ...]
    skipped: tuple[Skipped, ...]
    handled: datetime


def due(schedule: Schedule, entry: Entry, handled: datetime, now: datetime) -> Due:
    """What is due of a schedule since `handled`."""
    clock = now - entry.jitter
    last = entry.times.before(clock)
    if last is None or last <= handled:
        return Due((), (), handled)
    times: list[datetime] = []
    skipped: list[Skipped] = []

    def skip(until: datetime, reason: str, message: str, after: datetime = handled) -> None:
        first = entry.times.after(max(after, handled)) or until
        skipped.append(
            Skipped(entry.name, first, reason, message, until if until > first else None)
        )

    most = schedule.catch_up_limit if schedule.catch_up is CatchUp.ALL else 1
    time: datetime | None = last
    for _ in range(most + _MOST_WINDOWS):
        if time is None or time <= handled:
            break
        if window := schedule.blackout(time):
            message = f'within the blackout "{window.name}"'
            skip(time, BLACKOUT, message, window.start - _MOMENT)
            time = entry.times.before(window.start - _MOMENT)
        elif schedule.starting_deadline is not None and time < clock - schedule.starting_deadline:
            seconds = int(schedule.starting_deadline.total_seconds())
            skip(time, LATE, f"later than startingDeadlineSeconds ({seconds} s)")
            break
        elif len(times) == most or _too_late(schedule, clock - time):
            skip(time, MISSED, _WORDS[schedule.catch_up])
            break
        else:
            times.append(time)
            time = entry.times.before(time - _MOMENT)
    return Due(tuple(reversed(times)), tuple(reversed(skipped)), last)


def _too_late(schedule: Schedule, late: timedelta) -> bool:
    return schedule.catch_up is CatchUp.NONE and late > ON_TIME


def starts_from(schedule: Schedule, entry: Entry, handled: datetime) -> Iterator[datetime]:
    """When the next runs of a schedule begin, without blackouts, with jitter."""
    time = entry.times.after(handled)
    windows = 0
    while time is not None and windows < _MOST_WINDOWS:
        if window := schedule.blackout(time):
            windows += 1
            time = entry.times.after(window.end - _MOMENT)
            continue
        yield time + entry.jitter
        time = entry.times.after(time)


def next_starts(
    schedule: Schedule, handled: dict[str, datetime], count: int
) -> tuple[datetime, ...]:
    """The next instants at which runs begin by any of the schedules, each once."""
    streams = (
        starts_from(schedule, entry, handled[entry.name])
        for entry in schedule.entries
        if entry.name in handled
    )
    found: list[datetime] = []
    for time in merge(*streams):
        if not found or time != found[-1]:
            found.append(time)
        if len(found) == count:
            break
    return tuple(found)


def next_due(schedule: Schedule, handled: dict[str, datetime]) -> datetime | None:
    """When there is something to be done next, if only to skip it."""
    times = [
        time + entry.jitter
        for entry in schedule.entries
        if entry.name in handled and (time := entry.times.after(handled[entry.name]))
    ]
    return min(times, default=None)


def between(
    schedule: Schedule, since: datetime, until: datetime
) -> Iterator[tuple[datetime, tuple[Entry, ...]]]:
    """The fire times later than `since` up to `until`, with the schedules of each; no blackouts."""
    windows = 0
    time = since
    while windows < _MOST_WINDOWS:
        following = {entry.name: entry.times.after(time) for entry in schedule.entries}
        first = min(filter(None, following.values()), default=None)
        if first is None or first > until:
            return
        if window := schedule.blackout(first):
            windows += 1
            time = window.end - _MOMENT
            continue
        yield first, tuple(each for each in schedule.entries if following[each.name] == first)
        time = first


def add_skipped(
    known: tuple[Skipped, ...], new: Skipped, handled: datetime | None
) -> tuple[Skipped, ...]:
    """The latest skipped times with one more; it is joined to one that it follows directly.

    `handled` is the fire time of its schedule before it.
    """
    for index, old in enumerate(known):
        same = (old.schedule, old.reason, old.message) == (new.schedule, new.reason, new.message)
        if same and handled is not None and (old.until or old.time) == handled:
            joined = replace(old, until=new.until or new.time)
            return (*known[:index], *known[index + 1 :], joined)
    return (*known, new)[-SKIPPED_SHOWN:]


def handled_anew(
    known: tuple[Handled, ...], entries: tuple[Entry, ...], since: datetime
) -> tuple[Handled, ...]:
    """Up to where each schedule has been seen to; a new or edited one is seen to from `since`."""
    before = {each.name: each for each in known}
    found = []
    for entry in entries:
        old = before.get(entry.name)
        if old is None or (old.schedule, old.time_zone) != (entry.schedule, entry.time_zone):
            begin = max(since, old.time) if old else since
            old = Handled(entry.name, entry.schedule, entry.time_zone, begin)
        found.append(old)
    return tuple(found)
