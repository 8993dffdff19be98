"""What is wanted, as values: a task, from the wire.

It has passed `core.validation.validate` before; its shape is trusted here.
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
