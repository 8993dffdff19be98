"""The schema of the fields of `spec` that say when an Observatory runs again and again.

They drive it and act at once. None of them is copied into the runs that it makes.
"""

from __future__ import annotations

from observatory.api.openapi import DATE, array, count, label, map_by, mapping, string, time
from observatory.api.timezone import MAX_TIME_ZONE

MAX_SCHEDULE = 256
MAX_SCHEDULES = 20
MAX_BLACKOUTS = 50
MAX_DATES = 366
MAX_CATCH_UP = 100
MOST_KEPT = 1000
LONGEST_JITTER = 86_400
SHORTEST_DEADLINE = 10
YEAR_SECONDS = 366 * 86_400

_CRON = (
    "five cron fields (minute, hour, day of month, month, day of week), such as `30 6 * * 1-5`, or "
    "one of `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. `H` in the place of a number "
    "is one that is hashed from the name: `H 3 * * *` fires once between 3:00 and 3:59, and not "
    "all workflows at once."
)

_TIME_ZONE = string(
    "The IANA name of the time zone whose clocks count, such as `Europe/Berlin`. `UTC` unless "
    "given.",
    minLength=1,
    maxLength=MAX_TIME_ZONE,
)

_ENTRY = mapping(
    "One of several schedules.",
    "name",
    "schedule",
    name=label("The name of the schedule, unique in the Observatory; on each of its runs."),
    schedule=string(f"When it fires: {_CRON}", minLength=1, maxLength=MAX_SCHEDULE),
    timeZone=_TIME_ZONE
    | {"description": "The time zone of this schedule. That of the Observatory unless given."},
)

_BLACKOUT = mapping(
    "Times at which no run begins: either days, or one span, or spans that come again and again.",
    "name",
    dates=array(
        "Whole days, from midnight to midnight: `2026-12-31`, or each year `12-25`.",
        string("A day.", pattern=DATE),
        maxItems=MAX_DATES,
    ),
    durationSeconds=count(
        "How long each span of `schedule` takes.", minimum=60, maximum=YEAR_SECONDS
    ),
    end=time("The end of the one span; runs begin again at it."),
    name=label("What the times that are skipped for it say."),
    schedule=string(
        "When spans begin that come again and again: five cron fields, without `H`.",
        minLength=1,
        maxLength=MAX_SCHEDULE,
    ),
    start=time("The beginning of the one span."),
    timeZone=_TIME_ZONE
    | {"description": "The time zone of `dates` and `schedule`. The Observatory's unless given."},
)

SCHEDULING = {
    "blackouts": map_by(
        "name",
        "A calendar of times at which no run begins, such as maintenance windows and holidays. A "
        "fire time within one is skipped, and `status.skippedRuns` says so.",
        _BLACKOUT,
        maxItems=MAX_BLACKOUTS,
    ),
    "catchUp": mapping(
        "What becomes of fire times that were missed, while no operator ran or the Observatory was "
        "suspended.",
        limit=count(
            "With `All`, how many of them run at most: the latest ones. 10 unless given.",
            minimum=1,
            maximum=MAX_CATCH_UP,
        ),
        policy=string(
            "`None`: they are skipped, except one of the last minute. `Latest`: the latest one "
            "runs, as with a CronJob. `All`: each of them runs, up to `limit`. `Latest` unless "
            "given.",
            enum=["None", "Latest", "All"],
        ),
    ),
    "concurrencyPolicy": string(
        "What happens at a fire time while an earlier run is on. `Allow`: they run side by side. "
        "`Forbid`: the new one is skipped. `Replace`: the earlier one is stopped, its `finally` "
        "runs, and when it has ended the new one begins. `Queue`: it begins when those before it "
        "have ended. `Allow` unless given, as with a CronJob.",
        enum=["Allow", "Forbid", "Replace", "Queue"],
    ),
    "daylightSaving": mapping(
        "What happens at nominal times that clocks show twice or never, since they are changed.",
        repeatedTimes=string(
            "A time that comes twice when clocks go back fires the `First` time, or `Both` times. "
            "`First` unless given.",
            enum=["First", "Both"],
        ),
        skippedTimes=string(
            "A time that is left out when clocks go forward: `RunAfter` fires at the end of the "
            "gap, `Skip` doesn't fire. `RunAfter` unless given.",
            enum=["RunAfter", "Skip"],
        ),
    ),
    "failedRunsHistoryLimit": count(
        "How many runs that have failed are kept. 1 unless given, as with a CronJob.",
        minimum=0,
        maximum=MOST_KEPT,
    ),
    "jitterSeconds": count(
        "Runs begin up to so many seconds after their fire time: always the same number for one "
        "schedule of one Observatory, and not the same for all. 0 unless given.",
        minimum=0,
        maximum=LONGEST_JITTER,
    ),
    "pauseAfterConsecutiveFailures": count(
        "After so many runs in a row that have failed, no more is started by schedule, and the "
        "condition `Scheduled` says so. A run that succeeds, an edit of the spec, or a suspension "
        "starts the count anew. Without it there is no such limit.",
        minimum=1,
        maximum=MOST_KEPT,
    ),
    "schedule": string(
        f"When to run again and again: {_CRON} An Observatory with a schedule is a template: it "
        "runs no task itself, but creates an Observatory for each run.",
        minLength=1,
        maxLength=MAX_SCHEDULE,
    ),
    "schedules": map_by(
        "name",
        "Several schedules in the place of `schedule`, each with a name and a time zone of its "
        "own.",
        _ENTRY,
        maxItems=MAX_SCHEDULES,
    ),
    "startingDeadlineSeconds": count(
        "How late a run may begin after its fire time, for whatever reason; later, it is skipped. "
        "Without it there is no such limit.",
        minimum=SHORTEST_DEADLINE,
        maximum=YEAR_SECONDS,
    ),
    "successfulRunsHistoryLimit": count(
        "How many runs that have succeeded are kept. 3 unless given, as with a CronJob.",
        minimum=0,
        maximum=MOST_KEPT,
    ),
    "timeZone": _TIME_ZONE,
}
"""The properties of `spec`, by their names."""
