"""Trigger rules against a statement of Airflow's that is written apart from ours."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.core.trigger import TriggerRule, Verdict, tally, verdict

STATES = {
    "running": TaskStatus("t", TaskPhase.RUNNING),
    "success": TaskStatus("t", TaskPhase.SUCCEEDED),
    "failed": TaskStatus("t", TaskPhase.FAILED),
    "upstream_failed": TaskStatus("t", TaskPhase.SKIPPED, reason="DependencyFailed"),
    "skipped": TaskStatus("t", TaskPhase.SKIPPED, reason="TriggerRule"),
}
BAD = {"failed", "upstream_failed"}

# When a task of that rule runs, once everything before it has ended.
RUNS: dict[TriggerRule, Callable[[list[str]], bool]] = {
    TriggerRule.ALL_SUCCEEDED: lambda states: set(states) <= {"success"},
    TriggerRule.ALL_DONE: lambda _: True,
    TriggerRule.ALL_FAILED: lambda states: set(states) <= BAD,
    TriggerRule.ANY_SUCCEEDED: lambda states: not states or "success" in states,
    TriggerRule.ANY_FAILED: lambda states: not states or bool(BAD & set(states)),
    TriggerRule.NONE_FAILED: lambda states: not BAD & set(states),
}
AT_ONCE = {TriggerRule.ANY_SUCCEEDED, TriggerRule.ANY_FAILED}
"""The rules that don't wait for the others."""


def judge(rule: TriggerRule, states: list[str]) -> Verdict:
    return verdict(rule, tally(STATES[state] for state in states))


ENDED = [state for state in STATES if state != "running"]
COMBINATIONS = [list(states) for count in range(4) for states in product(ENDED, repeat=count)]


@pytest.mark.parametrize("rule", TriggerRule)
def test_once_all_have_ended_a_task_runs_or_is_skipped_as_in_airflow(rule: TriggerRule) -> None:
    for states in COMBINATIONS:
        assert (judge(rule, states) is Verdict.READY) is RUNS[rule](states), states
        assert judge(rule, states) is not Verdict.WAIT


@pytest.mark.parametrize("rule", TriggerRule)
def test_while_some_run_it_decides_only_what_they_cannot_change(rule: TriggerRule) -> None:
    for states in COMBINATIONS:
        early = judge(rule, [*states, "running"])
        later = {judge(rule, [*states, end]) is Verdict.READY for end in ENDED}
        if early is Verdict.READY:
            assert later == {True}, states
            assert rule in AT_ONCE
        elif early is not Verdict.WAIT:
            assert later == {False}, states


@pytest.mark.parametrize(
    ("rule", "states", "wanted"),
    [
        (TriggerRule.ALL_SUCCEEDED, ["failed", "success"], Verdict.SKIP_FAILED),
        (TriggerRule.ALL_SUCCEEDED, ["upstream_failed"], Verdict.SKIP_FAILED),
        (TriggerRule.ALL_SUCCEEDED, ["skipped", "success"], Verdict.SKIP),
        (TriggerRule.NONE_FAILED, ["skipped", "failed"], Verdict.SKIP_FAILED),
        (TriggerRule.ANY_SUCCEEDED, ["skipped", "failed"], Verdict.SKIP_FAILED),
        (TriggerRule.ANY_SUCCEEDED, ["skipped", "skipped"], Verdict.SKIP),
        (TriggerRule.ALL_FAILED, ["failed", "success"], Verdict.SKIP),
        (TriggerRule.ANY_FAILED, ["success", "skipped"], Verdict.SKIP),
    ],
)
def test_whether_a_task_is_skipped_because_something_failed(
    rule: TriggerRule, states: list[str], wanted: Verdict
) -> None:
    assert judge(rule, states) is wanted


@pytest.mark.parametrize("rule", TriggerRule)
def test_an_ignored_failure_is_a_failure_to_those_who_ask_for_one_and_else_a_success(
    rule: TriggerRule,
) -> None:
    ignored = TaskStatus("t", TaskPhase.FAILED, ignored=True)

    assert verdict(rule, tally([ignored])) is Verdict.READY
