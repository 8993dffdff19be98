"""Checks a JSON value against a structural schema, and reports everything that is wrong.

What the API server refuses is refused here, in words that say what to write instead. In addition,
unknown fields are errors: the API server drops them with a warning that is easy to miss.
`null` counts as absent where a field may be absent, as it does there.

It covers what `openapi.py` can express. Formats and CEL rules are the API server's.
"""

from __future__ import annotations

import re
from functools import lru_cache

from observatory.api.fielderrors import (
    FieldError,
    child,
    did_you_mean,
    duplicate,
    forbidden,
    invalid,
    quote,
    required,
    too_long,
    too_many,
    unsupported,
)
from observatory.api.openapi import PATTERN_HELP
from observatory.api.types import JsonObject

_ARTICLES = {"object": "an object", "array": "an array", "integer": "an integer"}


def check(value: object, schema: JsonObject, path: str) -> list[FieldError]:
    """Every way in which the value breaks the schema. It recurses as deep as the schema does."""
    errors: list[FieldError] = []
    _check(value, schema, path, errors)
    return errors


def _check(value: object, schema: JsonObject, path: str, errors: list[FieldError]) -> None:
    match schema.get("type"):
        case "string" if isinstance(value, str):
            _check_string(value, schema, path, errors)
        case "object" if isinstance(value, dict):
            _check_object(value, schema, path, errors)
        case "array" if isinstance(value, list):
            _check_array(value, schema, path, errors)
        case "integer" if (number := _whole(value)) is not None:
            _check_range(number, schema, path, errors)
        case "number" if isinstance(value, int | float) and not isinstance(value, bool):
            _check_range(value, schema, path, errors)
        case "boolean" if isinstance(value, bool):
            pass
        case None:
            _check_int_or_string(value, schema, path, errors)
        case wanted:
            errors.append(_wrong_type(value, str(wanted), path))


def _check_string(value: str, schema: JsonObject, path: str, errors: list[FieldError]) -> None:
    if not value and schema.get("minLength"):
        errors.append(required(path, "must not be empty"))
    elif len(value) > schema.get("maxLength", len(value)):
        errors.append(too_long(path, schema["maxLength"]))
    elif (pattern := schema.get("pattern")) and not _compiled(pattern).search(value):
        errors.append(invalid(path, value, PATTERN_HELP.get(pattern, f"must match {pattern}")))
    elif value not in schema.get("enum", (value,)):
        errors.append(unsupported(path, value, schema["enum"]))


@lru_cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # In the API server's syntax `$` is the end of the text, in Python's also a newline before it.
    return re.compile(pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern)


def _check_object(
    value: JsonObject, schema: JsonObject, path: str, errors: list[FieldError]
) -> None:
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties")
    present = 0
    for key, item in value.items():
        if item is None:
            continue
        present += 1
        if (inner := properties.get(key, others)) is not None:
            _check(item, inner, child(path, key), errors)
        else:
            hint = did_you_mean(key, properties)
            errors.append(forbidden(child(path, key), "unknown field", hint))
    missing = (key for key in schema.get("required", ()) if value.get(key) is None)
    errors.extend(required(f"{path}.{key}") for key in missing)
    if present < schema.get("minProperties", 0):
        errors.append(required(path, f"must have one of {', '.join(properties)}"))
    if present > (limit := schema.get("maxProperties", present)):
        errors.append(too_many(path, present, limit, "field" if limit == 1 else "fields"))


def _check_array(
    value: list[object], schema: JsonObject, path: str, errors: list[FieldError]
) -> None:
    if len(value) < schema.get("minItems", 0):
        errors.append(required(path, f"must have at least {schema['minItems']} item"))
    limit = schema.get("maxItems", len(value))
    if len(value) > limit:
        # The rest of it would be a flood: of one mistake, usually a program's.
        errors.append(too_many(path, len(value), limit))
        return
    items = schema["items"]
    for index, item in enumerate(value):
        _check(item, items, f"{path}[{index}]", errors)
    match schema.get("x-kubernetes-list-type"):
        case "set":
            _check_unique(value, path, "", errors)
        case "map":
            key = schema["x-kubernetes-list-map-keys"][0]
            keys = [item.get(key) if isinstance(item, dict) else None for item in value]
            _check_unique(keys, path, f".{key}", errors)
        case _:
            pass


def _check_unique(values: list[object], path: str, suffix: str, errors: list[FieldError]) -> None:
    strings = [value for value in values if isinstance(value, str)]
    if len(set(strings)) == len(strings):
        return
    first: dict[str, int] = {}
    for index, value in enumerate(values):
        if not isinstance(value, str):
            continue
        if (earlier := first.setdefault(value, index)) != index:
            place = f"{path}[{earlier}]"
            errors.append(duplicate(f"{path}[{index}]{suffix}", value, place))


def _whole(value: object) -> int | None:
    """The value as an integer, if it is one: JSON's 1e3 is."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None


def _check_range(number: float, schema: JsonObject, path: str, errors: list[FieldError]) -> None:
    if number < schema.get("minimum", number):
        detail = f"must be greater than or equal to {schema['minimum']}"
        errors.append(invalid(path, number, detail))
    if number > schema.get("maximum", number):
        detail = f"must be less than or equal to {schema['maximum']}"
        errors.append(invalid(path, number, detail))


def _check_int_or_string(
    value: object, schema: JsonObject, path: str, errors: list[FieldError]
) -> None:
    if isinstance(value, str):
        _check_string(value, schema, path, errors)
    elif _whole(value) is None:
        errors.append(invalid(path, value, "must be an integer or a string"))


def _wrong_type(value: object, wanted: str, path: str) -> FieldError:
    detail = f"must be {_ARTICLES.get(wanted, f'a {wanted}')}"
    hint = ""
    if wanted == "array" and isinstance(value, str):
        hint = f"write [{quote(value)}]"
    elif wanted == "string" and isinstance(value, bool | int | float):
        # Not how: of what was `0777` or `1.10`, only the number is left.
        hint = "put it into quotes"
    return invalid(path, value, detail, hint)
