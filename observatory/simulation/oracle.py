"""How a history must end: computed from the workflow and its endings alone."""

from __future__ import annotations

from collections.abc import Mapping

from observatory.api.types import JsonObject
from observatory.core.validation import validate
from observatory.simulation.acts import Acts
from observatory.simulation.rowfacts import rows_of, tasks_of, too_early
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
    spec = stored["spec"]
    rows = rows_of(status)
    if list(rows) != [task["name"] for task in tasks_of(spec)]:
        return [f"I6: the tasks of the spec have not run, but {list(rows)}"]
    wrong = []
    for task in tasks_of(spec):
        name = task["name"]
        allowed = _allowed(task, spec, rows, scenario.endings, acts)
        if "ending" not in status and rows[name]["phase"] not in allowed:
            wrong.append(f"I6: task {name} is {rows[name]['phase']}, not {' or '.join(allowed)}")
    if "ending" in status and not (acts.asked or _may_end_early(spec)):
        wrong.append(f"I6: nobody asked for the run to end: {status['ending']}")
    good = not any(map(_spoils, rows.values()))
    if status["phase"] != ("Succeeded" if good else "Failed"):
        wrong.append(f"I6: the run is {status['phase']}, its tasks say otherwise")
    return wrong


def _may_end_early(spec: JsonObject) -> bool:
    return spec.get("failurePolicy", "Continue") != "Continue" or "activeDeadlineSeconds" in spec


def _spoils(row: JsonObject) -> bool:
    """Whether a run with this row has failed."""
    if row["phase"] == "Skipped":
        return row.get("reason") != "TriggerRule"
    return row["phase"] == "Failed" and not row.get("ignored")


def _allowed(
    task: JsonObject,
    spec: JsonObject,
    rows: Mapping[str, JsonObject],
    endings: Mapping[str, Ending],
    acts: Acts,
) -> list[str]:
    name = task["name"]
    if "finallyDeadlineSeconds" in spec and task in spec["finally"]:
        return ["Succeeded", "Failed", "Skipped"]
    if too_early(task, rows):
        return ["Skipped"]
    ending = endings.get(name, Ending())
    limit = {**(spec.get("retry") or {}), **(task.get("retry") or {})}.get("limit", 0)
    fails = 0 if not ending.exit_code else limit + 1 if ending.fails is None else ending.fails
    allowed = ["Failed" if fails > limit else "Succeeded"]
    hurried = "activeDeadlineSeconds" in task or "startingDeadlineSeconds" in task
    if hurried or acts.was_denied or acts.asked or name in acts.touched:
        allowed = ["Succeeded", "Failed"]
    return allowed
