"""Failure branches, failures that are ignored or enough, and `finally`."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.status import Status
from observatory.api.taskstatus import FailureClass, TaskPhase, TaskStatus
from observatory.cli.localnode import expand
from observatory.core.model import Refused
from observatory.core.outcome import environment
from tests.core.builders import NOW
from tests.core.story import DONE, EVICTED, Story, failed, task


def test_a_handler_runs_when_something_failed_and_else_is_skipped_without_harm() -> None:
    def story() -> Story:
        return Story(task("work"), task("handler", "work", triggerRule="AnyFailed"))

    well = story()
    well.end("work")
    assert well.phases() == {"work": "Succeeded", "handler": "Skipped"}
    assert well.row("handler").reason == "TriggerRule"
    assert (well.status.phase, well.status.progress) == ("Succeeded", "1/1")

    badly = story()
    badly.end("work", failed(3))
    assert badly.running() == ["handler"]
    badly.end("handler")
    assert (badly.status.phase, badly.status.progress) == ("Failed", "1/2")


def test_any_succeeded_does_not_wait_for_the_others() -> None:
    story = Story(task("a"), task("b"), task("first", "a", "b", triggerRule="AnySucceeded"))
    story.end("a")
    assert story.running() == ["b", "first"]


def test_what_depends_on_what_was_skipped_is_skipped_for_the_same_kind_of_reason() -> None:
    story = Story(
        task("a"),
        task("handler", "a", triggerRule="AnyFailed"),
        task("after-handler", "handler"),
        task("b"),
        task("after-b", "b"),
        task("after-after-b", "after-b"),
    )
    story.end("a")
    story.end("b", failed(3))

    reasons = {row.name: row.reason for row in story.status.tasks if row.phase == "Skipped"}
    assert reasons == {
        "handler": "TriggerRule",
        "after-handler": "TriggerRule",
        "after-b": "DependencyFailed",
        "after-after-b": "DependencyFailed",
    }
    assert all(row.message for row in story.status.tasks if row.phase == "Skipped")


def test_an_ignored_failure_spoils_neither_the_run_nor_what_follows() -> None:
    story = Story(
        task("a", onFailure="Ignore", retry={"limit": 1}),
        task("next", "a"),
        task("handler", "a", triggerRule="AnyFailed"),
    )
    story.end("a", failed(3))
    assert story.row("a").phase is TaskPhase.PENDING  # first its retries, then it is ignored
    story.step(60)
    story.end("a", failed(4))
    assert story.running() == ["next", "handler"]
    story.end("next")
    story.end("handler")

    assert (story.status.phase, story.status.failure) == ("Succeeded", None)
    assert (story.row("a").ignored, story.row("a").exit_code) == (True, 4)
    assert story.status.progress == "2/3"


def test_by_default_independent_branches_go_on() -> None:
    story = Story(task("a"), task("b"), task("c", "b"))
    story.end("a", failed(3))
    story.end("b")
    assert story.running() == ["c"]


def test_stop_scheduling_lets_run_what_runs_and_starts_no_more() -> None:
    story = Story(
        task("a"),
        task("b"),
        task("c", "b"),
        task("again", retry={"limit": 3}),
        failurePolicy="StopScheduling",
        **{"finally": [task("last")]},
    )
    story.end("again", failed(9))  # waits for its next attempt
    story.end("a", failed(3))

    assert story.running() == ["b"]
    assert (story.row("c").phase, story.row("c").reason) == (TaskPhase.SKIPPED, "TaskFailed")
    assert (story.row("again").phase, story.row("again").exit_code) == (TaskPhase.FAILED, 9)
    story.end("b")
    assert story.running() == ["last"]
    story.end("last")
    assert story.status.failure
    assert (story.status.phase, story.status.failure.task) == ("Failed", "again")


def test_cancel_running_ends_what_runs_and_none_of_it_is_the_first_failure() -> None:
    story = Story(task("a"), task("b"), failurePolicy="CancelRunning")
    story.end("a", failed(3))
    assert story.row("b").cancel_reason == "TaskFailed"
    assert story.pod("b").deleting
    story.end("b", failed(143))

    assert (story.row("b").phase, story.row("b").class_) == (TaskPhase.FAILED, "Cancelled")
    assert story.status.failure
    assert story.status.failure.task == "a"


def test_an_ignored_failure_ends_no_run() -> None:
    story = Story(task("a", onFailure="Ignore"), task("b"), failurePolicy="CancelRunning")
    story.end("a", failed(3))
    assert (story.running(), story.status.ending) == (["b"], None)


def test_a_rule_can_fail_the_whole_run() -> None:
    rules = [{"action": "FailWorkflow", "onExitCodes": {"operator": "In", "values": [42]}}]
    story = Story(task("a", retry={"limit": 5, "rules": rules}), task("b"))
    story.end("a", failed(42))

    assert story.status.ending
    assert (story.status.ending.mode, story.status.ending.reason) == ("Stop", "TaskFailed")
    assert story.row("b").cancel_reason == "TaskFailed"


def with_finally(**spec: object) -> Story:
    return Story(
        task("a"),
        task("b", "a"),
        **{"finally": [task("notify"), task("sweep", "notify")]},
        **spec,
    )


@pytest.mark.parametrize("outcome", [DONE, failed(3)])
def test_finally_runs_after_the_tasks_whatever_their_outcome_and_in_order(outcome: object) -> None:
    story = with_finally()
    assert story.desired.held
    story.end("a", outcome)  # type: ignore[arg-type]
    if outcome is DONE:
        assert story.running() == ["b"]
        story.end("b")
    assert story.running() == ["notify"]
    story.end("notify")
    assert story.running() == ["sweep"]
    assert story.status.active
    story.end("sweep")

    assert story.status.phase == ("Succeeded" if outcome is DONE else "Failed")
    assert not story.desired.held


def test_finally_is_told_how_the_tasks_ended() -> None:
    story = with_finally()
    story.end("a", failed(3))

    env = story.bodies["notify"]["spec"]["containers"][0]["env"]
    assert {each["name"]: each["value"] for each in env} == {
        "OBSERVATORY_NAME": "night",
        "OBSERVATORY_RUN": "1",
        "OBSERVATORY_PHASE": "Failed",
        "OBSERVATORY_REASON": "TaskFailed",
        "OBSERVATORY_FAILED_TASK": "a",
        "OBSERVATORY_MESSAGE": "boom",
    }
    assert "env" not in story.bodies["a"]["spec"]["containers"][0]


@given(st.text(st.sampled_from("$()ABab{} \n"), min_size=1, max_size=40))
def test_what_a_task_wrote_reaches_finally_as_it_is(message: str) -> None:
    row = TaskStatus(name="a", phase=TaskPhase.FAILED, message=message, completion_time=NOW)
    told = environment("night", Status(), [row])
    variables = {each["name"]: each["value"] for each in told}
    secrets = {"A": "secret", "B": "secret", "a": "secret", "b": "secret"}
    assert expand(variables["OBSERVATORY_MESSAGE"], secrets) == message


def test_a_failure_of_finally_fails_the_run_and_hides_no_other() -> None:
    story = with_finally()
    story.end("a")
    story.end("b")
    story.end("notify", failed(7))
    assert story.status.failure
    assert (story.status.phase, story.status.failure.task) == ("Failed", "notify")
    reasons = {each.type: each.reason for each in story.status.conditions}
    assert reasons["Failed"] == "FinallyFailed"

    story = with_finally()
    story.end("a", failed(3))
    story.end("notify", failed(7))
    assert story.status.failure
    assert story.status.failure.task == "a"
    assert story.status.message
    assert 'finally: task "notify" failed' in story.status.message


def test_finally_is_retried_like_any_task_even_when_the_run_was_stopped() -> None:
    story = Story(task("a"), **{"finally": [task("last", retry={"limit": 1})]})
    story.request("stop", "1")
    story.end("a", failed(143))
    story.end("last", failed(1))
    story.step(60)
    assert story.running() == ["last"]


def test_finally_takes_no_longer_than_it_may() -> None:
    story = with_finally(finallyDeadlineSeconds=60)
    story.end("a", failed(3), seconds=1)
    assert story.plan().requeue_at == NOW + timedelta(seconds=61)
    story.step(60)
    assert story.row("notify").cancel_reason == "DeadlineExceeded"
    assert story.row("sweep").phase is TaskPhase.SKIPPED
    story.end("notify", failed(143))
    assert story.status.phase == "Failed"


def test_a_run_over_its_deadline_is_ended_and_finally_runs() -> None:
    story = with_finally(activeDeadlineSeconds=100)
    story.edit(suspend=True)  # the clock of a deadline goes on
    assert story.plan().requeue_at == NOW + timedelta(seconds=100)
    story.step(100)
    assert story.row("a").cancel_reason == "DeadlineExceeded"
    story.end("a", failed(143))
    assert story.running() == ["notify"]
    story.end("notify")
    story.end("sweep")

    assert story.status.phase == "Failed"
    reasons = {each.type: each.reason for each in story.status.conditions}
    assert reasons["Failed"] == "DeadlineExceeded"
    assert (story.row("a").class_, story.row("b").phase) == ("Timeout", "Skipped")


def test_before_it_is_deleted_its_tasks_are_ended_and_finally_runs() -> None:
    story = with_finally()
    story.delete()
    assert (story.row("a").cancel_reason, story.row("b").phase) == ("Cancelled", "Skipped")
    story.end("a", EVICTED)
    assert story.running() == ["notify"]
    story.end("notify")
    story.end("sweep")

    assert not story.status.active
    assert not story.desired.held


def test_finally_holds_a_deletion_no_longer_than_five_minutes() -> None:
    story = with_finally()
    story.delete()
    story.end("a", failed(143))
    story.step(300)
    assert story.row("notify").cancel_reason == "DeadlineExceeded"
    # Nothing may ever be heard of its Pod again: it is looked at by the clock.
    assert story.plan().requeue_at == story.now + timedelta(seconds=60)
    story.step(59)
    assert story.desired.held
    story.step(2)
    assert not story.desired.held


def test_a_task_that_does_not_end_holds_a_deletion_no_longer_either() -> None:
    story = with_finally()
    story.delete()
    assert story.plan().requeue_at == story.now + timedelta(seconds=360)
    story.step(361)
    assert not story.desired.held


@pytest.mark.parametrize("finalizer", ["foregroundDeletion", "orphan"])
def test_where_its_pods_go_first_or_outlive_it_finally_does_not_run(finalizer: str) -> None:
    story = with_finally()
    story.manifest["metadata"]["finalizers"].append(finalizer)
    story.delete()

    assert not story.desired.held
    assert [name for name, _, _ in story.starts] == ["a"]


def test_a_namespace_that_goes_is_not_held() -> None:
    story = with_finally()
    story.refused = {"notify": Refused("NamespaceTerminating", "is being terminated")}
    story.delete()
    story.end("a", failed(None, "PodDeleted", FailureClass.DELETED))
    story.step(5)

    assert not story.desired.held
    assert story.row("notify").phase is TaskPhase.SKIPPED
