"""Which attempts have taken too long, and when the next one will have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from observatory.api.taskstatus import TaskStatus
from observatory.api.types import Task
from observatory.core.attempts import DEADLINE, START_DEADLINE
from observatory.core.model import Pod, PodWait
from observatory.core.sidecars import RUNS_ON

WAITS_AT_MOST = {
    "InvalidImageName": timedelta(0),
    "ImagePull": timedelta(seconds=300),
    "CreateContainerConfigError": timedelta(seconds=300),
    "CreateContainerError": timedelta(seconds=300),
    "RunContainerError": timedelta(seconds=300),
}
"""How long an attempt may wait for a reason that rarely passes, where the task doesn't say."""
STARTED = frozenset({"Terminating", "NodeNotReady", RUNS_ON})
"""Waits of Pods whose containers may be running, or have run."""


@dataclass(slots=True)
class Alarm:
    """What time it is, and when to plan again though nothing may have changed: the earliest."""

    now: datetime
    at: datetime | None = None

    def set(self, time: datetime | None) -> None:
        """Ring at that time, too."""
        if time is not None and (self.at is None or time < self.at):
            self.at = time


@dataclass(frozen=True, slots=True)
class Overdue:
    """Why an attempt is to be ended."""

    reason: str
    message: str


def overdue(task: Task, row: TaskStatus, pod: Pod, alarm: Alarm) -> Overdue | None:
    """Why this attempt has taken too long; if it hasn't, the alarm is set to when it will have."""
    ends = due(task, row, pod)
    if ends and ends <= alarm.now:
        limit = f"activeDeadlineSeconds ({task.deadline} s)"
        return Overdue(DEADLINE, f"The task took longer than {limit} over all attempts")
    alarm.set(ends)
    return _not_running(task, row, pod, alarm)


def due(task: Task, row: TaskStatus, pod: Pod | None = None) -> datetime | None:
    """When the task has taken too long over all attempts, if it has started and has a deadline.

    A status that had to be shortened may lack when it started; its Pod was created just before.
    """
    start = row.first_start_time or row.start_time or (pod.created if pod else None)
    if task.deadline is None or start is None:
        return None
    return start + timedelta(seconds=task.deadline)


def _not_running(task: Task, row: TaskStatus, pod: Pod, alarm: Alarm) -> Overdue | None:
    """Why an attempt is to be ended whose container should be running by now."""
    wait = pod.wait
    if wait is None or pod.gated or wait.reason in STARTED:
        return None
    start = row.start_time or pod.created
    if task.starting_deadline is not None and start:
        ends = start + timedelta(seconds=task.starting_deadline)
        reason = wait.reason if wait.reason in WAITS_AT_MOST else START_DEADLINE
        text = f"Not running after startingDeadlineSeconds ({task.starting_deadline} s)"
        if wait.reason == "InvalidImageName":
            ends = alarm.now
    elif (most := WAITS_AT_MOST.get(wait.reason)) is not None:
        ends, reason = wait.since + most, wait.reason
        text = f"Not running after {int(most.total_seconds())} s"
    else:
        return None
    if ends <= alarm.now:
        return Overdue(reason, _said(text, wait))
    alarm.set(ends)
    return None


def _said(text: str, wait: PodWait) -> str:
    if wait.reason == "InvalidImageName":
        return wait.message or "The image's name is invalid"
    return f"{text}: {wait.reason}" + (f": {wait.message}" if wait.message else "")
