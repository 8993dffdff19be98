"""`observatory schedule`: when a schedule fires, without a cluster."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from observatory.api.fielderrors import FieldError, list_errors
from observatory.api.names import KIND, Key
from observatory.api.scheduleschema import MAX_SCHEDULE
from observatory.api.text import one_line
from observatory.api.times import format_duration, format_time, parse_time
from observatory.api.types import JsonObject
from observatory.cli.documents import read_documents
from observatory.cli.yamlvalues import DocumentError
from observatory.core.due import starts_from
from observatory.core.schedule import Schedule, schedule_of
from observatory.core.schedulechecks import check_scheduling
from observatory.core.validation import validate
from observatory.runtime.clock import SystemClock

MOST = 10_000
_FLAGS = {
    "spec.schedule": "SCHEDULE",
    "spec.timeZone": "--time-zone",
}
_EPILOG = """\
examples:
  observatory schedule "30 6 * * 1-5"
  observatory schedule "H 3 * * 1-5" --time-zone Europe/Berlin --name etl/nightly
  observatory schedule "30 2 * * *" --time-zone America/New_York --from 2026-11-01T00:00:00Z
  observatory schedule --file nightly.yaml        with its time zone, jitter and blackouts
  observatory schedule @daily --output json | jq -r '.runs[].time'

H is hashed from namespace, name and schedule name: --name says whose. Exit codes: 0 it fires, 1 it
is not a schedule or never fires, 2 a file could not be read.
"""


class _UsageError(Exception):
    """The command can't be carried out; the message says why. `code` is its exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Shown:
    """One run that will begin: of which schedule, when, and on whose clocks."""

    schedule: str
    time: datetime
    local: datetime


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the parser of the command."""
    parser = subparsers.add_parser(
        name,
        help="say when a schedule fires, without a cluster",
        description="Shows when the next runs of a schedule begin, as the operator would begin "
        "them: on the clocks of its time zone, through changes to and from daylight saving.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("schedule", nargs="?", metavar="SCHEDULE", help='such as "H 3 * * 1-5"')
    parser.add_argument("--file", "-f", metavar="FILE", help="the schedules of a workflow file")
    parser.add_argument("--time-zone", metavar="ZONE", help="an IANA name (default: UTC)")
    parser.add_argument(
        "--name",
        metavar="[NAMESPACE/]NAME",
        default="default/my-workflow",
        help="the Observatory that H is hashed for (default: default/my-workflow)",
    )
    parser.add_argument(
        "--repeated-times",
        choices=("First", "Both"),
        default="First",
        help="which of two equal times fire when clocks go back (default: First)",
    )
    parser.add_argument(
        "--skipped-times",
        choices=("RunAfter", "Skip"),
        default="RunAfter",
        help="what a time does that clocks leave out (default: RunAfter)",
    )
    parser.add_argument("--from", dest="since", metavar="TIME", help="begin then (default: now)")
    parser.add_argument(
        "--count", type=int, default=5, metavar="N", help=f"how many, up to {MOST} (default: 5)"
    )
    parser.add_argument("--output", "-o", choices=("text", "json"), default="text")
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Carry out the command."""
    now = SystemClock().now()
    try:
        since = _since(options.since, now)
        key, schedule = _given(options)
    except _UsageError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return error.code
    shown = coming(schedule, since, options.count)
    if options.output == "json":
        print(json.dumps(_as_json(key, schedule, shown), indent=2))
    else:
        _print(schedule, shown, now)
    return 0 if shown else 1


def coming(schedule: Schedule, since: datetime, count: int) -> list[Shown]:
    """The next runs of all schedules, in order."""
    found = []
    for entry in schedule.entries:
        times = islice(starts_from(schedule, entry, since - entry.jitter), count)
        found += [Shown(entry.name, time, time.astimezone(entry.times.zone)) for time in times]
    return sorted(found, key=lambda each: (each.time, each.schedule))[:count]


