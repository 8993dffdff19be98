"""What a schema cannot say about schedules, time zones and blackouts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from observatory.api.cron import check_schedule, is_hashed
from observatory.api.fielderrors import FieldError, duplicate, forbidden, invalid, required
from observatory.api.openapi import DATE
from observatory.api.scheduleschema import (
    MAX_BLACKOUTS,
    MAX_DATES,
    MAX_SCHEDULE,
    MAX_SCHEDULES,
)
from observatory.api.times import parse_time
from observatory.api.timezone import MAX_TIME_ZONE, check_time_zone
from observatory.api.types import JsonObject
from observatory.core.blackouts import check_date

_SPAN, _AGAIN = ("start", "end"), ("schedule", "durationSeconds")


def check_scheduling(spec: JsonObject) -> Iterator[FieldError]:
    """What is wrong with the scheduling fields of a spec, of whatever has the right type."""
    yield from _check_cron(spec, "spec")
    schedules = spec.get("schedules")
    if schedules and spec.get("schedule"):
        yield forbidden(
            "spec.schedule", "may not be set beside spec.schedules; give it a name there"
        )
    yield from _check_names(schedules, "spec.schedules", MAX_SCHEDULES)
    for path, item in _items(schedules, "spec.schedules", MAX_SCHEDULES):
        yield from _check_cron(item, path)
    catch_up = spec.get("catchUp")
    if isinstance(catch_up, dict) and catch_up.get("limit") and catch_up.get("policy") != "All":
        text = "counts only with policy All"
        yield invalid("spec.catchUp.limit", catch_up["limit"], text)
    blackouts = spec.get("blackouts")
    yield from _check_names(blackouts, "spec.blackouts", MAX_BLACKOUTS)
    for path, item in _items(blackouts, "spec.blackouts", MAX_BLACKOUTS):
        yield from _check_cron(item, path)
        yield from _check_blackout(item, path)


def _check_cron(item: JsonObject, path: str) -> Iterator[FieldError]:
    schedule, time_zone = item.get("schedule"), item.get("timeZone")
    if isinstance(schedule, str) and 0 < len(schedule) <= MAX_SCHEDULE:
        yield from check_schedule(schedule, f"{path}.schedule")
    if isinstance(time_zone, str) and 0 < len(time_zone) <= MAX_TIME_ZONE:
        yield from check_time_zone(time_zone, f"{path}.timeZone")


def _check_names(items: object, path: str, most: int) -> Iterator[FieldError]:
    first: dict[str, str] = {}
    for where, item in _items(items, path, most):
        name = item.get("name")
        if isinstance(name, str) and first.setdefault(name, where) != where:
            yield duplicate(f"{where}.name", name, first[name])


def _items(items: object, path: str, most: int) -> list[tuple[str, JsonObject]]:
    if not isinstance(items, list) or len(items) > most:
        return []
    return [
        (f"{path}[{index}]", item) for index, item in enumerate(items) if isinstance(item, dict)
    ]


def _check_blackout(item: JsonObject, path: str) -> Iterator[FieldError]:
    kinds = [
        bool(item.get("dates")),
        any(item.get(field) is not None for field in _SPAN),
        any(item.get(field) is not None for field in _AGAIN),
    ]
    if sum(kinds) != 1:
        text = "exactly one of dates, of start and end, or of schedule and durationSeconds"
        yield required(path, text)
        return
    for fields in (_SPAN, _AGAIN):
        missing = [field for field in fields if item.get(field) is None]
        if len(missing) == 1:
            yield required(
                f"{path}.{missing[0]}", f"beside {' and '.join(set(fields) - {*missing})}"
            )
    schedule = item.get("schedule")
    if isinstance(schedule, str) and is_hashed(schedule):
        text = "H is for the times of runs: a blackout has to say when it is"
        yield invalid(f"{path}.schedule", schedule, text)
    yield from _check_dates(item, path)
    start, end = (_time(item.get(field)) for field in _SPAN)
    for field, time in zip(_SPAN, (start, end), strict=True):
        if isinstance(item.get(field), str) and time is None:
            text = "must be a time such as 2026-12-31T22:00:00Z"
            yield invalid(f"{path}.{field}", item[field], text)
    if start and end and start >= end:
        yield invalid(f"{path}.end", item["end"], "must be later than start")


def _check_dates(item: JsonObject, path: str) -> Iterator[FieldError]:
    dates = item.get("dates")
    if not isinstance(dates, list) or len(dates) > MAX_DATES:
        return
    for index, text in enumerate(dates):
        if isinstance(text, str) and _is_shaped(text) and (problem := check_date(text)):
            yield invalid(f"{path}.dates[{index}]", text, problem)


def _is_shaped(text: str) -> bool:
    return bool(re.fullmatch(DATE, text))


def _time(text: object) -> datetime | None:
    try:
        return parse_time(text) if isinstance(text, str) else None
    except ValueError:
        return None
