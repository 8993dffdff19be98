"""The Observatory as values: its spec and its status, to and from the wire.

What comes from the wire here has passed `validation.validate`: these functions trust its shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

JsonObject = dict[str, Any]
"""A JSON object as the API server sends it. Objects in the store are shared: do not change them."""


@dataclass(frozen=True, slots=True)
class Task:
    """One node of the DAG: a container that runs to its end."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    env: tuple[JsonObject, ...] = ()

    @classmethod
    def from_wire(cls, task: JsonObject) -> Task:
        """The task of one item of `spec.tasks`."""
        return cls(
            name=task["name"],
            image=task["image"],
            command=tuple(task.get("command") or ()),
            args=tuple(task.get("args") or ()),
            dependencies=tuple(task.get("dependencies") or ()),
            env=tuple(task.get("env") or ()),
        )


@dataclass(frozen=True, slots=True)
class Spec:
    """What the user wants."""

    tasks: tuple[Task, ...]
    schedule: str | None = None
    suspend: bool = False
    max_concurrent: int | None = None

    @classmethod
    def from_wire(cls, spec: JsonObject) -> Spec:
        """The spec of an Observatory that is valid."""
        return cls(
            tasks=tuple(Task.from_wire(task) for task in spec["tasks"]),
            schedule=spec.get("schedule"),
            suspend=bool(spec.get("suspend")),
            max_concurrent=spec.get("maxConcurrent"),
        )
