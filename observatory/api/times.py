"""Times as the API server stores them: UTC, whole seconds, with a `Z`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def parse_time(text: str) -> datetime:
    """The time of an RFC 3339 timestamp.

    Raises:
        ValueError: It isn't one, it has no zone, or in UTC it is beyond the calendar.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    try:
        return time if time.tzinfo is UTC else time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is not between the years 1 and 9999 in UTC") from error


def format_time(time: datetime) -> str:
    """The timestamp of a time that is in UTC, cut to the second."""
    return f"{time.replace(tzinfo=None, microsecond=0).isoformat()}Z"


def micro_time(time: datetime) -> str:
    """The timestamp with its fraction, as Kubernetes writes a MicroTime."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def whole_seconds(time: datetime) -> datetime:
    """The time without its fraction.

    The API server stores whole seconds. With the fraction kept, the value read back would differ
    from the value written, and the controller would wake itself up for ever.
    """
    return time.replace(microsecond=0)


def format_duration(duration: timedelta) -> str:
    """A duration for people, such as `45s`, `1m12s` or `26h3m`."""
    seconds = max(int(duration.total_seconds()), 0)
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    if hours:
        return f"{hours}h{minutes}m"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
