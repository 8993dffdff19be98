"""Says everything that is wrong with an Observatory, at once.

One function for the controller, the command line and admission: they cannot disagree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice

from observatory.api.environment import check_variable
from observatory.api.fielderrors import (
    ErrorType,
    FieldError,
    by_place,
    child,
    did_you_mean,
    duplicate,
    forbidden,
    invalid,
    not_found,
    quote,
    required,
    unsupported,
)
from observatory.api.image import image_problem
from observatory.api.names import API_VERSION, KIND
from observatory.api.openapi import DNS_LABEL, PATTERN_HELP
from observatory.api.schema import NAME, OBSERVATORY
from observatory.api.specschema import SPEC
from observatory.api.structural import check
from observatory.api.taskschema import MAX_ENV, MAX_IMAGE, MAX_TASKS
from observatory.api.types import JsonObject
from observatory.core.failurechecks import check_spec, check_task
from observatory.core.fit import room_for_pods
from observatory.core.graph import Graph
from observatory.core.schedulechecks import check_scheduling

SUGGESTIONS = 10
"""Unknown dependencies that get a "did you mean": it sorts the names of all tasks."""
UNKNOWN_SHOWN = 100
"""Unknown dependencies with an error each; the others are counted."""
MOST_ERRORS = 1000
"""Nobody reads more, and a program's mistake must not keep the operator busy."""
CYCLE_SHOWN = 12
"""Tasks of a cycle that are spelled out; a longer one is shown by both of its ends."""
CYCLE_LENGTH = 1000
"""Characters; enough for that many names."""

_LABEL = re.compile(DNS_LABEL.removesuffix("$") + r"\Z")


def validate(obj: object) -> list[FieldError]:
    """The errors of an Observatory in the order of their fields; none if it is valid.

    It is total: any JSON value gives errors, never an exception. The status is not looked at.
    After `MOST_ERRORS`, one error at the end stands for those that are left out.
    """
    if not isinstance(obj, dict):
        return [invalid("object", obj, "must be an object")]
    errors = [*_some(_check_root(obj)), *_check_metadata(obj.get("metadata"))]
    spec = obj.get("spec")
    if spec is None:
        errors.append(required("spec"))
    else:
        errors += check(spec, SPEC, "spec")
    if isinstance(spec, dict):
        known = {error.path for error in errors}
        errors += _some(error for error in _check_meaning(spec) if error.path not in known)
    return _readable(errors) if errors else list(_check_size(obj["spec"]))


def _some(errors: Iterator[FieldError]) -> Iterator[FieldError]:
    """As many as are shown and one more, which tells that there are more."""
    return islice(errors, MOST_ERRORS + 1)


def _readable(errors: list[FieldError]) -> list[FieldError]:
    ordered = by_place(errors[:MOST_ERRORS])
    if (more := len(errors) - MOST_ERRORS) > 0:
        ordered.append(FieldError(ErrorType.TOO_MANY, "object", detail=f"at least {more} more"))
    return ordered


def _check_root(obj: JsonObject) -> Iterator[FieldError]:
    properties = OBSERVATORY["properties"]
    for key in obj:
        if key not in properties:
            yield forbidden(child("", key), "unknown field", did_you_mean(key, properties))
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if obj.get(field, wanted) != wanted:
            yield unsupported(field, obj[field], [wanted])


def _check_metadata(metadata: object) -> Iterator[FieldError]:
    if metadata is None:
        yield required("metadata.name")
        return
    if not isinstance(metadata, dict):
        yield invalid("metadata", metadata, "must be an object")
        return
    name, prefix = metadata.get("name"), metadata.get("generateName")
    if name is not None:
        yield from check(name, {**NAME, "minLength": 1}, "metadata.name")
    elif prefix is None:
        yield required("metadata.name", "or metadata.generateName")
    elif not isinstance(prefix, str):
        yield invalid("metadata.generateName", prefix, "must be a string")
    elif prefix and not _LABEL.match(f"{prefix[:-1]}{prefix[-1].replace('-', 'x')}"):
        yield invalid("metadata.generateName", prefix, PATTERN_HELP[DNS_LABEL])


def _check_size(spec: JsonObject) -> Iterator[FieldError]:
    """Spec and status share one object. A status that couldn't be stored would stop the run."""
    size = len(json.dumps(spec, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))
    tasks = (*spec["tasks"], *(spec.get("finally") or ()))
    branches = any(task.get("triggerRule") or task.get("onFailure") for task in tasks)
    if room_for_pods(size, (task["name"] for task in tasks), branches=branches) < 1:
        count = len(tasks)
        detail = f"{size:,} bytes leave no room for a status of {count:,} tasks in the same object"
        hint = "split the workflow, or shorten names, commands, args and env"
        yield FieldError(ErrorType.TOO_LONG, "spec", detail=detail, hint=hint)


