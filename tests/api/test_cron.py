from datetime import UTC, datetime

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.cron import NAMED, check_schedule, is_hashed, without_hashes

TIME_ZONE = "cannot use TZ or CRON_TZ in schedule; use the timeZone field instead"


def text_of(schedule: str) -> str:
    return "; ".join(map(str, check_schedule(schedule, "spec.schedule")))


@pytest.mark.parametrize(
    "schedule",
    [
        *NAMED,
        "* * * * *",
        "30 6 * * 1-5",
        "*/15 0-6,18-23 1,15 * *",
        "0 0 * JAN-mar MON,wed,Fri",
        "0\t0  1 * *",
        "5/15 * * * *",
        "0 0 29 2 *",  # leap years
        "0 0 30 2 1",  # Mondays in February
        "0 0 31 4,5 *",
        "0 0 L * *",
        "0 0 * * 7",
        "0 0 * * FRI#2",
        "0 0 ? * 5-7",
        "H H(0-7) * * *",
        "H/15 * * * *",
    ],
)
def test_a_good_schedule_has_no_problem(schedule: str) -> None:
    assert text_of(schedule) == ""


@pytest.mark.parametrize(
    ("schedule", "detail"),
    [
        ("* * * *", "expected 5 fields, found 4"),
        ("* * * * * *", "expected 5 fields, found 6"),
        ("0 0 * * * * 2025", "expected 5 fields, found 7"),
        ("", "expected 5 fields, found 0"),
        (" \t\n", "expected 5 fields, found 0"),
        ("60 * * * *", "minute: 60 out of range 0-59"),
        ("* 24 * * *", "hour: 24 out of range 0-23"),
        ("* * 0 * *", "day of month: 0 out of range 1-31"),
        ("* * 32 * *", "day of month: 32 out of range 1-31"),
        ("* * * 13 *", "month: 13 out of range 1-12"),
        ("* * * * 8", "day of week: 8 out of range 0-7"),
        ("60 24 * * *", "minute: 60 out of range 0-59; hour: 24 out of range 0-23"),
        (f"{'9' * 99} * * * *", f"minute: {'9' * 99} out of range 0-59"),
        ("*/0 * * * *", "minute: step must be 1 or more, not 0"),
        ("1-5/0 * * * *", "minute: step must be 1 or more, not 0"),
        ("*/-1 * * * *", 'minute: "*/-1" is not a number, a range or a step'),
        ("5-1 * * * *", "minute: range 5-1 is the wrong way round"),
        ("a-b * * * *", 'minute: "a" is not a number'),
        ("0 0 * mon *", 'month: "mon" is not a number or a name'),
        (", * * * *", "minute: an item is missing at a comma"),
        ("1,,2 * * * *", "minute: an item is missing at a comma"),
        ("\u0663 * * * *", r'minute: "\u0663" is not a number, a range or a step'),
        ("R * * * *", 'minute: "r" is not a number'),
        ("0 0 * * 5#6", "day of week: #6 out of range #1-#5"),
        ("H(0-70) * * * *", "minute: 70 out of range 0-59"),
        ("0 0 30 2 *", "never fires: no month of it has such a day"),
        ("0 0 31 4,6 *", "never fires: no month of it has such a day"),
        ("0 0 31 2-6/2 *", "never fires: no month of it has such a day"),
        ("0 0 30 H *", "may never fire: H can be a month without such a day"),
        ("0 0 H(30-31) 2 *", "never fires: no month of it has such a day"),
        ("TZ=UTC 0 0 * * *", TIME_ZONE),
        ("CRON_TZ=Asia/Tokyo 0 0 * * *", TIME_ZONE),
        ("TZ=0", TIME_ZONE),
        ("TZ=", TIME_ZONE),
    ],
)
def test_a_bad_schedule_is_told_what_is_wrong_with_it(schedule: str, detail: str) -> None:
    (error,) = check_schedule(schedule, "spec.schedule")
    assert error.path == "spec.schedule"
    assert error.detail == detail


