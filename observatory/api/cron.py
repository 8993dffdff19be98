"""The syntax of cron schedules: five fields, or a name such as `@daily`.

It accepts what both Kubernetes' CronJob and croniter accept, and of croniter's extensions `H` (a
minute, hour or day derived from the name, as in Jenkins), `L` (the last day of the month) and
`FRI#2` (the second Friday). croniter has the last word; the checks before it give better messages
and refuse what it misreads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256

from croniter import CroniterError, croniter

from observatory.api.fielderrors import FieldError, invalid, quote, unsupported

NAMED = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FEBRUARY = 2
_LONGEST_MONTH = dict.fromkeys(range(1, 13), 31) | {_FEBRUARY: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_TIME_ZONE = re.compile(r"(CRON_)?TZ=", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n]+")
_RANGE = re.compile(r"(\*|\?|(?P<low>[a-z0-9]+)(-(?P<high>[a-z0-9]+))?)(/(?P<step>[0-9]+))?\Z")
_HASHED = re.compile(r"h(\((?P<low>[0-9]+)-(?P<high>[0-9]+)\))?(/(?P<step>[0-9]+))?\Z")
_NTH = re.compile(r"(?P<day>[a-z0-9]+)#(?P<nth>[0-9]+)\Z")
_HASHED_DAYS = 28
"""The last day of month that a bare `H` can be: every month has it."""
_NUMBER_LENGTH = 4
"""Digits. A longer number is out of every range, whatever it is."""
_LAST_WEEK = 5
_SATURDAY = 6


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: dict[str, int] = field(default_factory=dict, hash=False)


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Field("day of week", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)
_DAY_OF_MONTH, _MONTH, _DAY_OF_WEEK = _FIELDS[2:]


def without_hashes(schedule: str, seed: str) -> str:
    """A valid schedule with a number in the place of each `H`: always the same for a seed.

    The fields are hashed apart, so that a minute tells nothing about the hour. `H/15` is every 15,
    from a hashed beginning; a bare `H` for the day of month is one that every month has.
    """
    if schedule in NAMED:
        return schedule
    texts = [text for text in _SPACE.split(schedule.lower()) if text]
    return " ".join(
        ",".join(_without_hash(kind, item, seed) for item in text.split(","))
        for kind, text in zip(_FIELDS, texts, strict=True)
    )


def is_hashed(schedule: str) -> bool:
    """Whether any of its numbers is hashed from a name."""
    items = (item for text in _SPACE.split(schedule.lower()) for item in text.split(","))
    return any(map(_HASHED.match, items))


def _without_hash(kind: _Field, item: str, seed: str) -> str:
    match = _HASHED.match(item)
    if match is None:
        return item
    highest = {_DAY_OF_MONTH: _HASHED_DAYS, _DAY_OF_WEEK: _SATURDAY}.get(kind, kind.high)
    low = int(match["low"]) if match["low"] else kind.low
    high = int(match["high"]) if match["high"] else highest
    width = high - low + 1
    step = _bounded(match["step"]) if match["step"] else width
    digest = sha256(f"{kind.name}/{seed}".encode()).digest()
    first = low + int.from_bytes(digest[:8], "big") % min(step, width)
    return f"{first}-{high}/{step}" if match["step"] else str(first)


class _SyntaxError(ValueError):
    """What is wrong with one item of a field."""


def check_schedule(schedule: str, path: str) -> list[FieldError]:
    """What is wrong with the schedule. It takes no longer for one that never fires."""
    if schedule in NAMED:
        return []
    if schedule.startswith("@"):
        return [unsupported(path, schedule, NAMED, hint="or five cron fields")]
    problem = _problem(schedule)
    return [invalid(path, schedule, problem)] if problem else []


def _problem(schedule: str) -> str | None:
    if _TIME_ZONE.match(schedule.lstrip()):
        return "cannot use TZ or CRON_TZ in schedule; use the timeZone field instead"
    texts = [text for text in _SPACE.split(schedule.lower()) if text]
    if len(texts) != len(_FIELDS):
        return f"expected 5 fields, found {len(texts)}"
    problems = [
        f"{kind.name}: {problem}"
        for kind, text in zip(_FIELDS, texts, strict=True)
        if (problem := _field_problem(kind, text))
    ]
    if problems:
        return "; ".join(problems)
    return _never_fires(texts) or _refused_by_croniter(texts)


def _field_problem(kind: _Field, text: str) -> str | None:
    try:
        for item in text.split(","):
            _check_item(kind, item)
    except _SyntaxError as error:
        return str(error)
    return None


def _check_item(kind: _Field, item: str) -> None:
    if not item:
        raise _SyntaxError("an item is missing at a comma")
    if kind is _DAY_OF_MONTH and item == "l":
        return
    if kind is _DAY_OF_WEEK and (match := _NTH.match(item)):
        _number(kind, match["day"])
        if not 1 <= _bounded(match["nth"]) <= _LAST_WEEK:
            raise _SyntaxError(f"#{match['nth']} out of range #1-#{_LAST_WEEK}")
        return
    match = _HASHED.match(item) or _RANGE.match(item)
    if match is None:
        raise _SyntaxError(f"{quote(item)} is not a number, a range or a step")
    low = _number(kind, match["low"]) if match["low"] else kind.low
    high = _number(kind, match["high"]) if match["high"] else kind.high
    if high < low:
        raise _SyntaxError(f"range {match['low']}-{match['high']} is the wrong way round")
    if match["step"] and _bounded(match["step"]) == 0:
        raise _SyntaxError("step must be 1 or more, not 0")


def _number(kind: _Field, text: str) -> int:
    if text in kind.names:
        return kind.names[text]
    if not text.isdecimal():
        raise _SyntaxError(f"{quote(text)} is not a number" + (" or a name" if kind.names else ""))
    number = _bounded(text)
    if not kind.low <= number <= kind.high:
        raise _SyntaxError(f"{text} out of range {kind.low}-{kind.high}")
    return number


def _bounded(digits: str) -> int:
    return int(digits[:_NUMBER_LENGTH])


def _never_fires(texts: list[str]) -> str | None:
    """Whether no month of the schedule has any day of it: `0 0 30 2 *`.

    A day of week makes it fire, because cron takes either day. No search is needed.
    """
    _, _, days, months, weekdays = texts
    if weekdays not in ("*", "?") or "l" in days:
        return None
    earliest = min(_lowest(_DAY_OF_MONTH, item) for item in days.split(","))
    if "h" in months:
        short = "may never fire: H can be a month without such a day"
        return short if earliest > _LONGEST_MONTH[_FEBRUARY] else None
    longest = max(_LONGEST_MONTH[month] for month in _months(months))
    return "never fires: no month of it has such a day" if earliest > longest else None


def _lowest(kind: _Field, item: str) -> int:
    match = _HASHED.match(item) or _RANGE.match(item)
    return _number(kind, match["low"]) if match and match["low"] else kind.low


def _months(text: str) -> set[int]:
    months: set[int] = set()
    for item in text.split(","):
        if match := _RANGE.match(item):
            low = _lowest(_MONTH, item)
            one = match["low"] and not match["high"] and not match["step"]
            high = low if one else _number(_MONTH, match["high"] or str(_MONTH.high))
            months.update(range(low, high + 1, _bounded(match["step"] or "1")))
    return months


def _refused_by_croniter(texts: list[str]) -> str | None:
    try:
        croniter.expand(without_hashes(" ".join(texts), ""))
    except (CroniterError, ValueError, KeyError, IndexError) as error:
        return f"not a cron schedule: {error}"
    return None
