"""What is wanted, as values: a task, from the wire.

It has passed `core.validation.validate` before; its shape is trusted here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

JsonObject = dict[str, Any]
"""A JSON object as the API server sends it. Objects in the store are shared: do not change them."""


DEFAULT_RULE = "AllSucceeded"
"""When a task runs that doesn't say otherwise."""

RESOURCES = ("limits", "requests")
SECURITY = ("readOnlyRootFilesystem", "runAsGroup", "runAsNonRoot", "runAsUser")
"""What of a container's fields a workflow may set. A revision that somebody else wrote may have
more: what is not in these lists reaches no Pod."""


@dataclass(frozen=True, slots=True)
class Task:
    """One node of the DAG: a container that runs to its end.

    Attributes:
        trigger_rule: When it runs, by how its dependencies ended.
        ignore_failure: The run goes on as if the task had succeeded.
        deadline: Seconds over all attempts.
        attempt_deadline: Seconds of one attempt, kept by the kubelet.
        starting_deadline: Seconds until its container runs.
        grace: Seconds between SIGTERM and SIGKILL.
        security: Whom its container runs as.
        retry: Its own retry policy, as it is written; the workflow's fills in what it lacks.
    """

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    env: tuple[JsonObject, ...] = ()
    resources: JsonObject | None = None
    trigger_rule: str = DEFAULT_RULE
    ignore_failure: bool = False
    deadline: int | None = None
    attempt_deadline: int | None = None
    starting_deadline: int | None = None
    grace: int | None = None
    security: JsonObject | None = None
    retry: JsonObject | None = None

    @classmethod
    def from_wire(cls, task: JsonObject, security: JsonObject | None = None) -> Task:
        """The task of one item of `spec.tasks`; `security` is the workflow's."""
        return cls(
            name=task["name"],
            image=task["image"],
            command=tuple(task.get("command") or ()),
            args=tuple(task.get("args") or ()),
            dependencies=tuple(task.get("dependencies") or ()),
            env=tuple(task.get("env") or ()),
            resources=_only(RESOURCES, task.get("resources")),
            trigger_rule=task.get("triggerRule") or DEFAULT_RULE,
            ignore_failure=task.get("onFailure") == "Ignore",
            deadline=task.get("activeDeadlineSeconds"),
            attempt_deadline=task.get("attemptDeadlineSeconds"),
            starting_deadline=task.get("startingDeadlineSeconds"),
            grace=task.get("terminationGracePeriodSeconds"),
            security=_only(SECURITY, security, task.get("securityContext")),
            retry=task.get("retry"),
        )


def _only(fields: tuple[str, ...], *given: JsonObject | None) -> JsonObject | None:
    """Of these fields, what the last that has one says; None if there is none."""
    merged = {name: each[name] for each in given if each for name in fields if name in each}
    return merged or None
