"""Workflows for the tests of the reading commands."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

from rich.text import Text

from observatory.api.types import JsonObject
from observatory.cli.style import Screen
from observatory.cli.view import View, view_of
from tests.runtime.world import observatory, task

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
BEGUN = "2026-01-01T00:00:00Z"


class Ascii(io.StringIO):
    """A stream that has no signs beyond ASCII."""

    encoding = "ascii"


class Utf8(io.StringIO):
    encoding = "utf-8"


def screen() -> Screen:
    return Screen("never", Utf8())


def plain(lines: list[Text]) -> str:
    return "\n".join(line.plain for line in lines)


def at(seconds: int) -> str:
    return (NOW - timedelta(minutes=1) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def failed() -> JsonObject:
    """A run of four tasks: one failed at its second attempt, and one was skipped for it."""
    made = observatory(
        "etl",
        task("extract"),
        task("load", "extract", retry={"limit": 1}),
        task("check", "extract"),
        task("publish", "load", "check"),
    )
    made["metadata"] |= {
        "uid": "u",
        "generation": 1,
        "resourceVersion": "7",
        "creationTimestamp": BEGUN,
    }
    made["status"] = {
        "observedGeneration": 1,
        "phase": "Failed",
        "message": 'Task "load" failed: Error (exit code 3): no such table',
        "progress": "2/4",
        "run": 1,
        "revision": "etl-abc",
        "startTime": at(0),
        "completionTime": at(40),
        "duration": "40s",
        "failure": {
            "task": "load",
            "class": "ApplicationError",
            "attempt": 2,
            "podName": "etl-load-2-x",
            "nodeName": "node-1",
            "reason": "Error",
            "exitCode": 3,
            "message": "connecting\nno such table",
            "time": at(40),
        },
        "tasks": [
            {
                "name": "extract",
                "phase": "Succeeded",
                "attempt": 1,
                "podName": "etl-extract-1-x",
                "podUID": "p1",
                "startTime": at(0),
                "completionTime": at(10),
                "exitCode": 0,
                "waitedSeconds": [0, 5],
            },
            {
                "name": "load",
                "phase": "Failed",
                "attempt": 2,
                "podName": "etl-load-2-x",
                "podUID": "p2",
                "startTime": at(30),
                "firstStartTime": at(10),
                "completionTime": at(40),
                "exitCode": 3,
                "class": "ApplicationError",
                "reason": "Error",
                "message": "connecting\nno such table",
                "failures": 2,
                "attempts": [
                    {
                        "attempt": 1,
                        "class": "ApplicationError",
                        "reason": "Error",
                        "podName": "etl-load-1-x",
                        "startTime": at(10),
                        "completionTime": at(20),
                        "exitCode": 3,
                    }
                ],
            },
            {
                "name": "check",
                "phase": "Succeeded",
                "attempt": 1,
                "podName": "etl-check-1-x",
                "podUID": "p3",
                "startTime": at(10),
                "completionTime": at(15),
                "exitCode": 0,
            },
            {
                "name": "publish",
                "phase": "Skipped",
                "reason": "DependencyFailed",
                "message": 'Task "load", which it depends on, failed',
            },
        ],
        "conditions": [],
    }
    return made


def running() -> JsonObject:
    """The same while its second task waits for an image."""
    made = failed()
    status = made["status"]
    for field in ("completionTime", "duration", "failure"):
        del status[field]
    status |= {
        "phase": "Running",
        "message": "ImagePull: load: no such image",
        "progress": "1/4",
        "waitingFor": [
            {
                "reason": "ImagePull",
                "tasks": 1,
                "task": "load",
                "message": "no such image",
                "since": at(30),
            },
            {"reason": "Dependencies", "tasks": 1, "task": "publish"},
        ],
    }
    extract, load, check, publish = status["tasks"]
    for row in (load, check):
        for field in ("completionTime", "exitCode", "class", "attempts", "failures"):
            row.pop(field, None)
        row |= {"phase": "Running", "attempt": 1, "startTime": at(10)}
        row.pop("firstStartTime", None)
    load |= {"reason": "ImagePull", "message": "no such image", "since": at(30)}
    publish["phase"] = "Pending"
    publish.pop("reason")
    publish.pop("message")
    status["tasks"] = [extract, load, check, publish]
    return made


def scheduled(**status: object) -> JsonObject:
    made = observatory("nightly", task("a"), schedule="0 3 * * *")
    made["metadata"] |= {"uid": "s", "generation": 1, "creationTimestamp": BEGUN}
    made["status"] = {
        "observedGeneration": 1,
        "phase": "Failed",
        "nextRunTimes": ["2026-01-02T03:00:00Z"],
        "conditions": [
            {
                "type": "Scheduled",
                "status": "True",
                "reason": "Scheduled",
                "message": "",
                "lastTransitionTime": BEGUN,
                "observedGeneration": 1,
            }
        ],
        "latestRun": 1,
        "runHistory": [
            {
                "number": 1,
                "schedule": "default",
                "time": BEGUN,
                "trigger": "Schedule",
                "name": "nightly-202601010000-x",
                "uid": "r",
                "phase": "Failed",
                "reason": "TaskFailed",
                "startTime": at(0),
                "completionTime": at(20),
            }
        ],
        **status,
    }
    return made


def view(observatory: JsonObject | None = None) -> View:
    return view_of(observatory or failed())
