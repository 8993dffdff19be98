"""Containers that others put into a task's Pod: one that runs on, and one that failed the Pod.

The operator puts one container into a Pod. Service meshes and agents inject more at admission. A
native sidecar, an init container with `restartPolicy: Always`, is ended by the kubelet and appears
nowhere here. Any other one holds the Pod's end, or decides it.
"""

from __future__ import annotations

from collections.abc import Iterator

from observatory.api.names import TASK_CONTAINER
from observatory.api.times import parse_time
from observatory.api.types import JsonObject
from observatory.core.model import PodWait

RUNS_ON = "SidecarRunning"
"""Why a task goes on whose container has ended."""
FAILED = "SidecarFailed"
"""Why an attempt failed whose container did not."""
INIT_FAILED = "InitContainerFailed"
"""Why an attempt failed whose container never began."""


def lingering(status: JsonObject, ended: JsonObject) -> PodWait | None:
    """The wait for a container that runs on after the task's own has `ended`."""
    finished = ended.get("finishedAt")
    if not finished:
        return None
    for name, state in _others(status, "containerStatuses"):
        if "terminated" not in state:
            code = ended.get("exitCode")
            message = (
                f'Container "{name}" runs on after the task\'s own ended with exit code {code}: '
                "only a native sidecar ends with it"
            )
            return PodWait(RUNS_ON, message, parse_time(finished), hard=False)
    return None


def blamed(status: JsonObject, ended: JsonObject) -> tuple[str, str] | None:
    """Reason and message of a Pod that failed by another container than the task's.

    That one `ended` with exit code 0, or never began, which is when it is an empty state.
    """
    field, reason = (
        ("containerStatuses", FAILED) if ended else ("initContainerStatuses", INIT_FAILED)
    )
    for name, state in _others(status, field):
        other = state.get("terminated") or {}
        if code := other.get("exitCode"):
            told = other.get("message") or other.get("reason")
            return reason, f'Container "{name}" ended with exit code {code}' + (
                f": {told}" if told else ""
            )
    return None


def _others(status: JsonObject, field: str) -> Iterator[tuple[str, JsonObject]]:
    """The other containers, with their states."""
    for container in status.get(field) or ():
        if container.get("name") != TASK_CONTAINER:
            yield container.get("name", ""), container.get("state") or {}
