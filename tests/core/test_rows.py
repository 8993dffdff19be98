from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from observatory.api.status import Status
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.core import rows
from observatory.core.model import PodRef, PodWait
from tests.core.builders import CHAIN, FAILED, NOW, SUCCEEDED, begun, later, pod_of, program

ROW = rows.started(TaskStatus("a", reason="QuotaExceeded"), PodRef("p", "u"), 2, later(0.7))


def test_a_started_row_records_the_pod_and_forgets_its_wait() -> None:
    expected = TaskStatus("a", TaskPhase.RUNNING, attempt=2, pod_name="p", pod_uid="u")

    assert replace(ROW, start_time=None) == expected
    assert ROW.start_time == NOW


def test_an_end_keeps_the_cause_and_the_node_of_what_failed() -> None:
    row = rows.ended(ROW, FAILED, "node-1", later(60))

    assert (row.phase, row.exit_code, row.reason, row.message) == (
        TaskPhase.FAILED, 3, "Error", "boom",
    )  # fmt: skip
    assert (row.node_name, row.completion_time) == ("node-1", NOW)


def test_of_what_succeeded_the_node_is_not_kept() -> None:
    row = rows.ended(replace(ROW, reason="ImagePull", since=NOW), SUCCEEDED, "node-1", NOW)

    assert (row.phase, row.node_name, row.reason, row.since) == (
        TaskPhase.SUCCEEDED, None, None, None,
    )  # fmt: skip


def test_a_node_whose_clock_runs_behind_ends_nothing_before_its_start() -> None:
    early = replace(SUCCEEDED, finished_at=later(-300))

    assert rows.ended(ROW, early, None, NOW).completion_time == ROW.start_time


def test_the_same_wait_keeps_its_time() -> None:
    row = rows.waiting(TaskStatus("a"), "QuotaExceeded", "x", NOW)

    assert rows.waiting(row, "QuotaExceeded", "x", later(9)) is row
    assert rows.waiting(row, "QuotaExceeded", "y", later(9)) == replace(row, message="y")
    assert rows.waiting(replace(row, since=None), "QuotaExceeded", "x", later(9)).since == later(9)
    assert rows.waiting(row, "Suspended", None, later(9)).since == later(9)


@pytest.mark.parametrize(
    ("hard", "seconds", "told", "back"),
    [(False, 9, None, 10), (False, 10, "Slow", None), (True, 0, "Slow", None)],
)
def test_a_soft_wait_is_told_after_ten_seconds(
    seconds: float, told: str | None, back: float | None, *, hard: bool
) -> None:
    pod = replace(pod_of(CHAIN, "a"), wait=PodWait("Slow", None, NOW, hard=hard))

    row, tell_at = rows.waiting_for_pod(ROW, pod, later(seconds))

    assert row.reason == told
    assert tell_at == (None if back is None else later(back))


def test_a_wait_since_a_time_that_is_far_ahead_is_told_at_once() -> None:
    wait = PodWait("Slow", None, datetime.max.replace(tzinfo=UTC), hard=False)

    row, tell_at = rows.waiting_for_pod(ROW, replace(pod_of(CHAIN, "a"), wait=wait), later(60))

    assert (row.reason, row.since, tell_at) == ("Slow", later(60), None)


@pytest.mark.parametrize("hard", [True, False])
def test_another_wording_of_a_wait_is_no_news(*, hard: bool) -> None:
    told = rows.waiting(ROW, "ImagePull", "ErrImagePull: not found", NOW)
    wait = PodWait("ImagePull", "Back-off pulling image", NOW, hard=hard)

    row, _ = rows.waiting_for_pod(told, replace(pod_of(CHAIN, "a"), wait=wait), later(60))

    assert row is told


def test_a_wait_that_is_over_is_gone() -> None:
    told = rows.waiting(ROW, "Unschedulable", "0/1", NOW)

    assert rows.waiting_for_pod(told, pod_of(CHAIN, "a"), NOW) == (ROW, None)


def test_rows_follow_the_order_of_the_tasks_whatever_is_stored() -> None:
    stored = begun(CHAIN)
    mixed = Status(tasks=(*reversed(stored.tasks), TaskStatus("stranger")))

    assert rows.rows_of(stored, program(CHAIN)) == list(stored.tasks)
    assert [row.name for row in rows.rows_of(mixed, program(CHAIN))] == ["a", "b", "c"]
    assert [row.name for row in rows.rows_of(Status(), program(CHAIN))] == ["a", "b", "c"]


def test_a_skipped_row_keeps_which_attempt_it_was() -> None:
    assert rows.skipped(ROW, "Cancelled", "why").attempt == 2
