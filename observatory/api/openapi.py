"""The words the schema is written in: structural OpenAPI v3, as CustomResourceDefinitions use it.

Each builder takes the description first, because a field without one cannot be written. The text
is what `kubectl explain` shows and what the API reference prints.
"""

from __future__ import annotations

from observatory.api.types import JsonObject

DNS_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_LABEL_LENGTH = 63
ENV_NAME = "^[ -<>-~]+$"
DATE = "^([0-9]{4}-)?[0-9]{2}-[0-9]{2}$"
CONFIG_KEY = "^[-._a-zA-Z0-9]+$"
_DECIMAL = r"(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
QUANTITY = rf"^(\+|-)?{_DECIMAL}(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?{_DECIMAL}))?$"

PATTERN_HELP = {
    DNS_LABEL: (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
        "and must start and end with an alphanumeric character (e.g. 'my-name' or '123-abc')"
    ),
    ENV_NAME: "must consist of printable ASCII characters other than '='",
    CONFIG_KEY: "must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name')",
    DATE: "must be a day such as '2026-12-31', or '12-31' for each year",
    QUANTITY: "must be a quantity (e.g. '1', '500m', '1Mi')",
}
"""What each pattern means in words; the API server can only show the pattern."""


def string(description: str, **limits: object) -> JsonObject:
    """A string."""
    return {"description": description, "type": "string", **limits}


def label(description: str) -> JsonObject:
    """A string that is an RFC 1123 label, so that it fits in a Kubernetes label and a name."""
    return string(description, minLength=1, maxLength=DNS_LABEL_LENGTH, pattern=DNS_LABEL)


def integer(description: str, **limits: object) -> JsonObject:
    """A whole number of 32 bits."""
    return {"description": description, "type": "integer", "format": "int32", **limits}


def count(description: str, **limits: object) -> JsonObject:
    """A whole number whose limits are given.

    It has no format: where a number is not of the format, the API server's message has no path.
    """
    return {"description": description, "type": "integer", **limits}


def long(description: str, **limits: object) -> JsonObject:
    """A whole number of 64 bits."""
    return {"description": description, "type": "integer", "format": "int64", **limits}


def number(description: str, **limits: object) -> JsonObject:
    """A number, which may have a fraction."""
    return {"description": description, "type": "number", **limits}


def int_or_string(description: str, **limits: object) -> JsonObject:
    """A whole number or a text, as Kubernetes takes quantities."""
    return {
        "description": description,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": True,
        **limits,
    }


def map_of(description: str, values: JsonObject, **limits: object) -> JsonObject:
    """An object with any keys, whose values are alike."""
    return {
        "description": description,
        "type": "object",
        "additionalProperties": values,
        **limits,
    }


def boolean(description: str) -> JsonObject:
    """True or false."""
    return {"description": description, "type": "boolean"}


def time(description: str) -> JsonObject:
    """An instant, in UTC and whole seconds, such as `2025-01-31T12:00:00Z`."""
    return string(description, format="date-time")


def mapping(description: str, /, *required: str, **properties: JsonObject) -> JsonObject:
    """An object with these properties and no others; `required` must be there."""
    schema: JsonObject = {"description": description, "type": "object"}
    if required:
        schema["required"] = list(required)
    return schema | {"properties": properties}


def selector(description: str, /, *required: str, **properties: JsonObject) -> JsonObject:
    """An object that is replaced as a whole, as Kubernetes does with references."""
    return mapping(description, *required, **properties) | {"x-kubernetes-map-type": "atomic"}


def array(description: str, items: JsonObject, **limits: object) -> JsonObject:
    """A list that is replaced as a whole."""
    return {
        "description": description,
        "type": "array",
        "items": items,
        "x-kubernetes-list-type": "atomic",
        **limits,
    }


def set_of(description: str, items: JsonObject, **limits: object) -> JsonObject:
    """A list of scalars, none of which may occur twice."""
    return array(description, items, **limits) | {"x-kubernetes-list-type": "set"}


def map_by(key: str, description: str, items: JsonObject, **limits: object) -> JsonObject:
    """A list of objects, of which no two may have the same key."""
    return array(description, items, **limits) | {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": [key],
    }


def rule(schema: JsonObject, expression: str, message: str, **more: object) -> JsonObject:
    """The schema with one more CEL rule, which the API server checks."""
    rules = [
        *schema.get("x-kubernetes-validations", []),
        {"rule": expression, "message": message, **more},
    ]
    return schema | {"x-kubernetes-validations": rules}
