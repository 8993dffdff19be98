"""What should have moved by now is found, and nothing else; the rows of docs/never-stuck.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.api.times import parse_time
from observatory.core.stuck import INVARIANTS, Stuck, fire_time_overdue, stuck
from tests.core.story import DONE, Story, failed, task


def found(story: Story, seconds: float = 0) -> list[str]:
    now = story.now + timedelta(seconds=seconds)
    items: list[Stuck] = list(stuck(story.desired, story.status, [*story.pods.values()], now))
    assert all(item.what for item in items)
    return [item.invariant for item in items]


def change(story: Story, name: str, **fields: object) -> None:
    """The row of a task is as no plan would leave it."""
    rows = (
        replace(row, **fields) if row.name == name else row  # type: ignore[arg-type]
        for row in story.status.tasks
    )
    story.status = replace(story.status, tasks=tuple(rows))


def paused() -> Story:
    story = Story(task("a", retry={"limit": 1}))
    story.end("a", failed(3))
    return story


def startable() -> Story:
    story = Story(task("a"))
    story.status = replace(story.status, tasks=(TaskStatus("a"),))
    change(story, "a", reason="StartPending", since=story.now)
    return story


def unexplained() -> Story:
    story = startable()
    change(story, "a", reason=None, since=None)
    return story


def gated() -> Story:
    story = Story(task("a"))
    story.pods = {uid: replace(pod, gated=True) for uid, pod in story.pods.items()}
    return story


def over() -> Story:
    story = Story(task("a"))
    done = replace(DONE, finished_at=story.now)
    story.pods = {uid: replace(pod, outcome=done) for uid, pod in story.pods.items()}
    return story


def cancelled() -> Story:
    story = Story(task("a"))
    change(story, "a", cancel_reason="Stopped", since=story.now)
    return story


def late() -> Story:
    story = Story(task("a"))
    story.manifest["spec"]["activeDeadlineSeconds"] = 1
    return story


def unended() -> Story:
    story = Story(task("a"))
    change(story, "a", phase=TaskPhase.SUCCEEDED, completion_time=story.now)
    return story


def held() -> Story:
    story = Story(task("a"))
    story.end("a")
    story.pods = {uid: replace(pod, tracked=True) for uid, pod in story.pods.items()}
    return story


def expired() -> Story:
    story = Story(task("a"))
    story.end("a")
    story.manifest["spec"]["ttlSecondsAfterFinished"] = 0
    return story


CASES: dict[str, Callable[[], Story]] = {
    "RetryOverdue": paused,
    "StartOverdue": startable,
    "WaitWithoutReason": unexplained,
    "GateOverdue": gated,
    "OutcomeOverdue": over,
    "CancelOverdue": cancelled,
    "RunDeadlineOverdue": late,
    "EndOverdue": unended,
    "FinalizerOverdue": held,
    "ExpiryOverdue": expired,
}


def test_every_invariant_has_a_case() -> None:
    assert CASES.keys() | {"FireTimeOverdue"} == set(INVARIANTS)  # which has a look of its own


@pytest.mark.parametrize("invariant", CASES)
def test_what_is_late_is_found_after_a_minute_and_not_before(invariant: str) -> None:
    story = CASES[invariant]()

    assert found(story, 59) == []
    assert invariant in found(story, 75)


def test_nothing_is_found_where_all_goes_its_way() -> None:
    story = Story(
        task("a", retry={"limit": 1}),
        task("b", "a"),
        **{"finally": [task("last")]},
        activeDeadlineSeconds=10_000,
        ttlSecondsAfterFinished=100,
    )
    assert found(story, 10_000) == []
    story.end("a", failed(3))
    assert found(story) == []
    story.step(60)
    story.end("a")
    story.end("b")
    story.end("last")
    assert found(story, 100) == []


def test_a_retry_of_a_suspended_run_is_not_late() -> None:
    story = paused()
    story.edit(suspend=True)
    assert found(story, 1000) == []


def test_a_fire_time_that_waits_for_the_api_server_is_not_the_operators_fault() -> None:
    now = parse_time("2026-01-01T00:10:00Z")
    waits = {"type": "Scheduled", "status": "False", "reason": "RequesterNotChecked"}
    status = {"nextRunTimes": ["2026-01-01T00:00:00Z"], "conditions": [waits]}
    assert fire_time_overdue(status, now) is None
    waits["reason"] = "Scheduled"
    assert fire_time_overdue(status, now) is not None
