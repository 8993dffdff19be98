"""How runs and tasks came out, in the words of OpenTelemetry's conventions for CI/CD pipelines.

A `failure` is the workflow's own, an `error` one of the system that it ran on.
"""

from __future__ import annotations

from observatory.api.status import Phase, Status
from observatory.api.taskstatus import FailureClass, TaskPhase, TaskStatus
from observatory.core.attempts import DEADLINE
from observatory.core.ending import TASK_FAILED


def run_result(status: Status) -> str:
    """How a run that has ended came out, as `cicd.pipeline.result`.

    A `failure` is the workflow's own, an `error` the system's that it ran on.
    """
    if status.phase is Phase.SUCCEEDED:
        return "success"
    ending = status.ending
    if ending is not None and ending.reason != TASK_FAILED:
        return "timeout" if ending.reason == DEADLINE else "cancellation"
    return "failure" if status.failure is None else task_result(status.failure.class_)


def task_result(class_: FailureClass | None) -> str:
    """How a failed attempt, task or run came out, by the class of the failure."""
    match class_:
        case None | FailureClass.APPLICATION_ERROR:
            return "failure"
        case FailureClass.TIMEOUT:
            return "timeout"
        case FailureClass.CANCELLED:
            return "cancellation"
        case _:
            return "error"


def row_result(row: TaskStatus) -> str:
    """How a task that has ended came out, as `cicd.pipeline.task.run.result`."""
    if row.phase is TaskPhase.SUCCEEDED:
        return "success"
    return "skip" if row.phase is TaskPhase.SKIPPED else task_result(row.class_)
