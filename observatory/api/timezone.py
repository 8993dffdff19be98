"""Time zones by their IANA names, from the data that is installed with the operator.

The `tzdata` package says which names there are: a name is a key into it, never a path.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from observatory.api.fielderrors import FieldError, did_you_mean, not_found

UTC_NAME = "UTC"
MAX_TIME_ZONE = 64


@cache
def names() -> frozenset[str]:
    """The names of all time zones."""
    return frozenset(files("tzdata").joinpath("zones").read_text("utf-8").split())


def zone(name: str) -> ZoneInfo:
    """The time zone of that name, which must be one of `names`.

    Raises:
        ValueError: It is none of them.
    """
    if name not in names():
        raise ValueError(f"unknown time zone {name}")
    return ZoneInfo(name)


def check_time_zone(name: str, path: str) -> list[FieldError]:
    """What is wrong with the name of a time zone."""
    if name in names():
        return []
    hint = did_you_mean(name, names()) or "give an IANA name, such as Europe/Berlin or UTC"
    return [not_found(path, name, hint)]
