"""Label and field selectors of lists and watches: equality, existence, sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from observatory.api.types import JsonObject

Matcher = Callable[[JsonObject], bool]

_SET = re.compile(r"^([^\s!=,()]+)\s+(in|notin)\s+\(([^)]*)\)$")
_EQUALITY = re.compile(r"^([^\s!=,()]+)\s*(==|=|!=)\s*([^\s!=,()]*)$")
_EXISTENCE = re.compile(r"^(!?)\s*([^\s!=,()]+)$")


def matcher(params: Mapping[str, str]) -> Matcher:
    """Whether an object is in a list or watch with these parameters."""
    labels = [_label(text) for text in _parts(params.get("labelSelector", ""))]
    fields = [_field(text) for text in _parts(params.get("fieldSelector", ""))]
    return lambda item: (
        all(test(item["metadata"].get("labels") or {}) for test in labels)
        and all(test(item) for test in fields)
    )


def _parts(selector: str) -> list[str]:
    return [part.strip() for part in re.split(r",(?![^()]*\))", selector) if part.strip()]


def _label(text: str) -> Callable[[dict[str, str]], bool]:
    if found := _SET.match(text):
        name, operator, values = found.groups()
        allowed = {value.strip() for value in values.split(",")}
        if operator == "in":
            return lambda labels: labels.get(name) in allowed
        return lambda labels: labels.get(name) not in allowed
    if found := _EQUALITY.match(text):
        name, operator, value = found.groups()
        return lambda labels: (labels.get(name) == value) is (operator != "!=")
    if found := _EXISTENCE.match(text):
        absent, name = found.groups()
        return lambda labels: (name in labels) is not bool(absent)
    raise ValueError(f"not a label selector: {text}")


def _field(text: str) -> Callable[[JsonObject], bool]:
    found = _EQUALITY.match(text)
    if found is None:
        raise ValueError(f"not a field selector: {text}")
    path, operator, value = found.groups()

    def test(item: JsonObject) -> bool:
        at: Any = item
        for name in path.split("."):
            at = at.get(name, "") if isinstance(at, dict) else ""
        return (str(at) == value) is (operator != "!=")

    return test
