"""What a kustomize Component changes, as conditions in what it changes."""

from __future__ import annotations

from typing import Any

from .tokens import Object, fields_when, when

Key = tuple[str, str]


def key(document: Object) -> Key:
    """What an object is called."""
    return document["kind"], document["metadata"]["name"]


def merged(
    base: list[Object], variant: list[Object], condition: str
) -> tuple[list[Object], dict[Key, str]]:
    """The objects of both, and when those are there that only one of them has."""
    first, second = ({key(each): each for each in side} for side in (base, variant))
    both = {
        name: _merged(document, second[name], condition) if name in second else document
        for name, document in first.items()
    }
    conditions = dict.fromkeys(first.keys() - second.keys(), f"not {condition}")
    conditions |= dict.fromkeys(second.keys() - first.keys(), condition)
    return [*(second | both).values()], conditions


def _merged(one: Any, other: Any, condition: str) -> Any:  # noqa: ANN401
    if one == other:
        return one
    if isinstance(one, dict) and isinstance(other, dict):
        return _fields(one, other, condition)
    if isinstance(one, list) and isinstance(other, list):
        return _items(one, other, condition)
    raise ValueError(f"{one!r} and {other!r}: only what is added or left out can be a condition")


def _fields(one: Object, other: Object, condition: str) -> Object:
    found = {
        name: _merged(item, other[name], condition) if name in other else item
        for name, item in one.items()
    }
    left_out = {name: item for name, item in found.items() if name not in other}
    added = {name: item for name, item in other.items() if name not in one}
    for name in left_out:
        del found[name]
    if left_out:
        found |= fields_when(f"not {condition}", left_out)
    return found | (fields_when(condition, added) if added else {})


def _items(one: list[Any], other: list[Any], condition: str) -> list[Any]:
    named = {item["name"]: item for item in other if isinstance(item, dict) and "name" in item}
    found: list[Any] = []
    for item in one:
        twin = named.get(item["name"]) if isinstance(item, dict) and "name" in item else None
        if item in other or twin is not None:
            found.append(_merged(item, item if twin is None else twin, condition))
        else:
            found += when(f"not {condition}", [item])
    names = {item["name"] for item in one if isinstance(item, dict) and "name" in item}
    added = [
        item
        for item in other
        if item not in one and not (isinstance(item, dict) and item.get("name") in names)
    ]
    return found + (when(condition, added) if added else [])
