"""Make a status fit: etcd takes 1.5 MiB an object, spec and status together.

A run of 4,000 tasks fits by shortening what can be had elsewhere, least missed first. What the
start protocol decides by is never shortened: phase, attempt, and the UID of the Pod that runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import orjson

from observatory.api.names import revision_hash
from observatory.api.status import Status
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.api.types import JsonObject
from observatory.core.model import Desired, Identity
from observatory.core.pods import name_of
from observatory.core.trigger import TRIGGER_RULE

BUDGET = 1_400_000
"""Bytes for spec and status; the rest of the 1.5 MiB is for metadata and managedFields."""
LIMIT = 1_500_000
"""Bytes for spec and status where all that can be has been left out of the status."""
ROW_SIZE = 45
"""Bytes of the longest row of an ended or untried task in its shortest form, but for its name."""
BRANCH_SIZE = 20
"""Bytes that such a row has in addition where tasks have trigger rules or ignored failures."""
UID_SIZE = 160
"""Bytes that only the row of a running or pausing task has: `podUID`, and what retries need."""
SUMMARY_SIZE = 16_000
"""Bytes of everything but the rows: conditions, what is waited for, the first failure."""


def fitted(status: Status, desired: Desired, budget: int = BUDGET) -> JsonObject:
    """The status as JSON, shortened where it would not fit into its object."""
    wire = status.to_wire()
    room = budget - desired.size
    for shorten in _STEPS:
        for row in (*wire.get("tasks", ()), *wire.get("finally", ())):
            shorten(row)
        if len(orjson.dumps(wire)) <= room:
            break
    return wire


def room_for_pods(size: int, names: Iterable[str], *, branches: bool = False) -> int:
    """How many of these tasks may run at once beside a spec of that size; negative for none.

    `branches` says whether one of them has a trigger rule of its own, or ignored failures.

    What has started must be recorded, and so must each end: a status that can't be stored would
    stop the run without a word.
    """
    row = ROW_SIZE + (BRANCH_SIZE if branches else 0)
    rows = sum(row + len(name) for name in names)
    return (LIMIT - size - SUMMARY_SIZE - rows) // UID_SIZE


def restored(status: Status, desired: Desired) -> Status:
    """A status that was stored shortened, with what can be derived: the names of running Pods."""
    nameless = [
        task for task in status.tasks if task.phase is TaskPhase.RUNNING and task.pod_name is None
    ]
    if not nameless:
        return status
    names = {task.name: _pod_name(task, status, desired) for task in nameless}
    rows = (replace(row, pod_name=names.get(row.name, row.pod_name)) for row in status.tasks)
    return replace(status, tasks=tuple(rows))


def _pod_name(task: TaskStatus, status: Status, desired: Desired) -> str:
    revision = revision_hash(status.revision or "")
    attempt = Identity(status.run, revision, task.name, task.attempt)
    return name_of(attempt, desired.key.name, desired.uid)


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
    row.pop("attempts", None)
    row.pop("waitedSeconds", None)
    if row["phase"] in (TaskPhase.SUCCEEDED, TaskPhase.FAILED):
        for field in ("podName", "podUID", "nodeName", "startTime", "firstStartTime", "memory"):
            row.pop(field, None)
    if row["phase"] == TaskPhase.SUCCEEDED:
        for field in ("completionTime", "exitCode"):
            row.pop(field, None)


def _drop_words_of_waits(row: JsonObject) -> None:
    """`status.waitingFor` has one message a reason."""
    if not TaskPhase(row["phase"]).ended:
        row.pop("message", None)


def _drop_times_of_waits(row: JsonObject) -> None:
    """`status.waitingFor` says since when the first of them has waited."""
    if not TaskPhase(row["phase"]).ended:
        row.pop("since", None)


def _drop_names_of_running(row: JsonObject) -> None:
    """The name follows from the attempt: `restored` brings it back."""
    if not TaskPhase(row["phase"]).ended:
        row.pop("podName", None)
        row.pop("startTime", None)


_DECISIONS = frozenset({"name", "phase", "attempt", "ignored"})
_DECISIONS_BEFORE_THE_END = _DECISIONS | {
    "podUID",
    "failures",
    "disruptions",
    "firstStartTime",
    "nextAttemptTime",
    "cancelReason",
    "memory",
}


def _keep_decisions(row: JsonObject) -> None:
    """What is left is what the protocol decides by; the reasons are in the summary."""
    kept = _DECISIONS if TaskPhase(row["phase"]).ended else _DECISIONS_BEFORE_THE_END
    if row["phase"] == TaskPhase.SKIPPED and row.get("reason") == TRIGGER_RULE:
        kept |= {"reason"}  # of all reasons to be skipped the one that is no failure
    for field in row.keys() - kept:
        del row[field]


_STEPS: tuple[Shorten, ...] = (
    _leave_all,
    _drop_names_of_succeeded,
    _cut_messages,
    _drop_details,
    _drop_words_of_waits,
    _drop_times_of_waits,
    _drop_names_of_running,
    _keep_decisions,
)
