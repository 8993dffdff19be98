"""Ten years of 50 schedules in 20 time zones, against the walk by the minute: no difference.

Each schedule in one zone here; `OBSERVATORY_TEST_ZONES=all` tries each schedule in each zone.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from observatory.core.firetimes import FireTimes
from tests.core.walk import fire_times

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Lisbon",
    "Europe/Istanbul",
    "Europe/Chisinau",
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Santiago",
    "America/Havana",
    "America/Asuncion",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
)
SCHEDULES = (
    *("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"),
    *("0 0 * * *", "30 0 * * *", "59 23 * * *", "0 1 * * *", "30 1 * * *", "15 1,2 * * *"),
    *("0 2 * * *", "30 2 * * *", "5,35 2 * * *", "59 2 * * *", "0 3 * * *", "30 3 * * *"),
    *("0 */6 * * *", "30 */2 * * *", "45 1-3 * * *", "*/30 2 * * *", "*/20 0-3 * * 0"),
    *("0 12 * * *", "0 6 * * 1-5", "0 6 * * mon-fri", "0 18 * * 5", "0 9 * * sat,sun"),
    *("0 0 1 * *", "0 0 15 * *", "0 0 31 * *", "0 0 29 2 *", "0 0 28 2 *", "0 2 1 1 *"),
    *("30 2 25-31 3 0", "30 1 25-31 10 *", "0 0 1 jan,jul *", "0 4 1-7 * *", "0 0 13 * 5"),
    *("0 0 1,15 * 1", "*/15 1 * 3,10,11 *", "30 2 * 3 *", "30 1 * 10,11 *", "0 0 * 9 0"),
    *("0 0 * 4,8,9 *", "2 2 2 2 *", "10-50/10 2 * * 0", "0 23 31 12 *", "0 0-23/8 * * 6"),
)
BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
MARGIN = timedelta(days=2)


def pairs() -> list[tuple[str, str]]:
    if os.environ.get("OBSERVATORY_TEST_ZONES") == "all":
        return [(cron, zone) for cron in SCHEDULES for zone in ZONES]
    return [(cron, ZONES[index * 7 % len(ZONES)]) for index, cron in enumerate(SCHEDULES)]


def test_there_are_as_many_as_promised() -> None:
    assert len(set(SCHEDULES)) == 50
    assert len({zone for _, zone in pairs()}) == len(set(ZONES)) == 20


@pytest.mark.parametrize(("cron", "name"), pairs())
def test_ten_years_of_fire_times_are_those_of_a_walk_by_the_minute(cron: str, name: str) -> None:
    zone = ZoneInfo(name)
    span = BEGIN.replace(tzinfo=None) - MARGIN, END.replace(tzinfo=None) + MARGIN
    both, after_gap = len(cron) % 2 == 0, len(cron) % 3 > 0
    expected = [
        time
        for time in fire_times(cron, zone, span, both=both, after_gap=after_gap)
        if BEGIN < time <= END
    ]
    times = FireTimes(cron, zone, both=both, after_gap=after_gap)
    found, time = [], BEGIN
    while (following := times.after(time)) is not None and following <= END:
        found.append(following)
        time = following

    assert found == expected
    assert times.before(END) == (expected[-1] if expected else None)
    for earlier, later in list(pairwise(expected))[-500:]:
        assert times.before(later - timedelta(seconds=1)) == earlier
