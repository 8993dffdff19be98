"""The API reference as Markdown, from the schema and the conditions."""

from __future__ import annotations

from collections.abc import Iterator

from observatory.api.conditions import TYPES, Reason
from observatory.api.crd import CATEGORY, SHORT_NAME
from observatory.api.names import API_VERSION, KIND
from observatory.api.specschema import SPEC
from observatory.api.statusschema import STATUS
from observatory.api.types import JsonObject

_INTRODUCTION = f"""\
# API reference

`{KIND}` of `{API_VERSION}`; short name `{SHORT_NAME}`, category `{CATEGORY}`. The same text is in
the cluster: `kubectl explain observatory.spec.tasks.dependencies`. Fields in bold are required.

`metadata.name` is at most 63 characters, a lowercase RFC 1123 label: it goes into a label of the
Pods.
"""


def reference() -> str:
    """The whole page."""
    sections = [_INTRODUCTION, *_sections("spec", SPEC), *_sections("status", STATUS)]
    return "\n".join([*sections, _conditions()])


def _sections(path: str, schema: JsonObject) -> Iterator[str]:
    """A table for the object at the path, and then one for each object within it."""
    rows = [f"## {path}", "", schema["description"], "", "| Field | Type | |", "|---|---|---|"]
    rows += (
        f"| {_name(field, schema)} | {_type(inner)} | {_cell(inner['description'])} |"
        for field, inner in schema["properties"].items()
    )
    yield "\n".join([*rows, ""])
    for field, inner in schema["properties"].items():
        if inner.get("type") == "array" and "properties" in inner["items"]:
            yield from _sections(f"{path}.{field}[]", inner["items"])
        elif "properties" in inner:
            yield from _sections(f"{path}.{field}", inner)


def _name(field: str, schema: JsonObject) -> str:
    return f"**`{field}`**" if field in schema.get("required", ()) else f"`{field}`"


def _type(schema: JsonObject) -> str:
    """The type in words, with the limits that people meet."""
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if schema.get("format") == "date-time":
        return "time"
    name = str(schema["type"])
    if name == "array":
        limit = f", at most {schema['maxItems']:,}" if "maxItems" in schema else ""
        return f"list of {schema['items']['type']}s{limit}"
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("minimum"):
        return f"{name}, at least {schema['minimum']}"
    return name


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _conditions() -> str:
    rows = ["## Conditions", "", "| Type | True when |", "|---|---|"]
    rows += (f"| `{type_}` | {_cell(text)} |" for type_, text in TYPES.items())
    rows += ["", "| Reason | |", "|---|---|"]
    rows += (f"| `{reason.value}` | {_cell(reason.explanation)} |" for reason in Reason)
    return "\n".join([*rows, ""])
