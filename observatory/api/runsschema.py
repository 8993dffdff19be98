"""The schema of the fields of `status` that only a scheduled Observatory has: its runs."""

from __future__ import annotations

from observatory.api.openapi import array, integer, label, map_by, mapping, string, time
from observatory.api.scheduleschema import MAX_SCHEDULES

NEXT_SHOWN = 5
HISTORY_SHOWN = 20
SKIPPED_SHOWN = 20
MAX_QUEUED = 100
MAX_ACTIVE = 500
TRIGGERS = ("Schedule", "RunNow", "Backfill")

_REQUIRED = ("number", "schedule", "time", "trigger")
_WHAT = {
    "number": integer("Which run of this Observatory it is; the first is 1."),
    "schedule": string("The name of its schedule; `default` is that of `spec.schedule`."),
    "time": time("Its fire time, without jitter; of a run that was asked for, when it was."),
    "trigger": string("Why it runs.", enum=list(TRIGGERS)),
}

_QUEUED = mapping(
    "A run that is due and has not begun.",
    *_REQUIRED,
    message=string("What it waits for, in words."),
    reason=string(
        "What it waits for, in one word: `RunInProgress`, `RequesterNotChecked`, or why the API "
        "server took no Observatory, such as `QuotaExceeded`."
    ),
    **_WHAT,
)

_ACTIVE = mapping(
    "A run that has begun and not ended.",
    *_REQUIRED,
    "name",
    "startTime",
    "uid",
    cancelReason=string("Why it is being ended by the operator, while it is."),
    name=label("The Observatory that is this run."),
    retry=string("The request to retry it that it runs again for."),
    startTime=time("When it began."),
    uid=string("The UID of the Observatory that is this run, whatever other has its name."),
    **_WHAT,
)

_ENDED = mapping(
    "A run that has ended.",
    *_REQUIRED,
    "completionTime",
    "name",
    "phase",
    "startTime",
    "uid",
    completionTime=time("When it ended."),
    name=label("The Observatory that was this run; it may be gone."),
    phase=string("How it ended.", enum=["Succeeded", "Failed"]),
    reason=string("Why it failed, in one word."),
    startTime=time("When it began."),
    uid=string("The UID of the Observatory that was this run."),
    **_WHAT,
)

_SKIPPED = mapping(
    "A fire time at which no run has begun, or several in a row.",
    "reason",
    "schedule",
    "time",
    message=string("The reason in words."),
    reason=string(
        "Why: `Missed` (by `catchUp`), `DeadlineExceeded` (`startingDeadlineSeconds`), `Blackout`, "
        "`RunInProgress` (`Forbid`), `Superseded` (by a later one, with `Replace`), `QueueFull`, "
        "`RequesterNotAllowed` (to create Pods), or `Stopped` (a request took it off the queue)."
    ),
    schedule=string("The name of the schedule."),
    time=time("The fire time; of several, the first."),
    until=time("Of several, the last."),
)

_HANDLED = mapping(
    "Up to where a schedule has been seen to.",
    "handledTime",
    "name",
    "schedule",
    "timeZone",
    handledTime=time("Each fire time up to this one has had its run, or has been skipped."),
    name=string("The name of the schedule."),
    schedule=string("The expression that this is about: an edited one begins anew."),
    timeZone=string("The time zone that this is about."),
)

_BACKFILL = mapping(
    "Runs for a range of past fire times, as asked for by a request.",
    "handledTime",
    "maxConcurrent",
    "nonce",
    "since",
    "until",
    completionTime=time("When the last of its runs ended."),
    created=integer("How many of its runs have begun."),
    failed=integer("How many of them have failed."),
    handledTime=time("Each fire time of the range up to this one has had its run."),
    maxConcurrent=integer("How many of its runs may be on at the same time."),
    nonce=string("The value of the annotation that asked for it."),
    since=time("The beginning of the range, which belongs to it."),
    stopped=string("Why it was ended before its time."),
    succeeded=integer("How many of them have succeeded."),
    until=time("The end of the range, which belongs to it."),
)

RUNS = {
    "activeRuns": array("The runs that have begun and not ended.", _ACTIVE, maxItems=MAX_ACTIVE),
    "backfill": _BACKFILL,
    "consecutiveFailures": integer("How many runs in a row have failed.", minimum=0),
    "lastRunTime": time("When a run last began."),
    "lastScheduleTime": time("The latest fire time that has had its run; as in a CronJob."),
    "lastSuccessTime": time("When a run last ended with success."),
    "latestRun": integer("The number of the latest run.", minimum=0),
    "nextRunTimes": array(
        "When the next runs begin: five instants, with jitter, without blackouts.",
        time("An instant."),
        maxItems=NEXT_SHOWN,
    ),
    "queuedRuns": array("The runs that are due and have not begun.", _QUEUED, maxItems=MAX_QUEUED),
    "runHistory": array(
        "The latest runs that have ended, the oldest first. Their Observatories are kept as the "
        "history limits say; this is kept longer.",
        _ENDED,
        maxItems=HISTORY_SHOWN,
    ),
    "schedules": map_by(
        "name", "The schedules as they are known.", _HANDLED, maxItems=MAX_SCHEDULES
    ),
    "skippedRuns": array(
        "The latest fire times at which no run has begun, and why; the oldest first.",
        _SKIPPED,
        maxItems=SKIPPED_SHOWN,
    ),
}
"""The properties of `status`, by their names."""
