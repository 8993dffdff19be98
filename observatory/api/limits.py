"""What an operator lets its tenants have at most, as the flags of `observatory run` say."""

from __future__ import annotations

from dataclasses import dataclass

from observatory.api.taskschema import MAX_TASKS

TASKS_FLAG = "--max-tasks-per-run"
RUN_FLAG = "--max-active-pods-per-run"

RUN_LIMIT = "RunLimit"
"""Why a task waits whose run has as many active Pods as a run may have."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most of everything; None where there is no limit.

    A Pod is active from when a status records it until it has ended.

    Attributes:
        tasks: Tasks in `spec.tasks` of a run; `finally` has 100 at most, as the CRD says.
        run: Active Pods of one run.
    """

    tasks: int = MAX_TASKS
    run: int | None = None


NO_LIMITS = Limits()
"""What is so without any flag: as many tasks as the CRD takes."""
