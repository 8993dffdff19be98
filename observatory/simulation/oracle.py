"""How a history must end: computed from the workflow and its endings alone."""

from __future__ import annotations

from collections.abc import Mapping

from observatory.api.types import JsonObject
from observatory.core.validation import validate
from observatory.simulation.acts import Acts
from observatory.simulation.scenario import Ending, Scenario


def wrong_end(
    scenario: Scenario, stored: JsonObject | None, pods: list[JsonObject], acts: Acts
) -> list[str]:
    """What is wrong with the end of a history, once everything is at rest (I5, I6, I8)."""
    if stored is None and not acts.deleted:
        return ["I5: the Observatory is gone, and nobody deleted it"]
    if stored is None:
        return [f"I8: Pod {pod['metadata']['name']} outlives its Observatory" for pod in pods]
    if acts.edited and (validate(stored) or stored["spec"].get("schedule") is not None):
        return []  # edited into something that can't run, or of which this object runs nothing
    return _wrong_status(scenario, stored, acts)


def _wrong_status(scenario: Scenario, stored: JsonObject, acts: Acts) -> list[str]:
    status = stored.get("status") or {}
    if acts.deleted and ("completionTime" in status or not status.get("run")):
        return []  # something holds it while it is being deleted
    if "completionTime" not in status:
        return [f"I5: the run has not ended: {status.get('message')}"]
    tasks = stored["spec"].get("tasks") or ()
    rows = {row["name"]: row for row in status.get("tasks") or ()}
    if list(rows) != [task["name"] for task in tasks]:
        return [f"I6: the tasks of the spec have not run, but {list(rows)}"]
    wrong = []
    for task in tasks:
        name, needs = task["name"], task.get("dependencies") or ()
        allowed = _allowed(name, needs, rows, scenario.endings, acts)
        if rows[name]["phase"] not in allowed:
            wrong.append(f"I6: task {name} is {rows[name]['phase']}, not {' or '.join(allowed)}")
    good = all(row["phase"] == "Succeeded" for row in rows.values())
    if status["phase"] != ("Succeeded" if good else "Failed"):
        wrong.append(f"I6: the run is {status['phase']}, its tasks say otherwise")
    return wrong


def _allowed(
    name: str,
    needs: tuple[str, ...] | list[str],
    rows: Mapping[str, JsonObject],
    endings: Mapping[str, Ending],
    acts: Acts,
) -> list[str]:
    if any(rows[need]["phase"] != "Succeeded" for need in needs):
        return ["Skipped"]
    allowed = ["Failed" if endings.get(name, Ending()).exit_code else "Succeeded"]
    if acts.was_denied or name in acts.touched:
        allowed.append("Failed")
    return allowed
