"""Make a status fit: etcd takes 1.5 MiB an object, spec and status together.

A run of 4,000 tasks fits by shortening what can be had elsewhere, least missed first.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from observatory.api.status import Status, TaskPhase
from observatory.api.types import JsonObject
from observatory.core.model import Desired

BUDGET = 1_400_000
"""Bytes for spec and status; the rest of the 1.5 MiB is for metadata and managedFields."""


def fitted(status: Status, desired: Desired, budget: int = BUDGET) -> JsonObject:
    """The status as JSON, shortened where it would not fit into its object."""
    wire = status.to_wire()
    room = budget - desired.size
    for shorten in (_leave_all, _drop_names_of_succeeded, _cut_messages, _drop_details):
        for row in wire.get("tasks", ()):
            shorten(row)
        if len(orjson.dumps(wire)) <= room:
            break
    return wire


Shorten = Callable[[JsonObject], None]


def _leave_all(_: JsonObject) -> None:
    """Nothing is shortened that fits."""


def _drop_names_of_succeeded(row: JsonObject) -> None:
    """A Pod can be found by its labels too."""
    if row["phase"] == TaskPhase.SUCCEEDED:
        row.pop("podName", None)


def _cut_messages(row: JsonObject) -> None:
    """The first failure keeps its message in `status.failure`."""
    if "message" in row:
        row["message"] = row["message"][:80]


def _drop_details(row: JsonObject) -> None:
    """Of what has ended, how it ended is what counts; of what succeeded, that it did."""
    if row["phase"] in (TaskPhase.SUCCEEDED, TaskPhase.FAILED):
        for field in ("podName", "podUID", "nodeName", "startTime"):
            row.pop(field, None)
    if row["phase"] == TaskPhase.SUCCEEDED:
        for field in ("completionTime", "exitCode"):
            row.pop(field, None)
