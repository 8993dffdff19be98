"""How values get onto the wire: what is unknown is left out."""

from __future__ import annotations

from datetime import datetime

from observatory.api.times import format_time, parse_time
from observatory.api.types import JsonObject


def put(item: JsonObject, field: str, value: object) -> None:
    """Set the field, unless the value is None."""
    if value is not None:
        item[field] = value


def put_time(item: JsonObject, field: str, time: datetime | None) -> None:
    """Set the field to the timestamp, unless the time is None."""
    if time is not None:
        item[field] = format_time(time)


def optional_time(text: str | None) -> datetime | None:
    """The time of a timestamp that may be absent.

    Raises:
        ValueError: It is there, and no timestamp.
    """
    return None if text is None else parse_time(text)
