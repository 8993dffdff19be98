from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from observatory.api.conditions import Condition
from observatory.api.schema import OBSERVATORY
from observatory.api.status import (
    Failure,
    Phase,
    Status,
    StatusError,
    Waiting,
)
from observatory.api.structural import check
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.api.types import JsonObject

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ROW = TaskStatus(
    name="b",
    phase=TaskPhase.FAILED,
    attempt=2,
    pod_name="p",
    pod_uid="u",
    node_name="n",
    start_time=NOW,
    completion_time=NOW,
    exit_code=137,
    signal=9,
    reason="OOMKilled",
    message="killed",
)
FULL = Status(
    observed_generation=3,
    phase=Phase.FAILED,
    message="failed",
    progress="1/3",
    run=2,
    revision="night-hash",
    start_time=NOW,
    completion_time=NOW,
    duration="0s",
    waiting_for=(Waiting("QuotaExceeded", 2, "c", "full", NOW),),
    failure=Failure("b", 2, "OOMKilled", NOW, "p", "n", 137, 9, "killed"),
    tasks=(
        TaskStatus("a"),
        ROW,
        TaskStatus("c", reason="QuotaExceeded", message="full", since=NOW),
    ),
    conditions=(Condition("Complete", "True", "TaskFailed", "m", 3, NOW),),
)


@pytest.mark.parametrize("status", [Status(), FULL])
def test_what_is_written_is_read_back(status: Status) -> None:
    assert Status.from_wire(status.to_wire()) == status


def test_what_is_written_is_what_the_schema_allows() -> None:
    schema = OBSERVATORY["properties"]["status"]

    assert list(check(FULL.to_wire(), schema, "status")) == []


def test_nothing_stored_is_an_empty_status() -> None:
    assert Status.from_wire({}) == Status()


def test_what_is_unknown_is_not_written() -> None:
    assert TaskStatus("a").to_wire() == {"name": "a", "phase": "Pending"}
    assert Status().to_wire() == {"observedGeneration": 0, "phase": "Pending", "conditions": []}


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Odd"},
        {"tasks": [{}]},
        {"tasks": [{"name": "a", "phase": "Odd"}]},
        {"tasks": [1]},
        {"tasks": 7},
        {"failure": {"task": "a"}},
        {"waitingFor": [{}]},
        {"conditions": ["x"]},
        {"startTime": "soon"},
        {"startTime": 7},
        {"run": 1},
        {"tasks": [{"name": "a", "phase": "Running", "attempt": 1, "podName": "p"}]},
        {"tasks": [{"name": "a", "podName": "../b"}]},
        {"tasks": [{"name": "a", "podName": 5}]},
        {"revision": "../../x"},
        {"revision": 5},
        {"run": "one"},
        {"run": -1},
    ],
    ids=str,
)
def test_what_the_operator_cannot_have_written_is_an_error(status: JsonObject) -> None:
    with pytest.raises(StatusError, match="status"):
        Status.from_wire(status)


RUNNING: JsonObject = {"name": "a", "phase": "Running", "attempt": 1, "podUID": "u"}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("text", 'status: Invalid value: "text": must be an object'),
        ({"run": 2**31 - 1}, "status.run: Invalid value: must be a number of runs"),
        ({"message": 5}, "status.message: Invalid value: 5: must be a string (put it into quotes)"),
        ({"phase": "Odd"}, 'status.phase: Unsupported value: "Odd": supported values: '),
        ({"tasks": [{**RUNNING, "podUID": ["u"]}]}, "status.tasks[0].podUID: Invalid value: an ar"),
        ({"tasks": [{**RUNNING, "attempt": "1"}]}, 'status.tasks[0].attempt: Invalid value: "1": '),
        ({"tasks": [{**RUNNING, "attempt": -1}]}, "status.tasks[0]: Invalid value: no task's att"),
        ({"tasks": [{**RUNNING, "attempt": 2**31 - 1}]}, "status.tasks[0]: Invalid value: no tas"),
        ({"tasks": [{**RUNNING, "name": None}]}, "status.tasks[0]: Invalid value: no task's att"),
        ({"tasks": [RUNNING, {**RUNNING, "exitCode": 1.5}]}, "status.tasks[1].exitCode: Invalid "),
        ({"failure": {"task": {}, "reason": "x"}}, "status.failure.task: Invalid value: {}: must"),
        ({"conditions": [{"type": [], "status": "True", "reason": "x", "message": ""}]},
         "status.conditions[0].type: Invalid value: []: must be a string"),
        ({"startTime": "0001-01-01T00:00:00+14:00"}, "status: Invalid value: ValueError("),
    ],
)  # fmt: skip
def test_what_is_wrong_with_it_is_told_with_its_field(status: JsonObject, error: str) -> None:
    with pytest.raises(StatusError) as caught:
        Status.from_wire(status)
    assert str(caught.value).startswith(error)


@pytest.mark.parametrize(
    ("status", "active", "ended"),
    [
        (Status(), False, False),
        (Status(run=1, start_time=NOW), True, False),
        (replace(FULL), False, True),
    ],
)
def test_a_run_is_active_from_its_begin_to_its_end(
    status: Status, *, active: bool, ended: bool
) -> None:
    assert (status.active, status.ended) == (active, ended)


def test_which_phases_are_final() -> None:
    assert {phase for phase in TaskPhase if phase.ended} == {
        TaskPhase.SUCCEEDED,
        TaskPhase.FAILED,
        TaskPhase.SKIPPED,
    }


def test_a_condition_without_a_time_is_somebody_elses() -> None:
    """The API server stores none; written back, it would be refused."""
    condition = {"type": "Other", "status": "True", "reason": "Theirs", "message": ""}
    with pytest.raises(StatusError, match="lastTransitionTime: Required value"):
        Status.from_wire({"conditions": [condition]})
