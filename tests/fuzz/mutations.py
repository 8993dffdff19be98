"""Objects that are nearly right: a valid one with some of its nodes deleted, replaced, retyped.

Pure chance makes objects that fail at their first field. These get past it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any, TypeAlias

import orjson
from hypothesis import reject, settings
from hypothesis import strategies as st

from observatory.api.types import JsonObject

JSON: TypeAlias = Any
Path: TypeAlias = tuple[str | int, ...]

DEEP: JSON = "bottom"
for _ in range(400):
    DEEP = [DEEP]

ODD: list[JSON] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63 - 1, -(2**63), 10**30, 1.5, 1e300, 10**400),
    *("", " ", "x", "a", "1", "-1", "\u0000", "\u0430\u202e", "../../x", "x" * 5000, "9" * 5000),
    *("Running", "Succeeded", "true", "None", "a\nb", "$(A)", "{0.__class__}", "\U0001f980"),
    *("2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00"),
    *("0001-01-01T00:00:00+14:00", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "yesterday"),
    *([], {}, [None], [[]], [{}], ["a"], [1], {"a": None}, {"name": "a"}, {"": ""}, DEEP),
]
"""What has broken decoders before, here or elsewhere."""

values: st.SearchStrategy[JSON] = st.recursive(
    st.sampled_from(ODD)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)
"""Any JSON value, the odd ones first."""


def examples(count: int) -> settings:
    """So many examples; a hundred times as many with `--hypothesis-profile=soak`."""
    profile = settings.get_profile(settings.get_current_profile_name())
    return settings(max_examples=max(count * profile.max_examples // 100, 1))


@st.composite
def mutated(draw: st.DrawFn, originals: list[JSON], *, changes: int = 3) -> JSON:
    """One of the originals with one to `changes` of its nodes changed."""
    document = copy.deepcopy(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, changes))):
        paths = list(_paths(document))
        if not paths:
            break
        _change(document, draw(st.sampled_from(paths)), draw)
    return document


def as_on_the_wire(document: JSON) -> JSON:
    """What the operator's own decoder makes of it: large numbers become floats, for example.

    What it refuses never gets further; `test_streams.py` has that.
    """
    try:
        return orjson.loads(json.dumps(document))
    except orjson.JSONDecodeError:
        reject()


def _paths(document: JSON) -> Iterator[Path]:
    """The paths of all nodes but the root; those below `DEEP` are all the same."""
    stack: list[tuple[Path, JSON]] = [((), document)]
    while stack:
        path, node = stack.pop()
        if path:
            yield path
        if isinstance(node, dict):
            stack += [((*path, key), inner) for key, inner in node.items()]
        elif isinstance(node, list) and node is not DEEP and len(path) < 20:
            stack += [((*path, index), inner) for index, inner in enumerate(node)]


def _change(document: JSON, path: Path, draw: st.DrawFn) -> None:
    *way, last = path
    parent = document
    for step in way:
        parent = parent[step]
    node = parent[last]
    match draw(st.sampled_from(["replace", "delete", "wrap", "text", "repeat", "rename"])):
        case "delete":
            del parent[last]
        case "wrap":
            parent[last] = [node]
        case "text":
            parent[last] = json.dumps(node) if len(path) < 20 else ""
        case "repeat" if isinstance(parent, list):
            parent.append(copy.deepcopy(node))
        case "rename" if isinstance(parent, dict):
            parent[draw(st.text(max_size=8))] = parent.pop(last)
        case _:
            parent[last] = json.loads(json.dumps(draw(values)))  # a copy: it may be changed next


def put(document: JsonObject, *path: str, value: JSON) -> JsonObject:
    """A copy with one node replaced, whatever was there."""
    made = copy.deepcopy(document)
    node = made
    for step in path[:-1]:
        node = node.setdefault(step, {})
    node[path[-1]] = value
    return made