def _since(text: str | None, now: datetime) -> datetime:
    try:
        return parse_time(text) if text else now
    except ValueError as error:
        raise _UsageError(
            f"--from: {error}; give a time such as 2026-01-31T12:00:00Z", 2
        ) from error


def _given(options: argparse.Namespace) -> tuple[Key, Schedule]:
    """The schedule that is asked about, and the Observatory that it is of."""
    if not 1 <= options.count <= MOST:
        raise _UsageError(f"--count must be from 1 to {MOST}, not {options.count}", 2)
    if (options.schedule is None) == (options.file is None):
        raise _UsageError("give a SCHEDULE or a --file (see observatory schedule --help)", 2)
    if options.file is not None:
        return _of_file(options.file)
    namespace, _, name = options.name.rpartition("/")
    key = Key(namespace or "default", name)
    spec: JsonObject = {
        "schedule": options.schedule,
        "timeZone": options.time_zone or "UTC",
        "daylightSaving": {
            "repeatedTimes": options.repeated_times,
            "skippedTimes": options.skipped_times,
        },
    }
    if len(options.schedule) > MAX_SCHEDULE:
        raise _UsageError(f"SCHEDULE: Too long: may not be more than {MAX_SCHEDULE} characters")
    if errors := list(check_scheduling(spec)):
        raise _UsageError("; ".join(map(_told, errors)))
    schedule = schedule_of(key, spec)
    if schedule is None:
        raise _UsageError("SCHEDULE: Required value: must not be empty")
    return key, schedule


def _told(error: FieldError) -> str:
    text = str(error)
    flag = _FLAGS.get(error.path)
    return text.replace(error.path, flag, 1) if flag else text


def _of_file(file: str) -> tuple[Key, Schedule]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        documents = [document.value for document in read_documents(text)]
    except (OSError, UnicodeDecodeError, DocumentError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise _UsageError(f"{file}: {reason}", 2) from error
    for found in documents:
        if not isinstance(found, dict) or found.get("kind") != KIND:
            continue
        if errors := validate(found):
            raise _UsageError(f"{file}: {list_errors([str(error) for error in errors])}")
        metadata = found["metadata"]
        key = Key(metadata.get("namespace") or "default", metadata.get("name") or "")
        if (schedule := schedule_of(key, found["spec"])) is not None:
            return key, schedule
    raise _UsageError(f"{file}: has no {KIND} with a schedule")


def _print(schedule: Schedule, shown: list[Shown], now: datetime) -> None:
    for entry in schedule.entries:
        name = f"{entry.name}: " if len(schedule.entries) > 1 else ""
        hashed = f" (H: {entry.times.cron})" if entry.times.cron != entry.schedule.lower() else ""
        jitter = f", {format_duration(entry.jitter)} later by jitter" if entry.jitter else ""
        print(one_line(f"{name}{entry.schedule}{hashed} in {entry.time_zone}{jitter}"))
    if not shown:
        print("It never fires, or blackouts cover each of its times.", file=sys.stderr)
    several = len(schedule.entries) > 1
    width = max((len(each.schedule) for each in shown), default=0)
    for each in shown:
        local = f"{each.local:%a %Y-%m-%d %H:%M:%S} {each.local.isoformat()[19:]}"
        away = each.time - now
        ahead = f"in {format_duration(away)}" if away.total_seconds() > 0 else "past"
        name = f"{each.schedule:<{width}}  " if several else ""
        print(f"  {name}{local}  {format_time(each.time)}  {ahead}")


def _as_json(key: Key, schedule: Schedule, shown: list[Shown]) -> JsonObject:
    return {
        "observatory": str(key),
        "schedules": [
            {
                "name": entry.name,
                "schedule": entry.schedule,
                "cron": entry.times.cron,
                "timeZone": entry.time_zone,
                "jitterSeconds": int(entry.jitter.total_seconds()),
            }
            for entry in schedule.entries
        ],
        "runs": [
            {
                "schedule": each.schedule,
                "time": format_time(each.time),
                "local": each.local.isoformat(),
            }
            for each in shown
        ],
    }
