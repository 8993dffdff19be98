"""What a run must come to, by its tasks and their scripted exits: the operator is not asked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

JsonObject = dict[str, Any]
_EXIT = "kwok.observatory/exit-code="
_FAIL = "kwok.observatory/fail=true"


def fails(task: JsonObject) -> bool:
    """Whether the fake node is told to let this task fail."""
    args = task.get("args") or ()
    codes = [text.removeprefix(_EXIT) for text in args if text.startswith(_EXIT)]
    return _FAIL in args or any(code != "0" for code in codes)


def wrong(
    tasks: Sequence[JsonObject], status: JsonObject, disturbed: Collection[str] = ()
) -> Iterator[str]:
    """What of an ended status is not as it must be. What was disturbed may have failed."""
    rows = {row["name"]: row for row in status.get("tasks", ())}
    phases = {name: row["phase"] for name, row in rows.items()}
    if phases.keys() != {task["name"] for task in tasks}:
        yield f"the rows are {sorted(phases)}, and not those of the tasks"
        return
    for task in tasks:
        name = task["name"]
        needs = [phases[need] for need in task.get("dependencies") or ()]
        if any(phase != "Succeeded" for phase in needs):
            allowed = {"Skipped"}
        elif name in disturbed:
            allowed = {"Succeeded", "Failed"}
        else:
            allowed = {"Failed" if fails(task) else "Succeeded"}
        if phases[name] not in allowed:
            row = rows[name]
            why = ": ".join(str(row[key]) for key in ("reason", "message") if key in row)
            yield f"task {name} is {phases[name]} ({why}), and not {' or '.join(sorted(allowed))}"
    good = all(phase == "Succeeded" for phase in phases.values())
    phase = "Succeeded" if good else "Failed"
    if status.get("phase") != phase:
        yield f"the phase is {status.get('phase')}, and not {phase}"
