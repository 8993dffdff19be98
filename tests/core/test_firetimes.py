"""Fire times against a walk by the minute, in all time zones that there are."""

from datetime import UTC, datetime, timedelta
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from observatory.api.timezone import names, zone
from observatory.core.firetimes import FireTimes
from tests.core.walk import fire_times

SCHEDULES = (
    "*/20 * * * *",
    "*/7 1-3 * * *",
    "* 2 * * *",
    "0 * * * *",
    "30 */2 * * *",
    "59 23 * * *",
    "0 0 * * *",
    "30 0 * * *",
    "15,45 1 * * *",
    "0 2 * * *",
    "30 2 * * *",
    "5 3 * * mon-fri",
    "0 0 1 * *",
    "0 12 1,15 * 5",
    "0 0 29 2 *",
    "@hourly",
    "@weekly",
)
DAY = timedelta(days=1)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def walked(times: FireTimes, begin: datetime, end: datetime) -> list[datetime]:
    found, time = [], begin
    while (following := times.after(time)) is not None and following <= end:
        found.append(following)
        time = following
    return found


def walked_back(times: FireTimes, begin: datetime, end: datetime) -> list[datetime]:
    found, time = [], end
    while (earlier := times.before(time)) is not None and earlier > begin:
        found.append(earlier)
        time = earlier - timedelta(microseconds=1)
    return found[::-1]


@pytest.mark.parametrize(
    ("cron", "time", "expected"),
    [
        # Europe/Berlin: from 2026-03-29 02:00 to 03:00, which is 01:00 in UTC
        ("30 2 * * *", "2026-03-28T12:00", "2026-03-29T01:00"),
        ("30 2 * * *", "2026-03-29T01:00", "2026-03-30T00:30"),
        # and on 2026-10-25 from 03:00 back to 02:00, which is 01:00 in UTC
        ("30 2 * * *", "2026-10-24T12:00", "2026-10-25T00:30"),
        ("30 2 * * *", "2026-10-25T00:30", "2026-10-26T01:30"),
    ],
)
def test_by_default_a_time_left_out_fires_after_the_gap_and_one_that_comes_twice_fires_once(
    cron: str, time: str, expected: str
) -> None:
    times = FireTimes(cron, ZoneInfo("Europe/Berlin"))
    assert times.after(instant(time)) == instant(expected)


def test_both_and_skip_are_possible() -> None:
    times = FireTimes("30 2 * * *", ZoneInfo("Europe/Berlin"), both=True, after_gap=False)
    assert walked(times, instant("2026-03-28T00:00"), instant("2026-03-30T12:00")) == [
        instant("2026-03-28T01:30"),
        instant("2026-03-30T00:30"),
    ]
    assert walked(times, instant("2026-10-24T12:00"), instant("2026-10-25T12:00")) == [
        instant("2026-10-25T00:30"),
        instant("2026-10-25T01:30"),
    ]


def test_a_day_that_a_country_leaves_out_fires_at_its_end() -> None:
    # Samoa went from 2011-12-29 24:00 to 2011-12-31 00:00, which is 10:00 in UTC.
    times = FireTimes("30 12 * * *", ZoneInfo("Pacific/Apia"))
    assert walked(times, instant("2011-12-29T12:00"), instant("2011-12-31T12:00")) == [
        instant("2011-12-29T22:30"),
        instant("2011-12-30T10:00"),
        instant("2011-12-30T22:30"),
    ]


def test_many_nominal_times_in_a_gap_are_one_fire_time() -> None:
    times = FireTimes("*/5 2 * * *", ZoneInfo("Europe/Berlin"))
    found = walked(times, instant("2026-03-29T00:00"), instant("2026-03-29T12:00"))
    assert found == [instant("2026-03-29T01:00")]


def test_what_never_comes_ends_the_search() -> None:
    times = FireTimes("0 0 30 2 *", ZoneInfo("UTC"))
    assert times.after(instant("2026-01-01T00:00")) is None
    assert times.before(instant("2026-01-01T00:00")) is None


def test_the_database_of_time_zones_is_the_one_that_was_installed_with_it() -> None:
    listed = files("tzdata").joinpath("zones").read_text().split()
    assert names() == set(listed)
    assert {"UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe"} <= names()
    for name in names():
        assert zone(name).key == name
    with pytest.raises(ValueError, match="unknown time zone Mars/Base"):
        zone("Mars/Base")


def transitions(zone: ZoneInfo, year: int) -> list[datetime]:
    """The days of a year on which the offset of a zone changes."""
    days = [datetime(year, 1, 1, tzinfo=UTC) + DAY * number for number in range(366)]
    return [
        day
        for day in days
        if day.astimezone(zone).utcoffset() != (day + DAY).astimezone(zone).utcoffset()
    ]


zones = st.sampled_from(sorted(names()))
schedules = st.sampled_from(SCHEDULES)
rules = st.tuples(st.booleans(), st.booleans())


@settings(max_examples=80)
@given(zones, st.integers(1975, 2037), schedules, rules, st.data())
@example("America/Santiago", 2026, "0 0 * * *", (False, True), None)
@example("Australia/Lord_Howe", 2026, "*/7 1-3 * * *", (True, True), None)
@example("Africa/Casablanca", 2026, "*/7 1-3 * * *", (True, False), None)
@example("America/New_York", 2026, "* 2 * * *", (True, True), None)
def test_around_each_change_of_clocks_fire_times_are_those_of_a_walk_by_the_minute(
    name: str, year: int, cron: str, rule: tuple[bool, bool], data: st.DataObject | None
) -> None:
    both, after_gap = rule
    zone = ZoneInfo(name)
    days = transitions(zone, year) or [datetime(year, 6, 1, tzinfo=UTC)]
    day = data.draw(st.sampled_from(days)) if data else days[0]
    begin, end = day - DAY / 2, day + 2 * DAY
    naive = day.replace(tzinfo=None)
    span = naive - 4 * DAY, naive + 6 * DAY
    around = fire_times(cron, zone, span, both=both, after_gap=after_gap)
    expected = [time for time in around if begin < time <= end]

    times = FireTimes(cron, zone, both=both, after_gap=after_gap)
    assert walked(times, begin, end) == expected
    assert walked_back(times, begin, end) == expected
