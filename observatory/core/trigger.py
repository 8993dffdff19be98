"""Trigger rules: when a task runs, by how the tasks ended that it depends on.

The rules and their meanings are Airflow's, in Kubernetes' spelling.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import assert_never

from observatory.api.taskstatus import TaskPhase, TaskStatus

DEPENDENCY_FAILED = "DependencyFailed"
"""Why a task was skipped whose rule can't be met since something failed."""
TRIGGER_RULE = "TriggerRule"
"""Why a task was skipped that nothing kept from running but its own rule. It fails no run."""


class TriggerRule(StrEnum):
    """What a task asks of its dependencies."""

    ALL_SUCCEEDED = "AllSucceeded"
    ALL_DONE = "AllDone"
    ALL_FAILED = "AllFailed"
    ANY_SUCCEEDED = "AnySucceeded"
    ANY_FAILED = "AnyFailed"
    NONE_FAILED = "NoneFailed"


class Verdict(Enum):
    """What a rule says of a task that hasn't started."""

    READY = auto()
    WAIT = auto()
    SKIP = auto()
    """It can't be met any more, and nothing has failed."""
    SKIP_FAILED = auto()
    """It can't be met any more, because something failed."""


@dataclass(slots=True)
class Tally:
    """How many dependencies are in which state; an ignored failure is in a state of its own."""

    unended: int = 0
    succeeded: int = 0
    failed: int = 0
    ignored: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        """How many there are."""
        return self.unended + self.succeeded + self.failed + self.ignored + self.skipped


def tally(dependencies: Iterable[TaskStatus]) -> Tally:
    """Count them. A task that was skipped because another failed counts as failed."""
    found = Tally()
    for task in dependencies:
        match task.phase:
            case TaskPhase.SUCCEEDED:
                found.succeeded += 1
            case TaskPhase.FAILED if task.ignored:
                found.ignored += 1
            case TaskPhase.FAILED:
                found.failed += 1
            case TaskPhase.SKIPPED if task.reason == TRIGGER_RULE:
                found.skipped += 1
            case TaskPhase.SKIPPED:
                found.failed += 1
            case _:
                found.unended += 1
    return found


def verdict(rule: TriggerRule, seen: Tally) -> Verdict:
    """Whether a task with this rule may start, waits, or never will.

    An ignored failure is a failure to those who ask for failures, and a success to the others.
    """
    passed, failed, ended = seen.succeeded + seen.ignored, seen.failed, not seen.unended
    match rule:
        case TriggerRule.ALL_SUCCEEDED:
            return _judged(passed == seen.total, failed + seen.skipped, failed)
        case TriggerRule.ALL_DONE:
            return _judged(ended, 0, 0)
        case TriggerRule.ALL_FAILED:
            return _judged(failed + seen.ignored == seen.total, seen.succeeded + seen.skipped, 0)
        case TriggerRule.ANY_SUCCEEDED:
            met = passed > 0 or not seen.total
            return _judged(met, ended and not met, failed)
        case TriggerRule.ANY_FAILED:
            met = failed + seen.ignored > 0 or not seen.total
            return _judged(met, ended and not met, 0)
        case TriggerRule.NONE_FAILED:
            return _judged(ended, failed, failed)
        case _:
            assert_never(rule)


def _judged(met: bool, spoilt: int, failed: int) -> Verdict:  # noqa: FBT001
    if spoilt:
        return Verdict.SKIP_FAILED if failed else Verdict.SKIP
    return Verdict.READY if met else Verdict.WAIT
