"""What the tasks of `finally` get to know of the run that they come after."""

from __future__ import annotations

from collections.abc import Sequence

from observatory.api.status import Status
from observatory.api.taskstatus import TaskStatus
from observatory.api.text import shorten
from observatory.api.types import JsonObject
from observatory.core.ending import counts

MESSAGE_LENGTH = 1024


def environment(name: str, status: Status, rows: Sequence[TaskStatus]) -> tuple[JsonObject, ...]:
    """The environment variables that tell how the tasks ended. They have all ended by then."""
    failed = [task for task in rows if counts(task) and task.completion_time]
    first = min(failed, key=lambda task: task.completion_time or 0, default=None)
    ending = status.ending
    if ending is not None:
        reason, message = ending.reason, ending.message
    elif first is not None:
        reason, message = "TaskFailed", first.message or first.reason
    else:
        reason, message = "AllTasksSucceeded", None
    told = {
        "OBSERVATORY_NAME": name,
        "OBSERVATORY_RUN": str(status.run),
        "OBSERVATORY_PHASE": "Failed" if first or ending else "Succeeded",
        "OBSERVATORY_REASON": reason,
        "OBSERVATORY_FAILED_TASK": first.name if first else "",
        # Kubernetes expands $(NAME) in values; a message is to arrive as it is.
        "OBSERVATORY_MESSAGE": shorten(message or "", MESSAGE_LENGTH).replace("$", "$$"),
    }
    return tuple({"name": name, "value": value} for name, value in told.items())
