"""What people should know of a valid Observatory: its plan, and what is probably not meant.

The webhook says it as warnings, `observatory validate` beside its verdict. Nothing here refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import chain, islice

from observatory.api.advice import Advice
from observatory.api.fielderrors import quote
from observatory.api.image import is_floating
from observatory.api.names import Key
from observatory.api.scheduleschema import SCHEDULING
from observatory.api.types import JsonObject
from observatory.core.cronadvice import advise_scheduling, next_run
from observatory.core.graph import Graph
from observatory.core.schedule import is_scheduled

MOST_ADVICE = 10
"""Nobody reads more beside what they are about to do."""
IMAGE_SHOWN = 48
"""Characters of an image's name."""

_SECRET = re.compile(r"(\A|_)(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|CREDENTIALS?)\Z")
_WHEN = ("schedule", "schedules")


def outline(observatory: JsonObject) -> str:
    """The plan of a valid Observatory in a few words: `12 tasks, 5 levels, widest 4`."""
    spec = observatory["spec"]
    tasks, final = spec["tasks"], spec.get("finally") or ()
    parts = [_count(len(tasks), "task")]
    if len(tasks) > 1:
        graph = Graph({task["name"]: task.get("dependencies") or () for task in tasks})
        widths = graph.widths()
        parts += [_count(len(widths), "level"), f"widest {max(widths)}"]
    if final:
        parts.append(f"then {_count(len(final), 'task')} of finally")
    return ", ".join(parts)


def plan_line(observatory: JsonObject, now: datetime) -> str:
    """The same with when it begins, as a warning says it."""
    text = f"plan: {outline(observatory)}"
    begins = next_run(_key(observatory), observatory["spec"], now)
    return f"{text}; first run {begins:%Y-%m-%dT%H:%MZ}" if begins else text


def advise(observatory: JsonObject, now: datetime) -> list[Advice]:
    """What is probably not meant in a valid Observatory; at most `MOST_ADVICE`."""
    spec = observatory["spec"]
    found = chain(
        _of_idle_fields(spec),
        _of_images(spec),
        _of_secrets(spec),
        advise_scheduling(_key(observatory), spec, now),
    )
    return list(islice(found, MOST_ADVICE))


def _key(observatory: JsonObject) -> Key:
    # `H` is hashed from the name: where the API server makes one up, this one stands for it.
    metadata = observatory["metadata"]
    name = metadata.get("name") or metadata.get("generateName") or ""
    return Key(metadata.get("namespace") or "", name)


def _of_idle_fields(spec: JsonObject) -> Iterator[Advice]:
    if spec.get("suspend"):
        yield Advice("spec.suspend", "nothing of it starts until this is false")
    if not is_scheduled(spec):
        for field in SCHEDULING:
            if spec.get(field) and field not in _WHEN:
                yield Advice(f"spec.{field}", "has no effect without spec.schedule")


def _tasks(spec: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    for field in ("tasks", "finally"):
        for index, task in enumerate(spec.get(field) or ()):
            yield f"spec.{field}[{index}]", task


def _of_images(spec: JsonObject) -> Iterator[Advice]:
    floating = [(path, task["image"]) for path, task in _tasks(spec) if is_floating(task["image"])]
    if floating:
        path, image = floating[0]
        text = f"{quote(image, IMAGE_SHOWN)} is whatever is latest; pin a tag or a digest"
        yield Advice(f"{path}.image", text + _more(floating))


def _of_secrets(spec: JsonObject) -> Iterator[Advice]:
    plain = [
        f"{path}.env[{index}].value"
        for path, task in _tasks(spec)
        for index, variable in enumerate(task.get("env") or ())
        if variable.get("value") and _SECRET.search(variable["name"].upper())
    ]
    if plain:
        text = "a secret that all may read? valueFrom.secretKeyRef keeps it"
        yield Advice(plain[0], text + _more(plain))


def _more(found: list[tuple[str, str]] | list[str]) -> str:
    return f" (and {len(found) - 1} more)" if len(found) > 1 else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
