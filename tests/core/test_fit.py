from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import orjson
import pytest

from observatory.api.names import revision_hash
from observatory.api.status import Status
from observatory.api.taskstatus import Attempt, TaskPhase, TaskStatus
from observatory.core.desired import desire
from observatory.core.fit import (
    BUDGET,
    LIMIT,
    SUMMARY_SIZE,
    fitted,
    restored,
    room_for_pods,
)
from observatory.core.model import Desired, Identity
from observatory.core.pods import name_of
from observatory.core.summary import summarize
from tests.core.builders import KEY, NOW, begun, manifest, program

UID = "0f6d1c9e-9a51-4b5e-b0b0-5a1f0f9d1c11"


def rows(count: int, *, failed: int = 0, message: str = "") -> tuple[TaskStatus, ...]:
    made = []
    for index in range(count):
        row = TaskStatus(
            f"process-sample-{index:04d}",
            TaskPhase.SUCCEEDED,
            attempt=1,
            pod_name=f"night-process-sample-{index:04d}-1-abcdefgh",
            pod_uid=UID,
            start_time=NOW,
            completion_time=NOW + timedelta(seconds=1),
            exit_code=0,
        )
        if index < failed:
            row = replace(
                row, phase=TaskPhase.FAILED, reason="Error", message=message, node_name="node-1"
            )
        made.append(row)
    return tuple(made)


def wide(count: int) -> Desired:
    """Real-world shaped: commands, arguments, three needs each, and one that needs all."""
    tasks: dict[str, list[str]] = {}
    for index in range(count - 1):
        tasks[f"process-sample-{index:04d}"] = list(tasks)[-3:]
    tasks["report"] = list(tasks)
    obj = manifest(tasks)
    for task in obj["spec"]["tasks"]:
        task |= {"command": ["sh", "-c"], "args": [f"process --sample {task['name']}"]}
    return desire(obj)


def test_four_thousand_tasks_fit_at_their_end_and_after_many_failures() -> None:
    desired = wide(4000)
    for failed in (0, 1000):
        status = replace(begun(desired), tasks=rows(4000, failed=failed, message="x" * 1024))

        wire = fitted(summarize(status, desired, NOW), desired)

        assert desired.size + len(orjson.dumps(wire)) < BUDGET


def test_what_fits_is_not_shortened() -> None:
    status = Status(tasks=rows(10, failed=3, message="x" * 1024))

    assert fitted(status, wide(10)) == status.to_wire()


def size(status: Status) -> int:
    return len(orjson.dumps(status.to_wire()))


@pytest.mark.parametrize("count", [2, 20])
def test_what_is_least_missed_goes_first(count: int) -> None:
    desired = replace(wide(2), size=0)
    status = Status(tasks=rows(count, failed=1, message="x" * 1024))
    without_names = fitted(status, desired, budget=size(status) - 1)

    assert "podName" not in without_names["tasks"][-1]
    assert "podName" in without_names["tasks"][0]  # where there is something to look into
    assert len(without_names["tasks"][0]["message"]) == 1024

    names = sum(len(row.pod_name or "") + 13 for row in status.tasks[1:])
    cut = fitted(status, desired, budget=size(status) - names - 1)
    assert len(cut["tasks"][0]["message"]) == 80
    assert cut["tasks"][-1]["exitCode"] == 0


def test_the_shortest_form_still_holds_every_decision() -> None:
    status = Status(run=1, start_time=NOW, tasks=rows(3, failed=1, message="x" * 99))

    read = Status.from_wire(fitted(status, wide(3), budget=0))

    assert [(row.name, row.phase, row.attempt) for row in read.tasks] == [
        (row.name, row.phase, row.attempt) for row in status.tasks
    ]


def test_the_pod_that_runs_is_never_shortened_away() -> None:
    row = replace(rows(1)[0], phase=TaskPhase.RUNNING, completion_time=None, exit_code=None)

    (wire,) = fitted(Status(tasks=(row,)), wide(2), budget=0)["tasks"]

    assert TaskStatus.from_wire(wire) == replace(row, pod_name=None, start_time=None)


SCHEDULER = "0/5000 nodes are available: 5000 Insufficient cpu. preemption: no victims found. " * 4


