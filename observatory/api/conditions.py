"""Conditions: the facts about an Observatory, and how a list of them changes.

They follow `metav1.Condition`: one of a type, and a time that moves only when the status does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from observatory.api.text import shorten
from observatory.api.times import format_time, parse_time, whole_seconds
from observatory.api.types import JsonObject

TRUE = "True"
FALSE = "False"
UNKNOWN = "Unknown"

VALID = "Valid"
SUCCEEDED = "Succeeded"
FAILED = "Failed"
COMPLETE = "Complete"
SCHEDULED = "Scheduled"

TYPES = {
    VALID: "The spec has no error. While it is False nothing new is started.",
    SUCCEEDED: "The run has ended and no task failed. Unknown until it has ended.",
    FAILED: "The run has ended, and a task failed or it was ended early. Unknown before.",
    COMPLETE: "The run has ended, either way. Scripts wait for this one.",
    SCHEDULED: "Runs are started by `spec.schedule`. Only where there is one.",
}
"""What each type of condition says when it is True."""

MESSAGE_LENGTH = 1024
"""Longer messages are cut: they are for people, and each is stored with every status."""


class Reason(StrEnum):
    """Why a condition has its status; `explanation` is the sentence for people."""

    explanation: str

    VALID = "Valid", "The spec has no error."
    INVALID = "Invalid", "The spec has errors; the message lists them."
    STATUS_TOO_LARGE = (
        "StatusTooLarge",
        "Spec and status together exceed what can be stored; nothing more is started.",
    )
    NOT_STARTED = "NotStarted", "No task has been started yet; `status.message` says why."
    RUNNING = "Running", "The run has begun and not ended."
    ALL_TASKS_SUCCEEDED = "AllTasksSucceeded", "No task failed."
    TASK_FAILED = "TaskFailed", "At least one task failed; `status.failure` holds the first."
    CANCELLED = "Cancelled", "The run ended early since its Observatory was deleted."
    DEADLINE_EXCEEDED = "DeadlineExceeded", "The run took longer than `activeDeadlineSeconds`."
    STOPPED = "Stopped", "The run was stopped by a request; `finally` has run."
    TERMINATED = "Terminated", "The run was terminated by a request."
    FINALLY_FAILED = "FinallyFailed", "Every task succeeded, but one of `finally` failed."
    SCHEDULED = "Scheduled", "Runs begin at the times in `status.nextRunTimes`."
    SUSPENDED = "Suspended", "No run begins while `spec.suspend` is true."
    TOO_MANY_FAILURES = (
        "TooManyFailures",
        "As many runs in a row have failed as `pauseAfterConsecutiveFailures` allows.",
    )
    REQUESTER_NOT_ALLOWED = (
        "RequesterNotAllowed",
        "Who asked for the runs may not create Pods here any more: each fire time is skipped.",
    )
    REQUESTER_NOT_CHECKED = (
        "RequesterNotChecked",
        "The API server doesn't say whether who asked for the runs may create Pods: they wait.",
    )
    NEVER_FIRES = "NeverFires", "No fire time is left that a blackout doesn't cover."
    CLOCK_SKEW = (
        "ClockSkew",
        "The operator's clock was ahead: later fire times have been handled than are due.",
    )

    def __new__(cls, value: str, explanation: str) -> Self:
        """A member that is equal to its value and carries its explanation."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.explanation = explanation
        return member


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition. `set_condition` gives it its `last_transition_time`."""

    type: str
    status: str
    reason: str
    message: str = ""
    observed_generation: int = 0
    last_transition_time: datetime | None = None

    @classmethod
    def from_wire(cls, condition: JsonObject) -> Condition:
        """The condition of one item of `status.conditions`; each that is stored has a time."""
        generation = condition.get("observedGeneration")
        return cls(
            type=condition["type"],
            status=condition["status"],
            reason=condition["reason"],
            message=condition.get("message", ""),
            observed_generation=0 if generation is None else generation,
            last_transition_time=parse_time(condition["lastTransitionTime"]),
        )

    def to_wire(self) -> JsonObject:
        """The condition as JSON.

        Raises:
            ValueError: It has no transition time, which the API server requires.
        """
        if self.last_transition_time is None:
            raise ValueError(f"condition {self.type} was not set by set_condition")
        return {
            "type": self.type,
            "status": self.status,
            "observedGeneration": self.observed_generation,
            "lastTransitionTime": format_time(self.last_transition_time),
            "reason": str(self.reason),
            "message": self.message,
        }


def find_condition(conditions: tuple[Condition, ...], type_: str) -> Condition | None:
    """The condition of that type, if there is one."""
    return next((condition for condition in conditions if condition.type == type_), None)


def set_condition(
    conditions: tuple[Condition, ...], new: Condition, now: datetime
) -> tuple[Condition, ...]:
    """The conditions with `new` in the place of the one of its type, or at the end.

    The transition time stays while the status does. When nothing differs, the very same tuple is
    returned, so that an unchanged status can be told without comparing it.
    """
    old = find_condition(conditions, new.type)
    unchanged = old is not None and old.status == new.status
    time = old.last_transition_time if old is not None and unchanged else None
    new = replace(
        new,
        message=shorten(new.message, MESSAGE_LENGTH),
        last_transition_time=time or whole_seconds(now),
    )
    if old is None:
        return (*conditions, new)
    if old == new:
        return conditions
    return tuple(new if condition is old else condition for condition in conditions)
