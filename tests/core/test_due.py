"""What is due, what is skipped, what comes next: nothing is left out and nothing comes twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.runs import Skipped
from observatory.core.blackouts import blackout_of
from observatory.core.due import add_skipped, between, due, next_starts
from observatory.core.schedule import CatchUp, Schedule, schedule_of
from tests.core.builders import KEY, NOW
from tests.core.family import at
from tests.core.walk import fire_times

CRON = "*/10 * * * *"
WINDOW = {"name": "upgrade", "start": "2026-01-01T13:00:00Z", "end": "2026-01-01T14:05:00Z"}


def schedule(**spec: object) -> Schedule:
    made = schedule_of(KEY, {"schedule": CRON, **spec})
    assert made is not None
    return made


def walked(begin: datetime, end: datetime) -> list[datetime]:
    days = (begin.replace(tzinfo=None, hour=0, minute=0), end.replace(tzinfo=None))
    span = (days[0], days[1] + timedelta(days=1))
    found = fire_times(CRON, schedule().entries[0].times.zone, span, both=False, after_gap=True)
    return [time for time in found if begin < time <= end]


@given(
    st.integers(0, 400),
    st.integers(0, 400),
    st.sampled_from(CatchUp),
    st.integers(1, 5),
    st.one_of(st.none(), st.integers(10, 9000)),
    st.sampled_from(([], [WINDOW])),
)
def test_each_fire_time_since_is_due_or_skipped_and_none_is_both(  # noqa: PLR0917
    begin: int,
    length: int,
    policy: CatchUp,
    limit: int,
    deadline: int | None,
    blackouts: list[object],
) -> None:
    catch_up = {"policy": policy.value} | ({"limit": limit} if policy is CatchUp.ALL else {})
    made = schedule(
        catchUp=catch_up,
        startingDeadlineSeconds=deadline,
        blackouts=blackouts,
    )
    handled = NOW + timedelta(minutes=begin)
    now = handled + timedelta(minutes=length, seconds=7)
    seen = due(made, made.entries[0], handled, now)

    times = walked(handled, now)
    skipped = [
        time
        for skip in seen.skipped
        for time in times
        if skip.time <= time <= (skip.until or skip.time)
    ]
    assert sorted([*seen.times, *skipped]) == times
    assert seen.handled == (times[-1] if times else handled)
    assert len(seen.times) <= (limit if policy is CatchUp.ALL else 1)
    for time in seen.times:
        assert made.blackout(time) is None
        assert deadline is None or now - time <= timedelta(seconds=deadline)
    free = [time for time in times if made.blackout(time) is None]
    if deadline is None and policy is CatchUp.ALL:
        assert list(seen.times) == free[-limit:]


@pytest.mark.parametrize(
    ("item", "within", "without"),
    [
        (
            WINDOW,
            ["2026-01-01T13:00", "2026-01-01T14:04"],
            ["2026-01-01T12:59", "2026-01-01T14:05"],
        ),
        (
            {"name": "days", "dates": ["2026-12-31", "12-25"], "timeZone": "America/New_York"},
            ["2026-12-31T05:00", "2027-01-01T04:59", "2030-12-25T12:00"],
            ["2026-12-31T04:59", "2027-01-01T05:00", "2027-12-31T12:00"],
        ),
        (
            {"name": "nights", "schedule": "0 22 * * 5", "durationSeconds": 3600 * 8},
            ["2026-01-02T22:00", "2026-01-03T05:59"],
            ["2026-01-02T21:59", "2026-01-03T06:00", "2026-01-03T22:00"],
        ),
    ],
)
def test_blackouts_begin_at_their_start_and_end_before_their_end(
    item: dict[str, object], within: list[str], without: list[str]
) -> None:
    blackout = blackout_of(item, "UTC")
    for text in within:
        window = blackout.at(at(text))
        assert window is not None
        assert window.start <= at(text) < window.end
    assert [blackout.at(at(text)) for text in without] == [None] * len(without)


def test_a_day_on_which_clocks_change_is_as_long_as_it_is() -> None:
    blackout = blackout_of({"name": "d", "dates": ["2026-03-29"]}, "Europe/Berlin")
    window = blackout.at(at("2026-03-29T12:00"))
    assert window is not None
    assert window.end - window.start == timedelta(hours=23)


def test_next_starts_are_those_of_all_schedules_in_order_and_each_once() -> None:
    made = schedule_of(
        KEY,
        {
            "schedules": [
                {"name": "a", "schedule": "0 13 * * *"},
                {"name": "b", "schedule": "0 14 * * *", "timeZone": "Europe/Berlin"},
                {"name": "c", "schedule": "30 12 * * *"},
            ]
        },
    )
    assert made is not None
    assert next_starts(made, dict.fromkeys("abc", NOW), 3) == (
        at("12:30"),
        at("13:00"),
        at("2026-01-02T12:30"),
    )


def test_between_has_both_ends_and_no_blackouts() -> None:
    found = between(schedule(blackouts=[WINDOW]), at("12:49:59"), at("14:20"))
    assert [time for time, _ in found] == [at("12:50"), at("14:10"), at("14:20")]


def test_skipped_times_are_joined_where_they_follow_each_other_and_the_oldest_go() -> None:
    one = Skipped("s", at("12:10"), "Missed", "m")
    two = Skipped("s", at("12:20"), "Missed", "m")
    other = Skipped("s", at("12:20"), "Blackout", "m")

    assert add_skipped((one,), two, at("12:10")) == (
        Skipped("s", at("12:10"), "Missed", "m", at("12:20")),
    )
    assert add_skipped((one,), two, at("12:15")) == (one, two)
    assert add_skipped((one,), other, at("12:10")) == (one, other)
    many: tuple[Skipped, ...] = ()
    for number in range(30):
        time = datetime(2026, 1, 1, number % 24, tzinfo=UTC)
        many = add_skipped(many, Skipped("s", time, f"R{number}", "m"), None)
    assert [skip.reason for skip in many] == [f"R{number}" for number in range(10, 30)]
