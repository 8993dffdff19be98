"""A reference for fire times that shares nothing with what it checks: it walks minute by minute."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def values(text: str, low: int, high: int, words: dict[str, int]) -> set[int]:
    found: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        if span == "*":
            first, last = low, high
        else:
            begin, _, end = span.partition("-")
            first = words[begin] if begin in words else int(begin)
            last = (words[end] if end in words else int(end)) if end else first
            if step and not end:
                last = high
        found.update(range(first, last + 1, int(step or 1)))
    return found


class Cron:
    """A cron expression by its five sets. Of two restricted fields, one has to have a day."""

    def __init__(self, cron: str) -> None:
        texts = NAMED.get(cron, cron).lower().split()
        names: tuple[dict[str, int], ...] = (
            {},
            {},
            {},
            {name: number for number, name in enumerate(MONTHS, 1)},
            {name: number for number, name in enumerate(DAYS)},
        )
        parts = zip(texts, RANGES, names, strict=True)
        sets = [values(text, *span, words) for text, span, words in parts]
        self.minutes, self.hours, self.days, self.months, self.weekdays = sets
        if 7 in self.weekdays:
            self.weekdays.add(0)
        self.any_day, self.any_weekday = texts[2] == "*", texts[4] == "*"

    def on(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return by_day and by_weekday
        return by_day or by_weekday

    def nominal(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """Each minute that a clock shows between two naive days and the expression has."""
        times = sorted((hour, minute) for hour in self.hours for minute in self.minutes)
        day = begin
        while day < end:
            if self.on(day):
                for hour, minute in times:
                    yield day.replace(hour=hour, minute=minute)
            day += timedelta(days=1)


def fire_times(
    cron: str, zone: ZoneInfo, span: tuple[datetime, datetime], *, both: bool, after_gap: bool
) -> list[datetime]:
    """All fire times between two naive days, in order, each once."""
    found: set[datetime] = set()
    for nominal in Cron(cron).nominal(*span):
        shown = [nominal.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
        real = sorted(
            {each for each in shown if each.astimezone(zone).replace(tzinfo=None) == nominal}
        )
        if real:
            found.update(real if both else real[:1])
        elif after_gap:
            found.add(end_of_gap(nominal, zone))
    return sorted(found)


def end_of_gap(nominal: datetime, zone: ZoneInfo) -> datetime:
    """The instant of the first second after `nominal` that clocks do show."""
    second = nominal
    # Whole minutes first: gaps of the last decades end on one.
    for step in (timedelta(minutes=1), timedelta(seconds=1)):
        while not exists(second, zone):
            second += step
        second -= step
    return (second + timedelta(seconds=1)).replace(tzinfo=zone).astimezone(UTC)


def exists(nominal: datetime, zone: ZoneInfo) -> bool:
    back = nominal.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    return back.replace(tzinfo=None) == nominal
