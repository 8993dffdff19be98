from __future__ import annotations

from dataclasses import replace

import pytest

from observatory.api.conditions import COMPLETE, FAILED, SUCCEEDED, VALID, find_condition
from observatory.api.status import Phase, Status
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.core.model import Desired
from observatory.core.summary import summarize
from tests.core import builders
from tests.core.builders import (
    CHAIN,
    NOW,
    TRIO,
    begun,
    later,
    planned,
    pod_of,
    running,
    settled,
    wanted,
)


def states(status: Status) -> dict[str, str]:
    return {condition.type: condition.status for condition in status.conditions}


def reason(status: Status, type_: str) -> str:
    condition = find_condition(status.conditions, type_)
    assert condition is not None
    return condition.reason


def end(*failed: str) -> Status:
    """TRIO at its end, with these tasks failed."""
    status = running(TRIO, "a", "b", "c")
    outcomes = [
        pod_of(TRIO, task, outcome=builders.FAILED if task in failed else builders.SUCCEEDED)
        for task in "abc"
    ]
    return planned(TRIO, status, *outcomes, now=later(72)).draft


def test_a_run_in_progress() -> None:
    status = settled(planned(CHAIN, begun(CHAIN)), CHAIN)

    assert (status.phase, status.progress) == (Phase.RUNNING, "0/3")
    assert states(status) == {
        VALID: "True", SUCCEEDED: "Unknown", FAILED: "Unknown", COMPLETE: "False",
    }  # fmt: skip
    assert status.message == "Running a"


def test_a_run_that_succeeded() -> None:
    status = end()

    assert (status.phase, status.progress, status.duration) == (Phase.SUCCEEDED, "3/3", "1m12s")
    assert states(status) == {
        VALID: "True", SUCCEEDED: "True", FAILED: "False", COMPLETE: "True",
    }  # fmt: skip
    assert (status.message, status.waiting_for, status.failure) == (None, (), None)


def test_a_run_that_failed_says_what_failed_first_and_how() -> None:
    status = end("b", "c")

    assert status.phase is Phase.FAILED
    assert (states(status)[FAILED], states(status)[COMPLETE]) == ("True", "True")
    assert reason(status, FAILED) == "TaskFailed"
    assert status.failure is not None
    assert (status.failure.task, status.failure.exit_code) == ("b", 3)
    assert (status.failure.node_name, status.failure.message) == ("node-1", "boom")
    assert status.message == 'Task "b", the first of 2, failed: Error (exit code 3): boom'


def test_the_first_failure_stays_the_first() -> None:
    first = end("c").failure

    again = summarize(replace(end("b", "c"), failure=first), TRIO, later(99))

    assert again.failure == first


def test_the_end_is_written_once() -> None:
    assert summarize(end(), TRIO, later(9999)) == end()


def test_a_skipped_task_is_no_success() -> None:
    rows = (TaskStatus("a", TaskPhase.SKIPPED, reason="Cancelled"),)

    status = summarize(replace(begun(CHAIN), tasks=rows), replace(CHAIN, deleting=True), NOW)

    assert (status.phase, reason(status, FAILED)) == (Phase.FAILED, "Cancelled")
    assert status.message == "The Observatory was deleted before its run ended"


@pytest.mark.parametrize(
    ("desired", "message"),
    [
        (
            wanted({"a": ["x"]}),
            'spec.tasks[0].dependencies[0]: Not found: "x" (no task has this name)',
        ),
        (replace(CHAIN, program=None, errors=("one", "two")), "one (and 1 more)"),
        (replace(CHAIN, suspend=True), "Suspended: set spec.suspend to false to start"),
    ],
)
def test_one_that_does_not_start_says_why(desired: Desired, message: str) -> None:
    status = planned(desired, Status()).draft

    assert (status.phase, status.message) == (Phase.PENDING, message)
    assert reason(status, COMPLETE) == "NotStarted"


def test_an_invalid_spec_is_in_its_condition_with_all_errors() -> None:
    status = planned(wanted({"a": ["x"], "b": ["y"]}), Status()).draft

    valid = find_condition(status.conditions, VALID)
    assert valid is not None
    assert (valid.status, valid.reason) == ("False", "Invalid")
    assert '"x"' in valid.message
    assert '"y"' in valid.message


def test_an_edit_after_the_end_that_is_invalid_is_told_beside_the_result() -> None:
    broken = replace(TRIO, program=None, errors=("spec: bad",))

    assert planned(broken, end("b")).draft.message == (
        'Task "b" failed: Error (exit code 3): boom; Edited spec is invalid: spec: bad'
    )


def test_the_generation_that_was_seen_is_everywhere() -> None:
    status = planned(replace(CHAIN, generation=7), begun(CHAIN)).draft

    assert status.observed_generation == 7
    assert {condition.observed_generation for condition in status.conditions} == {7}


def told(status: Status) -> dict[str, int]:
    """The generation that each condition tells of."""
    return {item.type: item.observed_generation for item in status.conditions}


def test_the_end_of_a_run_is_not_told_as_the_end_of_tasks_that_were_edited_since() -> None:
    edited = replace(wanted({"a": []}, suspend=True), uid=TRIO.uid, generation=2)

    status = planned(edited, end()).draft

    assert status.observed_generation == 2
    assert told(status) == {VALID: 2, SUCCEEDED: 1, FAILED: 1, COMPLETE: 1}
    assert status.message == "Suspended: the edited tasks run when spec.suspend is false again"
    assert planned(edited, status).draft == status


def test_the_run_of_the_edited_tasks_tells_of_their_generation() -> None:
    edited = replace(wanted({"a": []}), uid=TRIO.uid, generation=2)

    status = planned(edited, end()).draft

    assert (status.run, set(told(status).values())) == (2, {2})


def test_waits_are_counted_by_reason_and_those_that_pass_come_last() -> None:
    rows = [
        TaskStatus("d"),
        TaskStatus("m", reason="MaxConcurrent", since=NOW),
        TaskStatus("q1", reason="QuotaExceeded", message="full", since=later(5)),
        TaskStatus("q2", reason="QuotaExceeded", message="fuller", since=later(3)),
        TaskStatus("r", TaskPhase.RUNNING, 1, "p", "u", reason="ImagePull", since=NOW),
        TaskStatus("x", TaskPhase.RUNNING, 1, "p", "u"),
        TaskStatus("f", TaskPhase.FAILED, 1, reason="Error", completion_time=NOW),
    ]

    status = summarize(replace(begun(CHAIN), tasks=tuple(rows)), CHAIN, NOW)

    waits = [(wait.reason, wait.tasks, wait.task) for wait in status.waiting_for]
    assert waits == [
        ("QuotaExceeded", 2, "q1"),
        ("ImagePull", 1, "r"),
        ("MaxConcurrent", 1, "m"),
        ("Dependencies", 1, "d"),
    ]
    assert status.waiting_for[0].since == later(3)
    assert status.message is not None
    assert "QuotaExceeded: q1 and 1 more: full" in status.message


def test_a_long_message_is_cut() -> None:
    rows = (TaskStatus("a", reason="QuotaExceeded", message="x" * 5000),)

    status = summarize(replace(begun(CHAIN), tasks=rows), CHAIN, NOW)

    assert len(status.message or "") == 1024


def test_a_condition_that_stays_true_through_another_run_keeps_its_time() -> None:
    edited = replace(wanted({"z": []}), generation=2)

    valid = find_condition(planned(edited, end(), now=later(500)).draft.conditions, VALID)

    assert valid is not None
    assert valid.last_transition_time == NOW
