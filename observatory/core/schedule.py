"""When and how an Observatory runs again and again: the scheduling fields of a valid spec."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from observatory.api.cron import without_hashes
from observatory.api.jitter import fraction
from observatory.api.names import Key
from observatory.api.timezone import UTC_NAME, zone
from observatory.api.types import JsonObject
from observatory.core.blackouts import Blackout, Window, blackout_of
from observatory.core.firetimes import FireTimes

DEFAULT_NAME = "default"
"""The name of the schedule in `spec.schedule`."""


class ConcurrencyPolicy(StrEnum):
    """What happens at a fire time while an earlier run is on."""

    ALLOW = "Allow"
    FORBID = "Forbid"
    REPLACE = "Replace"
    QUEUE = "Queue"


class CatchUp(StrEnum):
    """What becomes of fire times that were missed."""

    NONE = "None"
    LATEST = "Latest"
    ALL = "All"


@dataclass(frozen=True, slots=True)
class Entry:
    """One schedule. `jitter` is how long after a fire time its run begins."""

    name: str
    schedule: str
    time_zone: str
    times: FireTimes
    jitter: timedelta


@dataclass(frozen=True, slots=True)
class Schedule:
    """All schedules of an Observatory, and what their runs have to observe."""

    entries: tuple[Entry, ...]
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy.ALLOW
    starting_deadline: timedelta | None = None
    catch_up: CatchUp = CatchUp.LATEST
    catch_up_limit: int = 10
    blackouts: tuple[Blackout, ...] = ()
    successful_limit: int = 3
    failed_limit: int = 1
    failure_limit: int | None = None

    def blackout(self, time: datetime) -> Window | None:
        """The span that keeps a run from beginning at a fire time; of several, the longest."""
        windows = [window for each in self.blackouts if (window := each.at(time))]
        return max(windows, key=lambda window: window.end, default=None)


def is_scheduled(spec: JsonObject) -> bool:
    """Whether a spec, however wrong, asks for runs by a schedule."""
    return bool(spec.get("schedule") or spec.get("schedules"))


def schedule_of(key: Key, spec: JsonObject) -> Schedule | None:
    """The schedule of a valid spec; None where there is none."""
    if not is_scheduled(spec):
        return None
    get = spec.get
    catch_up, deadline = get("catchUp") or {}, get("startingDeadlineSeconds")
    time_zone = get("timeZone") or UTC_NAME
    policy = get("concurrencyPolicy") or ConcurrencyPolicy.ALLOW
    successful, failed = get("successfulRunsHistoryLimit"), get("failedRunsHistoryLimit")
    return Schedule(
        entries=entries_of(key, spec),
        concurrency=ConcurrencyPolicy(policy),
        starting_deadline=None if deadline is None else timedelta(seconds=deadline),
        catch_up=CatchUp(catch_up.get("policy") or CatchUp.LATEST),
        catch_up_limit=catch_up.get("limit") or 10,
        blackouts=tuple(blackout_of(item, time_zone) for item in get("blackouts") or ()),
        successful_limit=3 if successful is None else successful,
        failed_limit=1 if failed is None else failed,
        failure_limit=get("pauseAfterConsecutiveFailures"),
    )


def entries_of(key: Key, spec: JsonObject) -> tuple[Entry, ...]:
    """The schedules of a valid spec, as they are for the Observatory of this key."""
    single = {"name": DEFAULT_NAME, "schedule": spec.get("schedule")}
    items = spec.get("schedules") or [single]
    rules = spec.get("daylightSaving") or {}
    most = spec.get("jitterSeconds") or 0
    entries = []
    for item in items:
        name, schedule = item["name"], item["schedule"]
        time_zone = item.get("timeZone") or spec.get("timeZone") or UTC_NAME
        seed = f"{key}/{name}"
        times = FireTimes(
            cron=without_hashes(schedule, seed),
            zone=zone(time_zone),
            both=rules.get("repeatedTimes") == "Both",
            after_gap=rules.get("skippedTimes") != "Skip",
        )
        jitter = timedelta(seconds=int(fraction(seed, 0) * (most + 1)))
        entries.append(Entry(name, schedule, time_zone, times, jitter))
    return tuple(entries)