@pytest.mark.parametrize("schedule", ["@reboot", "@every 1s", "@foo", "@Daily", "@"])
def test_an_unknown_name_is_told_the_names_there_are(schedule: str) -> None:
    assert text_of(schedule) == (
        f'spec.schedule: Unsupported value: "{schedule}": supported values: "@hourly", "@daily", '
        '"@midnight", "@weekly", "@monthly", "@yearly", "@annually" (or five cron fields)'
    )


def test_the_whole_error_has_path_value_and_fact() -> None:
    assert text_of("* * * *") == (
        'spec.schedule: Invalid value: "* * * *": expected 5 fields, found 4'
    )


fields = st.text("0123456789*/,-#?LHRW()@janfeb", min_size=1, max_size=6)


@given(st.lists(fields, min_size=5, max_size=5).map(" ".join) | st.text(st.characters()))
def test_any_text_is_judged_and_what_passes_croniter_expands(schedule: str) -> None:
    if not check_schedule(schedule, "spec.schedule") and schedule not in NAMED:
        croniter.expand(without_hashes(schedule, "default/night"))


numbers = st.integers(min_value=0, max_value=70)
ranges = st.tuples(numbers, numbers).map(lambda pair: f"{pair[0]}-{pair[1]}")
days = st.integers(min_value=1, max_value=31).map(str)
months = st.lists(st.integers(min_value=1, max_value=12), min_size=1, max_size=3)


@given(days, months)
def test_never_fires_is_said_exactly_when_no_year_of_the_next_eight_has_the_day(
    day: str, month_numbers: list[int]
) -> None:
    month = ",".join(map(str, month_numbers))
    fires = any(
        _exists(year, number, int(day)) for year in range(2024, 2032) for number in month_numbers
    )
    assert bool(check_schedule(f"0 0 {day} {month} *", "spec.schedule")) is not fires


def _exists(year: int, month: int, day: int) -> bool:
    try:
        datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return False
    return True


@given(st.sampled_from(["minute", "hour"]), ranges | numbers.map(str))
def test_a_range_is_good_exactly_when_both_ends_are_and_in_order(name: str, item: str) -> None:
    schedule, limit = (f"{item} * * * *", 59) if name == "minute" else (f"* {item} * * *", 23)
    low, _, high = item.partition("-")
    good = int(low) <= int(high or low) <= limit
    assert (not check_schedule(schedule, "spec.schedule")) is good


def test_a_hash_is_the_same_for_the_same_name_and_others_for_others() -> None:
    seeds = [f"default/job-{number}/default" for number in range(200)]
    daily = [without_hashes("H H * * *", seed) for seed in seeds]

    assert daily == [without_hashes("H H * * *", seed) for seed in seeds]
    assert len(set(daily)) > 180
    minutes = {int(cron.split()[0]) for cron in daily}
    hours = {int(cron.split()[1]) for cron in daily}
    assert minutes <= set(range(60))
    assert hours == set(range(24))


@pytest.mark.parametrize(
    ("schedule", "allowed"),
    [
        ("H(10-12) 3 * * *", {f"{minute} 3 * * *" for minute in (10, 11, 12)}),
        ("0 0 1,H(2-3) * *", {"0 0 1,2 * *", "0 0 1,3 * *"}),
        ("H/30 * * * *", {f"{minute}-59/30 * * * *" for minute in range(30)}),
        ("h(0-9)/5 * * * *", {f"{minute}-9/5 * * * *" for minute in range(5)}),
        ("0 0 H * *", {f"0 0 {day} * *" for day in range(1, 29)}),
        ("0 0 * * H", {f"0 0 * * {day}" for day in range(7)}),
    ],
)
def test_a_hash_stays_within_its_range_and_reaches_all_of_it(
    schedule: str, allowed: set[str]
) -> None:
    assert {without_hashes(schedule, str(seed)) for seed in range(400)} == allowed


def test_what_has_no_hash_is_kept() -> None:
    assert without_hashes("@daily", "x") == "@daily"
    assert without_hashes("0 6 * MAR Thu", "x") == "0 6 * mar thu"
    assert [is_hashed(text) for text in ("0 6 * mar thu", "@hourly", "0 0 * * H")] == [
        False,
        False,
        True,
    ]
