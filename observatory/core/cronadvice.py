"""What is valid in a schedule and probably not meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice, pairwise

from observatory.api.advice import Advice
from observatory.api.names import Key
from observatory.api.timezone import UTC_NAME
from observatory.api.types import JsonObject
from observatory.core.firetimes import FireTimes
from observatory.core.schedule import ConcurrencyPolicy, Entry, Schedule, is_scheduled, schedule_of

BLACKED_OUT = 10
"""So many fire times in a row within blackouts, and it is no holiday."""
CALENDARS = 5
"""Schedules of one Observatory whose times are looked at; each may take a tenth of a second."""
_YEAR_DAYS = 366
_YEAR, _DAY = timedelta(days=_YEAR_DAYS), timedelta(days=1)
_HOUR, _SECOND = timedelta(hours=1), timedelta(seconds=1)
_SHORT_MONTH = 28
_ANY = ("*", "?")
_PILE_UP = {
    ConcurrencyPolicy.ALLOW: "runs that take longer pile up (concurrencyPolicy Allow)",
    ConcurrencyPolicy.FORBID: "it skips while a run is on (concurrencyPolicy Forbid)",
    ConcurrencyPolicy.QUEUE: "its queue grows while runs take longer (concurrencyPolicy Queue)",
    ConcurrencyPolicy.REPLACE: "no run gets longer than that (concurrencyPolicy Replace)",
}


def advise_scheduling(key: Key, spec: JsonObject, now: datetime) -> Iterator[Advice]:
    """Advice about the schedules of a valid spec; nothing where there is none."""
    schedule = schedule_of(key, spec) if is_scheduled(spec) else None
    if schedule is None:
        return
    listed = bool(spec.get("schedules"))
    for index, entry in enumerate(schedule.entries):
        path = f"spec.schedules[{index}].schedule" if listed else "spec.schedule"
        yield from (Advice(path, text) for text in _of_fields(entry, schedule.concurrency))
        if index < CALENDARS:
            yield from (Advice(path, text) for text in _of_times(entry, schedule, now))


def next_run(key: Key, spec: JsonObject, now: datetime) -> datetime | None:
    """The next fire time of a valid spec, whether a blackout covers it or not."""
    schedule = schedule_of(key, spec) if is_scheduled(spec) else None
    times = (entry.times.after(now) for entry in schedule.entries) if schedule else ()
    return min((time for time in times if time is not None), default=None)


def _of_fields(entry: Entry, policy: ConcurrencyPolicy) -> Iterator[str]:
    """What can be seen without a calendar."""
    fields = entry.schedule.split()
    if len(fields) == 1:  # a name, such as @daily
        return
    minute, hour, day, month, weekday = fields
    if minute in (*_ANY, "*/1"):
        if hour in (*_ANY, "*/1"):
            yield f"fires every minute: {_PILE_UP[policy]}"
        else:
            yield f'fires at every minute of its hours; for one run an hour: "0 {hour} …"'
    for text, cycle, unit in ((minute, 60, "minute"), (hour, 24, "hour")):
        star, _, step = text.partition("*/")
        if not star and step.isdecimal() and cycle % int(step):
            whole = "hour" if unit == "minute" else "day"
            yield f"{text} is not every {int(step)} {unit}s: it begins anew each {whole}"
    if not day.startswith(_ANY) and not weekday.startswith(_ANY):
        yield "fires on its days of month and on its weekdays: cron takes either, not both"
    elif day.isdecimal() and int(day) > _SHORT_MONTH and month in _ANY:
        yield f"leaves out months without a day {int(day)}; L is the last day of any month"


def _of_times(entry: Entry, schedule: Schedule, now: datetime) -> Iterator[str]:
    """What a calendar shows."""
    first = entry.times.after(now)
    if first is None:
        yield "never fires in the next 50 years"
        return
    if first - now > _YEAR:
        yield f"fires on {first:%Y-%m-%d} at the earliest, more than a year from now"
    if schedule.blackouts:
        coming = islice(_coming(entry.times, now), BLACKED_OUT)
        if all(schedule.blackout(time) for time in coming):
            yield f"its next {BLACKED_OUT} times are all within blackouts: it runs at none of them"
    if entry.time_zone != UTC_NAME:
        yield from _of_gaps(entry, now)


def _coming(times: FireTimes, now: datetime) -> Iterator[datetime]:
    time = times.after(now)
    while time is not None:
        yield time
        time = times.after(time)


def _of_gaps(entry: Entry, now: datetime) -> Iterator[str]:
    """A time that clocks leave out within a year, unless it fires in the hour after it anyway."""
    moving = replace(entry.times, after_gap=True)
    staying = replace(entry.times, after_gap=False)
    for end in _ends_of_gaps(entry.times, now.replace(microsecond=0)):
        fires = moving.after(end - _SECOND) == end != staying.after(end - _SECOND)
        following = staying.after(end)
        if not fires or (following is not None and following - end < _HOUR):
            continue
        at = end.astimezone(entry.times.zone)
        then = f"it runs at {at:%H:%M}" if entry.times.after_gap else "that run is left out"
        yield f"clocks of {entry.time_zone} skip this time on {at:%Y-%m-%d}: {then}"
        return


def _ends_of_gaps(times: FireTimes, now: datetime) -> Iterator[datetime]:
    """The instants of the next year at which clocks go forward."""
    for before, after in pairwise(now + _DAY * number for number in range(_YEAR_DAYS + 1)):
        first, second = (time.astimezone(times.zone).utcoffset() for time in (before, after))
        if first is not None and second is not None and second > first:
            yield times.end_of_gap(before, after)