def all_waiting(desired: Desired) -> Status:
    tasks = tuple(
        TaskStatus(
            row.name,
            TaskPhase.RUNNING,
            attempt=1,
            pod_name=name_of(identity(desired, row.name), KEY.name, desired.uid),
            pod_uid=UID,
            start_time=NOW,
            reason="Unschedulable",
            message=SCHEDULER,
            since=NOW,
        )
        for row in begun(desired).tasks
    )
    return summarize(replace(begun(desired), tasks=tasks), desired, NOW)


def identity(desired: Desired, task: str) -> Identity:
    return Identity(1, revision_hash(program(desired).revision), task, 1)


def test_four_thousand_tasks_fit_while_all_of_them_wait() -> None:
    desired = wide(4000)
    status = all_waiting(desired)

    wire = fitted(status, desired)

    assert desired.size + len(orjson.dumps(wire)) < BUDGET
    assert {row["podUID"] for row in wire["tasks"]} == {UID}
    assert wire["waitingFor"][0]["message"] == SCHEDULER
    assert "since" in wire["waitingFor"][0]


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        (["message"], {"since", "podName", "startTime"}),
        (["message", "since"], {"podName", "startTime"}),
        (["message", "since", "podName", "startTime"], set()),
    ],
)
def test_of_a_wait_its_words_go_first_and_its_pods_name_last(
    fields: list[str], left: set[str]
) -> None:
    desired = replace(wide(3), size=0)
    status = all_waiting(desired)
    wanted = status.to_wire()
    for row in wanted["tasks"]:
        for field in fields:
            del row[field]

    shorter = fitted(status, desired, budget=len(orjson.dumps(wanted)))

    for row in shorter["tasks"]:
        assert row.keys() & {"message", "since", "podName", "startTime"} == left
        assert (row["podUID"], row["reason"]) == (UID, "Unschedulable")


def test_the_names_of_running_pods_are_restored() -> None:
    desired = wide(3)
    status = all_waiting(desired)

    stored = Status.from_wire(fitted(status, desired, budget=0))

    assert {row.pod_name for row in stored.tasks} == {None}
    names = [row.pod_name for row in restored(stored, desired).tasks]
    assert names == [row.pod_name for row in status.tasks]
    assert restored(status, desired) is status


@pytest.mark.parametrize("phase", list(TaskPhase))
def test_no_row_needs_more_than_was_reckoned_with(phase: TaskPhase) -> None:
    row = TaskStatus(
        "a" * 63,
        phase,
        attempt=99,
        pod_name="p" * 63,
        pod_uid=UID,
        node_name="n" * 253,
        start_time=NOW,
        completion_time=NOW,
        exit_code=255,
        signal=64,
        reason="UnexpectedAdmissionError",
        message="x" * 1024,
        since=NOW,
    )
    names = ["a" * 63] * 100
    pods = 0 if phase.ended else len(names)

    rows = fitted(Status(tasks=(row,) * len(names)), wide(2), budget=0)["tasks"]

    assert room_for_pods(LIMIT - SUMMARY_SIZE - len(orjson.dumps(rows)), names) <= pods


@pytest.mark.parametrize("phase", list(TaskPhase))
def test_no_row_of_a_task_that_failed_before_needs_more_either(phase: TaskPhase) -> None:
    row = TaskStatus(
        "a" * 63,
        phase,
        attempt=99,
        pod_uid=UID if phase is TaskPhase.RUNNING else None,
        start_time=NOW,
        reason="TriggerRule",
        message="x" * 1024,
        failures=999,
        disruptions=999,
        next_attempt_time=NOW if phase is TaskPhase.PENDING else None,
        first_start_time=NOW,
        cancel_reason="StartDeadlineExceeded" if phase is TaskPhase.RUNNING else None,
        ignored=phase is TaskPhase.FAILED,
        attempts=(Attempt(1, message="x" * 200),) * 3,
    )
    names = ["a" * 63] * 100
    pods = 0 if phase.ended else len(names)

    rows = fitted(Status(tasks=(row,) * len(names)), wide(2), budget=0)["tasks"]

    size = LIMIT - SUMMARY_SIZE - len(orjson.dumps(rows))
    assert room_for_pods(size, names, branches=True) <= pods
