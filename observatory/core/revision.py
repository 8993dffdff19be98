"""Revisions: the part of a spec that a run executes, kept in an `apps/v1` ControllerRevision.

A run is pinned to one. Editing the Observatory while it runs makes another, which runs next.
"""

from __future__ import annotations

import orjson

from observatory.api.fielderrors import ErrorType
from observatory.api.names import (
    CONTROLLER_REVISIONS,
    LABEL_OBSERVATORY,
    Key,
    revision_hash,
    revision_name,
    short_hash,
)
from observatory.api.specschema import SPEC
from observatory.api.structural import check
from observatory.api.types import JsonObject, Task
from observatory.core.graph import Graph
from observatory.core.model import Desired, Program
from observatory.core.owners import owner_reference
from observatory.core.retry import RetryPolicy

LABEL_HASH = "controller.kubernetes.io/hash"
_EXECUTED = ("tasks", "finally", "retry", "securityContext")
"""The fields that say what a run executes."""
HISTORY_LIMIT = 10
"""How many revisions of one Observatory are kept."""


def program_of(key: Key, uid: str, spec: JsonObject) -> Program:
    """The program of a spec that is valid.

    The revision's name has a hash of its fields just as they are stored: nothing is defaulted or
    reordered before, so a newer version of this controller finds the same name.
    """
    executed = {field: spec[field] for field in _EXECUTED if spec.get(field)}
    content = {"spec": executed}
    canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()
    return _program(revision_name(key.name, short_hash(uid, canonical)), content)


def stored_program(revision: JsonObject) -> Program:
    """The program that a ControllerRevision holds.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: This controller has not written it.
    """
    content = revision["data"]
    # A version that knows more fields may have written it; what is known has to be right.
    errors = [
        error
        for error in check(content["spec"], SPEC, "data.spec")
        if error.type is not ErrorType.FORBIDDEN
    ]
    if errors:
        raise ValueError(str(errors[0]))
    name = revision["metadata"]["name"]
    if not isinstance(name, str):
        raise TypeError("metadata.name is not a text")
    program = _program(name, content)
    names = {task.name for task in program.tasks}
    if len(names) < len(program.tasks) or any(t.name in t.dependencies for t in program.tasks):
        raise ValueError("data.spec.tasks: Invalid value: a task that can never start")
    return program


def _program(name: str, content: JsonObject) -> Program:
    spec = content["spec"]
    main, final = spec["tasks"], spec.get("finally") or []
    security = spec.get("securityContext")
    tasks = tuple(Task.from_wire(task, security) for task in (*main, *final))
    graph = Graph({task.name: task.dependencies for task in tasks})
    position = {task.name: index for index, task in enumerate(tasks)}
    return Program(
        revision=name,
        content=content,
        tasks=tasks,
        main=len(main),
        order=tuple(position[name] for name in graph.order()),
        dependencies=tuple(
            tuple(position[dependency] for dependency in task.dependencies) for task in tasks
        ),
        policies=_policies(tasks, spec.get("retry")),
    )


def _policies(tasks: tuple[Task, ...], default: JsonObject | None) -> tuple[RetryPolicy, ...]:
    """One policy a task; the many tasks without one of their own share one."""
    shared = RetryPolicy.from_wire(default)
    return tuple(
        RetryPolicy.from_wire(default, task.retry) if task.retry else shared for task in tasks
    )


def revision_manifest(desired: Desired, program: Program, run: int) -> JsonObject:
    """The ControllerRevision of a program. Its `revision` is the number of the run it is for."""
    return {
        "apiVersion": CONTROLLER_REVISIONS.api_version,
        "kind": CONTROLLER_REVISIONS.kind,
        "metadata": {
            "name": program.revision,
            "namespace": desired.key.namespace,
            "labels": {
                LABEL_OBSERVATORY: desired.key.name,
                LABEL_HASH: revision_hash(program.revision),
            },
            "ownerReferences": [owner_reference(desired.key.name, desired.uid)],
        },
        "data": program.content,
        "revision": run,
    }
