"""Requests: retry, stop and terminate, and their answers."""

from __future__ import annotations

import pytest

from observatory.api.taskstatus import TaskPhase
from tests.core.builders import NOW
from tests.core.story import Story, failed, task


def answers(story: Story) -> dict[str, tuple[str, bool, str]]:
    return {
        each.type.value: (each.nonce, each.accepted, each.message) for each in story.status.requests
    }


def test_stop_ends_what_runs_with_its_grace_and_skips_the_rest() -> None:
    story = Story(task("a"), task("b", "a"))
    story.request("stop", "n1")

    assert answers(story) == {"Stop": ("n1", True, "run 1 is stopped")}
    assert (story.row("a").cancel_reason, story.pod("a").grace) == ("Stopped", 30)
    story.end("a", failed(143))
    assert (story.row("a").class_, story.row("b").reason) == ("Cancelled", "Stopped")
    assert story.status.phase == "Failed"
    reasons = {each.type: each.reason for each in story.status.conditions}
    assert reasons["Failed"] == "Stopped"


def test_stop_beats_suspend_and_finally_runs() -> None:
    story = Story(task("a"), task("b"), maxConcurrent=1, **{"finally": [task("last")]})
    story.edit(suspend=True)
    story.request("stop", "n1")
    story.end("a", failed(143))

    assert story.running() == ["last"]


def test_terminate_beats_stop_and_gives_no_grace() -> None:
    story = Story(task("a"), **{"finally": [task("last")]})
    story.request("stop", "n1")
    assert story.killed == []
    story.request("terminate", "n2")

    assert story.killed == [story.pod("a").uid]
    story.end("a", failed(137))
    assert story.phases() == {"a": "Failed", "last": "Skipped"}
    reasons = {each.type: each.reason for each in story.status.conditions}
    assert reasons["Failed"] == "Terminated"
    story.request("stop", "n3")
    assert not answers(story)["Stop"][1]


def test_terminate_ends_finally_too() -> None:
    story = Story(task("a"), **{"finally": [task("last"), task("more", "last")]})
    story.end("a")
    story.request("stop", "n1")
    assert answers(story)["Stop"][1:] == (
        False,
        "the tasks of run 1 have ended: only finally runs",
    )
    story.request("terminate", "n2")
    story.end("last", failed(137))
    assert story.phases() == {"a": "Succeeded", "last": "Failed", "more": "Skipped"}


def test_a_request_is_carried_out_once() -> None:
    story = Story(task("a", image="i:1"))
    story.end("a", failed(3))
    story.request("retry", "n1")
    story.end("a", failed(3))
    story.step(1000)

    assert (story.status.run, story.status.phase) == (2, "Failed")


def test_what_was_asked_for_before_a_run_does_not_end_it() -> None:
    story = Story(task("a"), suspend=True)
    story.request("stop", "n1")
    assert answers(story)["Stop"][:2] == ("n1", False)
    story.edit(suspend=False)
    assert (story.running(), story.status.ending) == (["a"], None)


def test_a_request_in_the_first_manifest_does_not_end_the_first_run() -> None:
    story = Story(task("x"), suspend=True)
    story.manifest["metadata"]["annotations"] = {
        "workflow.seventh-horizon.io/terminate": "from git",
    }
    story.edit(suspend=False)

    assert (story.running(), story.status.ending) == (["x"], None)
    assert answers(story)["Terminate"][:2] == ("from git", False)


def finished() -> Story:
    story = Story(task("a"), task("b", "a"), task("c", "b"), task("d"))
    for name in ("a", "d"):
        story.end(name)
    story.end("b", failed(3))
    return story


def test_a_retry_runs_again_what_failed_and_keeps_what_succeeded() -> None:
    story = finished()
    kept = story.row("a")
    story.request("retry", "n1")

    assert answers(story)["Retry"] == ("n1", True, "run 2 runs 2 tasks again and keeps 2")
    assert story.status.run == 2
    assert story.running() == ["b"]
    row = story.row("a")
    assert (row.pod_uid, row.completion_time, row.run) == (kept.pod_uid, kept.completion_time, 1)
    story.end("b")
    story.end("c")
    assert (story.status.phase, story.status.progress) == ("Succeeded", "4/4")


def test_a_retry_from_a_task_runs_it_and_what_depends_on_it_again() -> None:
    story = finished()
    story.request("retry", "n1", **{"retry-from": "a"})
    assert story.running() == ["a"]
    assert (story.row("d").phase, story.row("c").phase) == ("Succeeded", "Pending")


def test_a_mended_spec_is_retried_and_what_was_not_changed_is_kept() -> None:
    story = finished()
    story.manifest["spec"]["tasks"][1]["image"] = "mended:2"
    story.request("retry", "n1")

    assert story.running() == ["b"]
    assert story.bodies["b"]["spec"]["containers"][0]["image"] == "mended:2"
    assert story.status.run == 2


def test_a_task_that_was_changed_runs_again_with_all_that_depends_on_it() -> None:
    story = finished()
    story.manifest["spec"]["tasks"][0]["args"] = ["new"]
    story.request("retry", "n1")
    assert story.running() == ["a"]
    assert story.row("d").phase is TaskPhase.SUCCEEDED


def test_how_a_task_is_retried_can_change_without_doing_it_again() -> None:
    story = finished()
    story.manifest["spec"]["tasks"][0]["retry"] = {"limit": 9}
    story.request("retry", "n1")
    assert story.running() == ["b"]


def test_edited_while_suspended_and_retried_the_retry_counts() -> None:
    story = finished()
    story.edit(suspend=True)
    tasks = [dict(each) for each in story.manifest["spec"]["tasks"]]
    tasks[1]["image"] = "mended:2"
    story.edit(tasks=tasks)
    assert story.status.run == 1
    story.request("retry", "n1")
    assert (story.status.run, story.row("b").reason) == (2, "Suspended")
    story.edit(suspend=False)
    assert story.running() == ["b"]
    assert story.row("a").run == 1


def test_finally_runs_again_with_a_retry() -> None:
    story = Story(task("a"), task("b"), **{"finally": [task("last")]})
    story.end("a")
    story.end("b", failed(3))
    story.end("last")
    story.request("retry", "n1")
    story.end("b")
    assert story.running() == ["last"]


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        ("running", "run 1 is in progress: ask again when it has ended, or stop it first"),
        ("succeeded", "run 1 succeeded; name the task to begin with in retry-from"),
        ("unknown", 'retry-from: no task is named "loads"; did you mean "load"?'),
        ("never", "no run has begun: there is nothing to retry"),
    ],
)
def test_a_retry_that_makes_no_sense_is_refused_and_says_why(prepare: str, why: str) -> None:
    story = Story(task("load"), suspend=prepare == "never")
    if prepare in {"succeeded", "unknown"}:
        story.end("load")
    more = {"retry-from": "loads"} if prepare == "unknown" else {}
    story.request("retry", "n1", **more)

    assert answers(story)["Retry"] == ("n1", False, why)
    assert story.status.run == (0 if prepare == "never" else 1)


def test_a_kept_task_is_kept_again_from_its_first_run() -> None:
    story = finished()
    for nonce in ("n1", "n2"):
        story.request("retry", nonce)
        story.end("b", failed(3))
    assert (story.status.run, story.row("a").run) == (3, 1)
    assert story.starts[-1][0] == "b"
    assert story.now > NOW
