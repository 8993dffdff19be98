"""What becomes of a task when one of its attempts ends: it has succeeded, failed, or tries again.

An attempt ends here once its Pod has ended or is gone, never before: two attempts of one task don't
run side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from observatory.api.status import Status
from observatory.api.taskstatus import Attempt, FailureClass, TaskPhase, TaskStatus
from observatory.api.text import shorten
from observatory.api.times import format_time, whole_seconds
from observatory.api.types import Task
from observatory.core import retry
from observatory.core import rows as row
from observatory.core.model import Outcome, Program

BACKOFF = "Backoff"
"""Why a task waits whose last attempt failed: it tries again at `nextAttemptTime`."""
SHOWN = 3
"""Earlier attempts that a row keeps."""
SHOWN_LENGTH = 200
"""Characters of the message of an earlier attempt."""

DEADLINE = "DeadlineExceeded"
START_DEADLINE = "StartDeadlineExceeded"

CANCELLED_AS = {
    DEADLINE: FailureClass.TIMEOUT,
    START_DEADLINE: FailureClass.TIMEOUT,
    "ImagePull": FailureClass.IMAGE_PULL,
    "InvalidImageName": FailureClass.CONFIGURATION,
    "CreateContainerConfigError": FailureClass.CONFIGURATION,
    "CreateContainerError": FailureClass.CONFIGURATION,
    "RunContainerError": FailureClass.CONFIGURATION,
}
"""The class of an attempt that we ended, by our reason; of any other, `Cancelled`."""


@dataclass(frozen=True, slots=True)
class Closing:
    """What decides what an attempt's end leads to, beside the attempt itself.

    Attributes:
        program: What the run is pinned to; None where it can't be read: then nothing is retried.
        uid: The UID of the Observatory, which makes the pauses of two of them differ.
        run: The number of the run.
        ending: The run is ending: nothing is retried.
    """

    program: Program | None
    uid: str
    run: int
    ending: bool
    now: datetime

    @classmethod
    def of(cls, program: Program | None, uid: str, status: Status, now: datetime) -> Closing:
        """What a status decides."""
        return cls(program, uid, status.run, ending=status.ending is not None, now=now)


@dataclass(frozen=True, slots=True)
class Closed:
    """The row of a task whose attempt has ended, and whether a rule fails the whole run for it."""

    row: TaskStatus
    fails_run: bool = False


def close(
    closing: Closing,
    index: int,
    task: TaskStatus,
    outcome: Outcome,
    node: str | None,
) -> Closed:
    """The row after an attempt's end: it has ended for good, or waits for its next attempt."""
    if task.cancel_reason is not None:
        outcome = _cancelled(task, outcome)
    if outcome.succeeded:
        return Closed(row.ended(task, outcome, node, closing.now))
    ended = row.ended(task, outcome, node, closing.now)
    if closing.program is None:
        return Closed(ended)
    wanted, policy = closing.program.tasks[index], closing.program.policies[index]
    over = task.cancel_reason == DEADLINE or outcome.class_ is FailureClass.CANCELLED
    if over or (closing.ending and not task.final):
        return Closed(failed_for_good(ended, wanted))
    facts = retry.Facts(
        outcome.class_ or FailureClass.APPLICATION_ERROR,
        outcome.reason,
        outcome.exit_code,
        outcome.conditions,
    )
    verdict = retry.decide(policy, task.failures, task.disruptions, facts)
    if verdict.retry:
        counted = replace(
            ended,
            failures=task.failures + (not verdict.ignored),
            disruptions=task.disruptions + verdict.ignored,
        )
        ignored = verdict.ignored
        return Closed(_again(closing, counted, wanted, policy, outcome, ignored=ignored))
    if verdict.why:
        message = f"{verdict.why}: {ended.message}" if ended.message else verdict.why
        ended = replace(ended, message=message)
    return Closed(failed_for_good(ended, wanted), verdict.fails_run)


def give_up(task: TaskStatus, wanted: Task, now: datetime) -> TaskStatus:
    """The row of a task that would have tried again: its last attempt was the last."""
    last = task.attempts[-1] if task.attempts else Attempt(task.attempt)
    ended = replace(
        task,
        phase=TaskPhase.FAILED,
        pod_name=last.pod_name,
        node_name=last.node_name,
        start_time=last.start_time,
        completion_time=last.completion_time or whole_seconds(now),
        exit_code=last.exit_code,
        signal=last.signal,
        class_=last.class_,
        reason=last.reason or "Error",
        message=last.message,
        since=None,
        next_attempt_time=None,
        attempts=task.attempts[:-1],
        waited=last.waited,
    )
    return failed_for_good(ended, wanted)


