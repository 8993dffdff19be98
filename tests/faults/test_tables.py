from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from tests.faults import oracle, suite, tables
from tests.faults.case import Case, parse_case
from tests.faults.plan import Fault, On
from tests.faults.runner import Verdict
from tests.faults.steps import StepError, condition, held_runs
from tests.faults.workloads import WORKLOADS
from tests.integration.workflows import task

WRITES = dict.fromkeys(WORKLOADS, 14)


def soaked(seed: int) -> list[Case]:
    return list(itertools.islice(tables.soak(WRITES, seed), 2100))


def test_the_suite_has_hundreds_of_cases_each_of_which_can_be_repeated_from_its_file() -> None:
    cases = [*tables.suite(WRITES), *tables.disruptions()]
    names = [case.name for case in cases]
    assert len(names) == len(set(names)) > 300
    for case in cases:
        assert parse_case(json.loads(json.dumps(case.to_json()))) == case


def test_a_soak_is_thousands_of_cases_that_follow_from_its_seed() -> None:
    first = soaked(1)
    assert [case.name for case in first] == [case.name for case in soaked(1)]
    assert len({case.name for case in first}) == len(first)
    assert [case.to_json() for case in first] != [case.to_json() for case in soaked(2)]
    assert sum("F5-seed" in case.name for case in first) > 500


def test_in_a_soak_each_workload_meets_a_crash_at_each_of_its_writes() -> None:
    every = set(itertools.islice((case.name for case in tables.soak(WRITES, 1)), 6000))
    for name, k in itertools.product(WORKLOADS, range(1, 15)):
        assert {f"{name}-F1-kill-before-{k}", f"{name}-F2-kill-after-{k}"} <= every


TASKS = [task("a"), task("b", "a", exit_code=3), task("c", "b"), task("d", "a", fail=True)]


def status(phase: str, **phases: str) -> dict[str, object]:
    rows = [{"name": name, "phase": each} for name, each in phases.items()]
    return {"phase": phase, "tasks": rows}


def test_the_oracle_knows_what_becomes_of_tasks_and_of_what_depends_on_them() -> None:
    right = status("Failed", a="Succeeded", b="Failed", c="Skipped", d="Failed")
    assert list(oracle.wrong(TASKS, right)) == []
    assert list(oracle.wrong(TASKS, {**right, "phase": "Succeeded"})) != []
    for name, phase in (("a", "Failed"), ("b", "Succeeded"), ("c", "Succeeded"), ("d", "Skipped")):
        phases = {"a": "Succeeded", "b": "Failed", "c": "Skipped", "d": "Failed", name: phase}
        assert list(oracle.wrong(TASKS, status("Failed", **phases))) != []
    assert list(oracle.wrong(TASKS, status("Failed", a="Succeeded"))) != []


def test_a_task_whose_pod_others_have_disturbed_may_have_failed() -> None:
    phases = {"a": "Failed", "b": "Skipped", "c": "Skipped", "d": "Skipped"}
    assert list(oracle.wrong(TASKS, status("Failed", **phases), ("a",))) == []


def test_steps_wait_for_what_etcd_has_and_nobody_waits_for_what_cannot_be_said() -> None:
    state = {("observatories", "run"): {"status": status("Running", a="Running")}}
    assert condition({"task": "a", "phase": "Running"})(state)
    assert not condition({"task": "a", "phase": "Succeeded"})(state)
    assert condition({"pod": "a", "is": "gone"})(state)
    schedule = {("observatories", "run"): {"status": {"nextRunTimes": ["x"], "latestRun": 1}}}
    assert condition({"known": True})(schedule)
    assert not condition({"known": True})(state)
    assert [condition({"begun": run})(schedule) for run in (1, 2)] == [True, False]
    with pytest.raises(StepError):
        condition({"moon": "full"})


def test_a_run_of_a_schedule_is_held_by_our_finalizer() -> None:
    def one(*finalizers: str) -> dict[str, object]:
        return {"metadata": {"finalizers": list(finalizers)}}

    ours = "workflow.seventh-horizon.io/tracking"
    state = {
        ("observatories", "a"): one(ours),
        ("observatories", "b"): one("x"),
        ("pods", "c"): one(ours),
    }
    assert held_runs(state) == ["a"]


def test_the_last_line_has_the_figures(tmp_path: Path) -> None:
    tally = suite.Tally("faults")
    case = Case("x", {"tasks": []}, (Fault(On(), "kill"),))
    tally.add(Verdict(case, tmp_path, requests=40, incarnations=2))
    tally.add(Verdict(case, tmp_path, ["I1"], fired=False, requests=2, incarnations=1))
    assert tally.line() == (
        "faults: 2 cases (1 ended before their fault came), 1 violations in 1 cases, "
        "42 requests, 3 operators, 0 min 00 s"
    )


def test_cases_are_chosen_by_words_and_number() -> None:
    cases = tables.suite(WRITES)
    chosen = list(suite.limited(cases, 5, "F1-kill,F22"))
    assert len(chosen) == 5
    assert all("F1-kill" in case.name or "F22" in case.name for case in chosen)
