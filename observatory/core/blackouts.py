"""Blackouts: the calendar of times at which no run begins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from observatory.api.times import parse_time
from observatory.api.timezone import zone
from observatory.api.types import JsonObject
from observatory.core.firetimes import FireTimes

_DAY = timedelta(days=1)
_YEARLY_LENGTH = len("12-25")


@dataclass(frozen=True, slots=True)
class Window:
    """One span of a blackout: no run begins from `start` on and before `end`."""

    name: str
    start: datetime
    end: datetime


class Blackout(Protocol):
    """Spans at which no run begins."""

    def at(self, time: datetime) -> Window | None:
        """The span that `time` is within, if there is one."""


@dataclass(frozen=True, slots=True)
class Span:
    """One span of time."""

    window: Window

    def at(self, time: datetime) -> Window | None:
        """The span, if `time` is within."""
        return self.window if self.window.start <= time < self.window.end else None


@dataclass(frozen=True, slots=True)
class Days:
    """Whole days on the clocks of a zone; those without a year are each year's."""

    name: str
    dates: frozenset[str]
    zone: ZoneInfo

    def at(self, time: datetime) -> Window | None:
        """The day, if `time` is within one of them."""
        day = time.astimezone(self.zone).date()
        if self.dates.isdisjoint((f"{day:%Y-%m-%d}", f"{day:%m-%d}")):
            return None
        return Window(self.name, self._midnight(day), self._midnight(day + _DAY))

    def _midnight(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Recurring:
    """Spans that begin at the fire times of a cron expression."""

    name: str
    begins: FireTimes
    duration: timedelta

    def at(self, time: datetime) -> Window | None:
        """The latest span, if `time` is still within."""
        start = self.begins.before(time)
        if start is None or time >= start + self.duration:
            return None
        return Window(self.name, start, start + self.duration)


def blackout_of(item: JsonObject, time_zone: str) -> Blackout:
    """The blackout of a valid item of `spec.blackouts`."""
    name, where = item["name"], zone(item.get("timeZone") or time_zone)
    if dates := item.get("dates"):
        return Days(name, frozenset(dates), where)
    if schedule := item.get("schedule"):
        seconds = timedelta(seconds=item["durationSeconds"])
        return Recurring(name, FireTimes(schedule, where), seconds)
    return Span(Window(name, parse_time(item["start"]), parse_time(item["end"])))


def check_date(text: str) -> str | None:
    """What is wrong with a day of the right shape; None if it is one."""
    yearly = len(text) == _YEARLY_LENGTH
    try:
        date.fromisoformat(f"2024-{text}" if yearly else text)  # a leap year: it has all days
    except ValueError:
        return "there is no such day"
    return None
