"""When a cron schedule fires: nominal times on the clocks of a zone, and the instants they are.

A nominal time is what a clock on the wall shows. Most are one instant. When clocks go forward, some
are none: they fire at the end of the gap, or not at all. When clocks go back, some are two: they
fire at the first, or at both. Two nominal times that are the same instant fire once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
_NONE = timedelta()


@lru_cache(maxsize=4096)
def _parsed(cron: str) -> croniter:
    """The parsed expression; each search in it says where it begins."""
    return croniter(cron, datetime(2000, 1, 1))  # noqa: DTZ001 -- nominal times have no zone


@dataclass(frozen=True, slots=True)
class FireTimes:
    """The fire times of one schedule.

    Attributes:
        cron: Five fields without `H`, or a name such as `@daily`.
        zone: Whose clocks count.
        both: Whether a time that comes twice when clocks go back fires twice.
        after_gap: Whether a time that clocks leave out fires at the end of the gap.
    """

    cron: str
    zone: ZoneInfo
    both: bool = False
    after_gap: bool = True

    def after(self, time: datetime) -> datetime | None:
        """The first fire time later than `time`; None if there is none for 50 years."""
        best = None
        for nominal in self._later(self._nominal(time) - self._repeated(time)):
            first, second = self._instants(nominal)
            if second is not None and second > time:
                best = min(best or second, second)
            if first is not None and first > time:
                return min(best or first, first)
        return best

    def before(self, time: datetime) -> datetime | None:
        """The last fire time that is not later than `time`; None if there was none for 50 years."""
        best = None
        for nominal in self._earlier(self._nominal(time) + self._repeated(time) + _MINUTE):
            first, second = self._instants(nominal)
            found = [each for each in (first, second) if each is not None and each <= time]
            best = max([*found, *([best] if best else [])], default=None)
            # Of those that come twice, an earlier one may have come the second time since.
            if best is not None and (second is None or second <= time):
                return best
        return best

    def _nominal(self, time: datetime) -> datetime:
        return time.astimezone(self.zone).replace(tzinfo=None, fold=0)

    def _repeated(self, time: datetime) -> timedelta:
        """How far clocks go back at `time`, where they show what they show twice."""
        local = time.astimezone(self.zone)
        first, second = (local.replace(fold=fold).utcoffset() or _NONE for fold in (0, 1))
        return max(first - second, _NONE)

    def _later(self, nominal: datetime) -> Iterator[datetime]:
        found = _parsed(self.cron)
        try:
            while True:
                nominal = found.get_next(datetime, start_time=nominal)
                yield nominal
        except (CroniterBadDateError, OverflowError):
            return

    def _earlier(self, nominal: datetime) -> Iterator[datetime]:
        found = _parsed(self.cron)
        try:
            while True:
                nominal = found.get_prev(datetime, start_time=nominal)
                yield nominal
        except (CroniterBadDateError, OverflowError):
            return

    def _instants(self, nominal: datetime) -> tuple[datetime | None, datetime | None]:
        """The instants that a nominal time fires at: the first, and the second where it counts."""
        first = nominal.replace(tzinfo=self.zone).astimezone(UTC)
        second = nominal.replace(tzinfo=self.zone, fold=1).astimezone(UTC)
        if second < first:  # it is left out: with the clocks of before, it would be after the gap
            return (self.end_of_gap(second, first) if self.after_gap else None), None
        return first, second if self.both and second > first else None

    def end_of_gap(self, low: datetime, high: datetime) -> datetime:
        """The instant at which clocks go forward, which is between these two."""
        before = low.astimezone(self.zone).utcoffset()
        while high - low > _SECOND:
            middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
            if middle.astimezone(self.zone).utcoffset() == before:
                low = middle
            else:
                high = middle
        return high
