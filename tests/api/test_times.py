from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from observatory.api.times import format_duration, format_time, parse_time, whole_seconds

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T12:00:00Z",
        "2026-01-01T12:00:00+00:00",
        "2026-01-01T14:00:00+02:00",
        "2026-01-01T12:00:00.000000Z",
    ],
)
def test_a_timestamp_is_read_in_utc(text: str) -> None:
    time = parse_time(text)

    assert (time, time.tzinfo) == (NOON, UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-01-01T12:00:00",
        # Years 0 and 10000 in UTC.
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_no_timestamp_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_time(text)


def test_what_is_written_is_read_back_without_its_fraction() -> None:
    time = NOON + timedelta(microseconds=999_999)

    assert format_time(time) == "2026-01-01T12:00:00Z"
    assert parse_time(format_time(time)) == whole_seconds(time) == NOON


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0.9, "0s"), (59, "59s"), (60, "1m0s"), (3599, "59m59s"), (94_000, "26h6m")],
)
def test_a_duration_for_people(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text
