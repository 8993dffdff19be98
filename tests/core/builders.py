"""Small worlds for the tests of the planner."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from observatory.api.names import API_VERSION, KIND, Key, revision_hash
from observatory.api.status import Status
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.api.types import JsonObject
from observatory.core.desired import desire
from observatory.core.model import (
    Answers,
    Desired,
    Identity,
    Observed,
    Outcome,
    Plan,
    Pod,
    PodRef,
    Program,
)
from observatory.core.plan import plan
from observatory.core.pods import name_of
from observatory.core.settle import settle

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = Key("default", "night")
UID = "uid-of-night"
SUCCEEDED = Outcome(succeeded=True, exit_code=0, finished_at=NOW)
FAILED = Outcome(succeeded=False, reason="Error", message="boom", exit_code=3, finished_at=NOW)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def manifest(tasks: dict[str, list[str]], **spec: object) -> JsonObject:
    """An Observatory of these tasks, each with its dependencies."""
    items = [
        {"name": name, "image": "busybox:1.36", **({"dependencies": needs} if needs else {})}
        for name, needs in tasks.items()
    ]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": KEY.name, "namespace": KEY.namespace, "uid": UID, "generation": 1},
        "spec": {"tasks": items, "podRetention": "All", **spec},
    }


def wanted(tasks: dict[str, list[str]], **spec: object) -> Desired:
    return desire(manifest(tasks, **spec))


CHAIN = wanted({"a": [], "b": ["a"], "c": ["b"]})
TRIO = wanted({"a": [], "b": [], "c": []})


def program(desired: Desired) -> Program:
    assert desired.program is not None, desired.errors
    return desired.program


def begun(desired: Desired) -> Status:
    """The status of a run that has begun and started nothing."""
    return plan(desired, Observed(Status(), ()), NOW).draft


def running(desired: Desired, *tasks: str) -> Status:
    """The status of a run that has recorded the Pods of these tasks, and no more."""
    status = begun(desired)
    rows = [
        TaskStatus(
            name=row.name,
            phase=TaskPhase.RUNNING,
            attempt=1,
            pod_name=pod_of(desired, row.name).key.name,
            pod_uid=f"uid-{row.name}",
            start_time=NOW,
        )
        if row.name in tasks
        else row
        for row in status.tasks
    ]
    return replace(status, tasks=tuple(rows))


def pod_of(
    desired: Desired,
    task: str,
    *,
    run: int = 1,
    attempt: int = 1,
    revision: str | None = None,
    uid: str = "",
    gated: bool = False,
    tracked: bool = True,
    deleting: bool = False,
    outcome: Outcome | None = None,
) -> Pod:
    """The Pod of an attempt, as the cache has it."""
    made = desired.program.revision if desired.program else ""
    identity = Identity(run, revision or revision_hash(made), task, attempt)
    return Pod(
        key=Key(KEY.namespace, name_of(identity, KEY.name, desired.uid)),
        uid=uid or f"uid-{task}",
        version=7,
        owner=KEY.name,
        owner_uid=desired.uid,
        identity=identity,
        gated=gated,
        tracked=tracked,
        deleting=deleting,
        node_name=None if gated else "node-1",
        outcome=outcome,
    )


def planned(
    desired: Desired,
    status: Status,
    *pods: Pod,
    now: datetime = NOW,
    pinned: Program | None = None,
) -> Plan:
    return plan(desired, Observed(status, pods, pinned or desired.program), now)


def settled(made: Plan, desired: Desired, now: datetime = NOW, *, lost: str = "") -> Status:
    """The status after every start was answered with a Pod."""
    started = {
        start.attempt.task: PodRef(start.pod_name, f"uid-{start.attempt.task}")
        for start in made.starts
    }
    return settle(made, Answers(started, {}, frozenset(filter(None, [lost]))), desired, now)


def phases(status: Status) -> dict[str, str]:
    return {row.name: row.phase.value for row in status.tasks}
