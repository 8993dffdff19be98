"""What the rows of a stored status say, read as the JSON that they are.

Written apart from the planner's own code, which is judged by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from observatory.api.types import JsonObject

ENDED = frozenset({"Succeeded", "Failed", "Skipped"})
ALL_SUCCEEDED = "AllSucceeded"


def mains(status: JsonObject) -> list[JsonObject]:
    """The rows of the tasks."""
    return status.get("tasks") or []


def finals(status: JsonObject) -> dict[str, JsonObject]:
    """The rows of `finally`, by name."""
    return {row["name"]: row for row in status.get("finally") or ()}


def rows_of(status: JsonObject) -> dict[str, JsonObject]:
    """All rows, by name."""
    return {row["name"]: row for row in mains(status)} | finals(status)


def too_early(task: JsonObject, rows: Mapping[str, JsonObject]) -> list[str]:
    """The dependencies because of which the task may not run yet, or may never."""
    needs = task.get("dependencies") or ()
    kinds = {need: _kind(rows.get(need, {})) for need in needs}
    wanted, one_is_enough = _RULES[task.get("triggerRule", ALL_SUCCEEDED)]
    bad = [need for need in needs if not kinds[need] & wanted]
    return [] if one_is_enough and len(bad) < len(kinds) else bad


_RULES: dict[str, tuple[set[str], bool]] = {
    ALL_SUCCEEDED: ({"succeeded"}, False),
    "AllDone": ({"succeeded", "failed", "skipped"}, False),
    "AllFailed": ({"failed"}, False),
    "AnySucceeded": ({"succeeded"}, True),
    "AnyFailed": ({"failed"}, True),
    "NoneFailed": ({"succeeded", "skipped"}, False),
}
"""For each rule how a dependency may have ended, and whether one of them is enough."""


def _kind(row: JsonObject) -> set[str]:
    """How a task ended. A failure that is ignored is a success to those who ask for one."""
    match row.get("phase"):
        case "Succeeded":
            return {"succeeded"}
        case "Failed":
            return {"failed", "succeeded"} if row.get("ignored") else {"failed"}
        case "Skipped":
            return {"skipped"} if row.get("reason") == "TriggerRule" else {"failed"}
        case _:
            return set()


def tasks_of(spec: JsonObject) -> tuple[JsonObject, ...]:
    """All tasks of a revision."""
    return (*spec.get("tasks", ()), *spec.get("finally", ()))


def broken_retry(spec: JsonObject, was: JsonObject, row: JsonObject) -> Iterator[str]:
    """What is wrong with the attempt that the row begins to record."""
    due, began = was.get("nextAttemptTime"), row.get("startTime")
    if due and began and began < due:
        yield f"began again at {began}, before {due}"
    task = next((each for each in tasks_of(spec) if each["name"] == row["name"]), {})
    policy = {**(spec.get("retry") or {}), **(task.get("retry") or {})}
    limits = {"failures": policy.get("limit", 0), "disruptions": policy.get("disruptionLimit", 20)}
    over = [name for name, limit in limits.items() if row.get(name, 0) > limit]
    if over or row.get("attempt", 0) > 1 + sum(limits.values()):
        yield f"was retried beyond its limits: {row}"