def _check_meaning(spec: JsonObject) -> Iterator[FieldError]:
    """What a schema cannot say, of whatever has the right type."""
    yield from check_scheduling(spec)
    yield from check_spec(spec)
    main, final = _tasks(spec.get("tasks"), "tasks"), _tasks(spec.get("finally"), "finally")
    for path, task in (main | final).items():
        yield from _check_task(task, path)
    yield from _check_graph(main, final)


def _tasks(items: object, field: str) -> dict[str, JsonObject]:
    """The tasks of a list by their paths, as far as they are some."""
    if not isinstance(items, list) or len(items) > MAX_TASKS:
        return {}
    return {
        f"spec.{field}[{index}]": task for index, task in enumerate(items) if isinstance(task, dict)
    }


def _check_task(task: JsonObject, path: str) -> Iterator[FieldError]:
    image = task.get("image")
    if isinstance(image, str) and 0 < len(image) <= MAX_IMAGE and (problem := image_problem(image)):
        yield invalid(f"{path}.image", image, problem)
    env = task.get("env")
    if isinstance(env, list) and len(env) <= MAX_ENV:
        for position, variable in enumerate(env):
            if isinstance(variable, dict) and variable.get("valueFrom") is not None:
                yield from check_variable(variable, f"{path}.env[{position}]")
    yield from check_task(task, path)


def _check_graph(main: dict[str, JsonObject], final: dict[str, JsonObject]) -> Iterator[FieldError]:
    first: dict[str, str] = {}
    for path, task in (main | final).items():
        name = task.get("name")
        if isinstance(name, str) and first.setdefault(name, path) != path:
            yield duplicate(f"{path}.name", name, first[name])
    for tasks, others, field in ((main, final, "tasks"), (final, main, "finally")):
        yield from _check_dependencies(tasks, others)
        # Of tasks of the same name the first counts, so that one mistake gives one error.
        names = {name: path for name, path in first.items() if path in tasks}
        graph = Graph({name: _dependencies(tasks[path]).values() for name, path in names.items()})
        for cycle in graph.cycles():
            yield FieldError(
                ErrorType.INVALID,
                f"spec.{field}",
                quote(_spell_out((*cycle, cycle[0])), CYCLE_LENGTH),
                "dependency cycle",
                "each task waits for the next one; remove one of these dependencies",
            )


def _check_dependencies(
    tasks: dict[str, JsonObject], others: dict[str, JsonObject]
) -> Iterator[FieldError]:
    names = {task["name"] for task in tasks.values() if isinstance(task.get("name"), str)}
    elsewhere = {task["name"] for task in others.values() if isinstance(task.get("name"), str)}
    unknown = 0
    for path, task in tasks.items():
        final = path.startswith("spec.finally")
        for position, dependency in _dependencies(task).items():
            where = f"{path}.dependencies[{position}]"
            if dependency == task.get("name"):
                yield invalid(where, dependency, "task cannot depend on itself")
            elif dependency in names:
                continue
            elif dependency in elsewhere:
                text = (
                    "finally runs after all tasks anyway; remove it"
                    if final
                    else "a task cannot wait for finally, which runs after all tasks"
                )
                yield invalid(where, dependency, text)
            else:
                unknown += 1
                if unknown > UNKNOWN_SHOWN:
                    continue
                hint = did_you_mean(dependency, names) if unknown <= SUGGESTIONS else ""
                yield not_found(where, dependency, hint or "no task has this name")
    if unknown > UNKNOWN_SHOWN:
        detail, hint = f"{unknown} dependencies", f"the first {UNKNOWN_SHOWN} follow"
        yield FieldError(ErrorType.NOT_FOUND, "spec.tasks", "", detail, hint)


def _dependencies(task: JsonObject) -> dict[int, str]:
    items = task.get("dependencies")
    if not isinstance(items, list) or len(items) > MAX_TASKS:
        return {}
    return {position: name for position, name in enumerate(items) if isinstance(name, str)}


def _spell_out(names: tuple[str, ...]) -> str:
    hidden = len(names) - CYCLE_SHOWN
    if hidden > 1:
        half = CYCLE_SHOWN // 2
        names = (*names[:half], f"({hidden} more)", *names[-half:])
    return " -> ".join(names)
