"""What becomes of a task when an attempt ends, and what ends one that takes too long."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from observatory.api.status import Status
from observatory.api.taskstatus import FailureClass, TaskPhase
from observatory.core.model import Refused
from tests.core.builders import NOW
from tests.core.story import DONE, EVICTED, OOM, Story, failed, task

SOON = {"initialSeconds": 10, "factor": 2, "maxSeconds": 60}


def retried(limit: int = 2, **fields: object) -> Story:
    return Story(task("a", retry={"limit": limit, "backoff": SOON, **fields}))


def test_a_failed_attempt_is_followed_by_the_next_when_its_pause_is_over() -> None:
    story = retried()

    story.end("a", failed(3), seconds=5)

    row = story.row("a")
    assert (row.phase, row.reason, row.attempt, row.failures) == (
        TaskPhase.PENDING, "Backoff", 1, 1,
    )  # fmt: skip
    assert row.next_attempt_time
    pause = row.next_attempt_time - story.now
    assert timedelta(seconds=9) <= pause <= timedelta(seconds=10)
    assert story.plan().requeue_at == row.next_attempt_time
    assert "attempt 2 at " in (row.message or "")

    story.step((row.next_attempt_time - story.now).total_seconds() - 1)
    assert story.running() == []
    story.step(1)
    assert (story.running(), story.row("a").attempt) == (["a"], 2)
    story.end("a")
    assert story.status.phase == "Succeeded"


def test_the_pause_is_stored_and_survives_whoever_planned_it() -> None:
    story = retried()
    story.end("a", failed(3))
    due = story.row("a").next_attempt_time
    assert due

    story.status = Status.from_wire(story.status.to_wire())  # another operator reads it
    story.now = due - timedelta(seconds=1)
    story.step()
    assert story.running() == []
    story.now = due
    story.step()

    assert story.starts[-1] == ("a", 2, due)


def test_when_the_limit_is_reached_the_last_failure_counts_and_says_so() -> None:
    story = retried(limit=2)
    for _ in range(3):
        story.end("a", failed(3))
        story.step(60)

    row = story.row("a")
    assert (row.phase, row.attempt, row.failures) == (TaskPhase.FAILED, 3, 2)
    assert row.message == "retry limit 2 reached: boom"
    assert [(each.attempt, each.class_, each.exit_code) for each in row.attempts] == [
        (1, "ApplicationError", 3),
        (2, "ApplicationError", 3),
    ]
    assert len(story.starts) == 3
    assert (story.status.failure and story.status.failure.attempt) == 3


def test_an_eviction_is_tried_again_and_counts_apart() -> None:
    story = Story(task("a"))

    for _ in range(3):
        story.end("a", EVICTED)
        story.step(60)

    row = story.row("a")
    assert (row.disruptions, row.failures, row.attempt) == (3, 0, 4)
    story.end("a", failed(3))
    assert story.row("a").phase is TaskPhase.FAILED


def test_the_latest_attempts_stay_and_the_oldest_go() -> None:
    story = Story(task("a"))
    for _ in range(5):
        story.end("a", EVICTED)
        story.step(400)

    assert [each.attempt for each in story.row("a").attempts] == [3, 4, 5]


def test_a_retry_waits_until_the_old_pod_has_ended() -> None:
    story = Story(task("a", startingDeadlineSeconds=5, retry={"limit": 1, "backoff": SOON}))
    story.waits("a", "Unschedulable", hard=False)

    story.step(5)
    assert story.row("a").cancel_reason == "StartDeadlineExceeded"
    assert story.pod("a").deleting
    story.step(600)
    assert (story.running(), len(story.starts)) == (["a"], 1)

    story.end("a", failed(143))
    story.step(60)
    assert [(name, attempt) for name, attempt, _ in story.starts] == [("a", 1), ("a", 2)]


def test_a_pod_that_vanished_is_lost_and_retried_only_if_asked_for() -> None:
    for limit, phase in ((0, TaskPhase.FAILED), (1, TaskPhase.PENDING)):
        story = Story(task("a", retry={"limit": limit}))
        story.pods.clear()
        story.step()

        row = story.row("a")
        assert row.phase is phase
        assert (row.class_ or row.attempts[0].class_) is FailureClass.LOST


def test_memory_grows_after_an_oom_kill_and_stays_grown() -> None:
    resources = {"limits": {"memory": "64Mi"}, "requests": {"memory": "32Mi", "cpu": "1"}}
    memory = {"factor": 2, "max": "1Gi"}
    story = Story(task("a", resources=resources, retry={"limit": 5, "memory": memory}))

    story.end("a", OOM)
    story.step(400)
    assert story.bodies["a"]["spec"]["containers"][0]["resources"] == {
        "limits": {"memory": "128Mi"},
        "requests": {"memory": "128Mi", "cpu": "1"},
    }
    story.end("a", EVICTED)
    story.step(400)
    assert story.row("a").memory == "128Mi"
    story.end("a", OOM)
    story.step(400)
    limits = story.bodies["a"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"memory": "256Mi"}


def test_only_an_oom_kill_makes_memory_grow() -> None:
    story = Story(
        task(
            "a",
            resources={"limits": {"memory": "64Mi"}},
            retry={"limit": 5, "memory": {"factor": 2, "max": "1Gi"}},
        )
    )
    story.end("a", failed(137))
    assert story.row("a").memory is None


def test_the_attempts_deadline_and_the_grace_are_the_pods() -> None:
    story = Story(task("a", attemptDeadlineSeconds=60, terminationGracePeriodSeconds=5))

    spec = story.bodies["a"]["spec"]
    assert (spec["activeDeadlineSeconds"], spec["terminationGracePeriodSeconds"]) == (60, 5)


def test_a_task_over_its_deadline_is_ended_and_not_retried() -> None:
    story = Story(task("a", activeDeadlineSeconds=100, retry={"limit": 9, "backoff": SOON}))
    story.end("a", failed(3), seconds=50)
    story.step(20)
    assert story.running() == ["a"]
    assert story.plan().requeue_at == NOW + timedelta(seconds=100)

    story.step(30)
    assert (story.row("a").cancel_reason, story.pod("a").deleting) == ("DeadlineExceeded", True)
    story.end("a", failed(143))

    row = story.row("a")
    assert (row.phase, row.class_, row.reason) == (TaskPhase.FAILED, "Timeout", "DeadlineExceeded")
    assert row.message
    assert "activeDeadlineSeconds (100 s)" in row.message


def test_a_deadline_that_comes_in_a_pause_ends_the_task() -> None:
    story = Story(task("a", activeDeadlineSeconds=12, retry={"limit": 9, "backoff": SOON}))
    story.end("a", failed(3), seconds=5)
    assert story.plan().requeue_at == NOW + timedelta(seconds=12)

    story.step(7)

    row = story.row("a")
    assert (row.phase, row.class_, row.exit_code) == (TaskPhase.FAILED, "Timeout", 3)
    assert len(story.starts) == 1


def test_a_cancelled_attempt_has_failed_whatever_it_answers() -> None:
    story = Story(task("a", activeDeadlineSeconds=10))
    story.step(10)

    story.end("a", DONE)

    assert (story.row("a").phase, story.row("a").class_) == (TaskPhase.FAILED, "Timeout")


def test_what_had_succeeded_before_it_was_cancelled_has_succeeded() -> None:
    story = Story(task("a", activeDeadlineSeconds=10))
    finished = replace(DONE, finished_at=story.now + timedelta(seconds=8))
    story.step(10)
    assert story.row("a").cancel_reason

    uid = story.row("a").pod_uid or ""
    story.pods[uid] = replace(story.pods[uid], outcome=finished)
    story.step(1)

    assert story.row("a").phase is TaskPhase.SUCCEEDED


@pytest.mark.parametrize(
    ("reason", "seconds", "class_"),
    [
        ("ImagePull", 300, "ImagePull"),
        ("CreateContainerConfigError", 300, "Configuration"),
        ("CreateContainerError", 300, "Configuration"),
        ("InvalidImageName", 0, "Configuration"),
    ],
)
def test_what_keeps_a_container_from_running_has_a_bound_by_its_reason(
    reason: str, seconds: int, class_: str
) -> None:
    story = Story(task("a"))
    story.waits("a", reason, "no such thing")
    if seconds:
        assert story.row("a").cancel_reason is None
        assert story.plan().requeue_at == NOW + timedelta(seconds=seconds)
        story.step(seconds)
    assert story.row("a").cancel_reason == reason

    story.end("a", failed(None, "PodDeleted", FailureClass.DELETED))

    row = story.row("a")
    assert (row.phase, row.class_, row.reason) == (TaskPhase.FAILED, class_, reason)
    assert row.message
    assert "no such thing" in row.message


def test_a_wait_that_passes_is_forgotten() -> None:
    story = Story(task("a"))
    story.waits("a", "CreateContainerConfigError", 'configmap "x" not found')
    story.step(299)
    story.pods = {uid: replace(pod, wait=None) for uid, pod in story.pods.items()}
    story.step(100)

    assert (story.row("a").cancel_reason, story.row("a").reason) == (None, None)


@pytest.mark.parametrize("reason", ["Unschedulable", "ContainerCreating", "NodeNotReady"])
def test_other_waits_have_no_bound_unless_the_task_says_so(reason: str) -> None:
    story = Story(task("a"))
    story.waits("a", reason, hard=False)
    story.step(10**6)

    assert (story.running(), story.row("a").reason) == (["a"], reason)
    assert story.row("a").cancel_reason is None


@pytest.mark.parametrize("reason", ["NodeNotReady", "Terminating", "SidecarRunning"])
def test_a_container_that_may_be_running_is_not_late_to_start(reason: str) -> None:
    story = Story(task("a", startingDeadlineSeconds=5))
    story.waits("a", reason, hard=False)
    story.step(100)

    assert story.row("a").cancel_reason is None


def test_the_tasks_own_bound_takes_the_place_of_the_usual_one() -> None:
    story = Story(task("a", startingDeadlineSeconds=3600))
    story.waits("a", "ImagePull", "not there yet")
    story.step(3599)
    assert story.row("a").cancel_reason is None
    story.step(1)
    assert story.row("a").cancel_reason == "ImagePull"


def test_a_quota_that_stays_full_fails_the_task_only_if_it_says_so() -> None:
    story = Story(task("a", startingDeadlineSeconds=30), task("b"))
    quota = Refused("QuotaExceeded", "exceeded quota")
    other = Story(task("a", startingDeadlineSeconds=30))
    del other
    story.refused = {"a": quota, "b": quota}
    story.pods.clear()
    story.status = Status()
    story.step()
    assert story.row("a").reason == "QuotaExceeded"
    story.step(30)

    assert (story.row("a").phase, story.row("a").class_) == (TaskPhase.FAILED, "Rejected")
    assert story.row("b").phase is TaskPhase.PENDING


def test_a_pod_that_is_refused_for_good_is_rejected_and_not_retried() -> None:
    story = Story(task("x"), task("a", "x", retry={"limit": 5}))
    story.refused = {"a": Refused("InvalidPod", "no such field", permanent=True)}

    story.end("x")

    row = story.row("a")
    assert (row.phase, row.class_, row.attempt) == (TaskPhase.FAILED, "Rejected", 1)


def test_a_pause_holds_no_slot_but_is_kept_to() -> None:
    story = Story(task("a", retry={"limit": 1, "backoff": SOON}), task("b"), maxConcurrent=1)
    story.end("a", failed(3))
    assert story.running() == ["b"]
    story.step(60)
    assert story.row("a").reason == "MaxConcurrent"
    story.end("b")
    assert story.running() == ["a"]


def test_a_clock_that_was_set_back_makes_no_pause_longer_than_it_may_be() -> None:
    story = retried()
    story.end("a", failed(3))
    story.step(-86_400)
    due = story.row("a").next_attempt_time
    assert due
    assert due - story.now == timedelta(seconds=61)
    assert (story.row("a").message or "").startswith("attempt 2 at 2025-12-31T")
    story.step(61)
    assert story.running() == ["a"]


def test_a_rule_that_fails_a_task_is_named_and_no_retries_are_not_mentioned() -> None:
    rules = [{"action": "FailTask", "onReasons": ["Error"]}]
    for retry, message in (
        ({"limit": 3, "rules": rules}, "rule 1 of retry: FailTask: boom"),
        ({}, "boom"),
    ):
        story = Story(task("a", retry=retry))
        story.end("a", failed(3))
        assert story.row("a").message == message
