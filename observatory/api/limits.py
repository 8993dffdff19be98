"""What an operator lets its tenants have at most, as the flags of `observatory run` say."""

from __future__ import annotations

from dataclasses import dataclass

from observatory.api.taskschema import MAX_TASKS

TASKS_FLAG = "--max-tasks-per-run"


@dataclass(frozen=True, slots=True)
class Limits:
    """The most of everything.

    Attributes:
        tasks: Tasks in `spec.tasks` of a run; `finally` has 100 at most, as the CRD says.
    """

    tasks: int = MAX_TASKS


NO_LIMITS = Limits()
"""What is so without any flag: as many tasks as the CRD takes."""