def failed_for_good(task: TaskStatus, wanted: Task) -> TaskStatus:
    """The row of a task that has failed and is not tried again."""
    return replace(task, ignored=True) if wanted.ignore_failure else task


def cancelled(task: TaskStatus, reason: str, message: str, now: datetime) -> TaskStatus:
    """The row of a task whose attempt is to be ended. The first reason stays."""
    if task.cancel_reason is not None:
        return task
    return replace(
        task, cancel_reason=reason, reason=reason, message=message, since=whole_seconds(now)
    )


def _cancelled(task: TaskStatus, outcome: Outcome) -> Outcome:
    """The outcome of an attempt that we ended. What had succeeded by then has succeeded.

    After that a container may well answer SIGTERM with exit code 0.
    """
    in_time = outcome.finished_at and task.since and outcome.finished_at < task.since
    if outcome.succeeded and in_time:
        return outcome
    reason = task.cancel_reason
    return replace(
        outcome,
        succeeded=False,
        class_=CANCELLED_AS.get(reason or "", FailureClass.CANCELLED),
        reason=reason,
        message=task.message,
    )


def _again(
    closing: Closing,
    ended: TaskStatus,
    wanted: Task,
    policy: retry.RetryPolicy,
    outcome: Outcome,
    *,
    ignored: bool,
) -> TaskStatus:
    """The row of a task that has failed and waits to try again."""
    nth = ended.disruptions if ignored else ended.failures
    seed = f"{closing.uid}/{closing.run}/{ended.name}/{ended.attempt}"
    # Up to the next whole second, as that is what is stored: a pause is never shorter.
    due = whole_seconds(closing.now + retry.delay(policy, nth, seed) + timedelta(milliseconds=999))
    attempt = Attempt(
        attempt=ended.attempt,
        class_=ended.class_,
        reason=ended.reason,
        message=shorten(ended.message, SHOWN_LENGTH) if ended.message else None,
        pod_name=ended.pod_name,
        node_name=ended.node_name,
        start_time=ended.start_time,
        completion_time=ended.completion_time,
        exit_code=ended.exit_code,
        signal=ended.signal,
        waited=ended.waited,
    )
    return TaskStatus(
        name=ended.name,
        attempt=ended.attempt,
        reason=BACKOFF,
        message=_announced(attempt, due),
        since=whole_seconds(closing.now),
        final=ended.final,
        failures=ended.failures,
        disruptions=ended.disruptions,
        next_attempt_time=due,
        first_start_time=ended.first_start_time or ended.start_time,
        memory=_memory(ended, wanted, policy, outcome),
        attempts=(*ended.attempts, attempt)[-SHOWN:],
    )


def _memory(
    task: TaskStatus, wanted: Task, policy: retry.RetryPolicy, outcome: Outcome
) -> str | None:
    limit = ((wanted.resources or {}).get("limits") or {}).get("memory")
    if outcome.class_ is not FailureClass.OUT_OF_MEMORY or policy.memory is None or limit is None:
        return task.memory
    return retry.grown(policy.memory, task.memory or str(limit)) or task.memory


def pause_in_bounds(task: TaskStatus, policy: retry.RetryPolicy, now: datetime) -> TaskStatus:
    """The row of a task that waits to try again, by a clock that may have been set back since.

    No pause is longer than the policy allows; one that seems to be begins anew.
    """
    longest = whole_seconds(now) + timedelta(seconds=policy.max_seconds + 1)
    if task.next_attempt_time is None or task.next_attempt_time <= longest:
        return task
    last = task.attempts[-1] if task.attempts else Attempt(task.attempt)
    return replace(task, next_attempt_time=longest, message=_announced(last, longest))


def _announced(last: Attempt, due: datetime) -> str:
    return f"attempt {last.attempt + 1} at {format_time(due)}, after {in_short(last)}"


def in_short(attempt: Attempt) -> str:
    """How an attempt failed, in a few words."""
    code = f" (exit code {attempt.exit_code})" if attempt.exit_code is not None else ""
    return f"{attempt.reason or attempt.class_}{code}"


def out_of_time(task: TaskStatus, wanted: Task, now: datetime) -> TaskStatus:
    """The row of a task whose deadline came while it waited for its next attempt."""
    ended = give_up(task, wanted, now)
    text = f"activeDeadlineSeconds ({wanted.deadline} s) came before attempt {task.attempt + 1}"
    message = f"{text}: {ended.message}" if ended.message else text
    return replace(ended, class_=FailureClass.TIMEOUT, reason=DEADLINE, message=message)
