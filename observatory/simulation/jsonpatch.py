"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386), as far as the operator uses them."""

# ruff: noqa: ANN401 -- JSON is any type

from __future__ import annotations

from typing import Any

from observatory.simulation.storage import copied


class PatchError(Exception):
    """The patch does not apply to the document."""


def apply_json_patch(document: Any, operations: list[dict[str, Any]]) -> Any:
    """The document after the operations, in order; it raises `PatchError`."""
    result = copied(document)
    for operation in operations:
        tokens = [
            token.replace("~1", "/").replace("~0", "~")
            for token in operation["path"].split("/")[1:]
        ]
        result = _one(result, operation, tokens)
    return result


def _one(document: Any, operation: dict[str, Any], tokens: list[str]) -> Any:
    name = operation["op"]
    if not tokens:
        if name == "test" and document != operation["value"]:
            raise PatchError("testing the whole document failed")
        return operation["value"] if name in {"add", "replace"} else document
    parent = document
    for token in tokens[:-1]:
        parent = _child(parent, token)
    last = tokens[-1]
    match name:
        case "test":
            if _child_or_none(parent, last) != operation.get("value"):
                raise PatchError(f"testing value {operation['path']} failed")
        case "add" if isinstance(parent, list):
            parent.insert(len(parent) if last == "-" else int(last), operation["value"])
        case "add":
            parent[last] = operation["value"]
        case "replace":
            _child(parent, last)
            parent[int(last) if isinstance(parent, list) else last] = operation["value"]
        case "remove":
            _child(parent, last)
            del parent[int(last) if isinstance(parent, list) else last]
        case _:
            raise PatchError(f"{name} is not simulated")
    return document


def _child(parent: Any, token: str) -> Any:
    try:
        return parent[int(token)] if isinstance(parent, list) else parent[token]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise PatchError(f"no {token}") from error


def _child_or_none(parent: Any, token: str) -> Any:
    try:
        return _child(parent, token)
    except PatchError:
        return None


def apply_merge_patch(document: Any, patch: Any) -> Any:
    """The document with what the patch names replaced, and what it nulls removed."""
    if not isinstance(patch, dict):
        return copied(patch)
    result = copied(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = apply_merge_patch(result.get(name), value)
    return result
