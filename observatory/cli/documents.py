"""The documents in YAML and JSON files, with the line of each field."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from observatory.api.fielderrors import quote
from observatory.cli.yamlvalues import Builder, DocumentError

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file, and the lines on which its fields begin."""

    value: object
    lines: dict[str, int]

    def line(self, path: str) -> int:
        """The line of a field, or of the nearest thing around it, at last of the document.

        0 if that is unknown, as for JSON.
        """
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 0)


def read_documents(text: str, *, json_only: bool = False) -> Iterator[Document]:
    """The documents of a text, without the empty ones.

    With `json_only` they are JSON texts, one after the other, without what only YAML allows:
    comments, commas before an end, words without quotes.

    Raises:
        DocumentError: The text, from here on, is neither YAML nor JSON, or is refused.
    """
    if json_only:
        yield from _read_json(text)
        return
    if text.lstrip()[:1] in ("{", "["):
        try:
            value, end = _decoded(text, _after_space(text, 0))
        except json.JSONDecodeError:
            pass  # It may be YAML in braces.
        else:
            if _after_space(text, end) == len(text):
                yield Document(value, {})
                return
    yield from _read_yaml(text)


def _read_json(text: str) -> Iterator[Document]:
    start = _after_space(text, 0)
    while start < len(text):
        try:
            value, end = _decoded(text, start)
        except json.JSONDecodeError as error:
            problem = error.msg[:1].lower() + error.msg[1:]
            raise DocumentError(
                f"not JSON: column {error.colno}: {problem}", error.lineno
            ) from None
        yield Document(value, {})
        start = _after_space(text, end)


def _after_space(text: str, start: int) -> int:
    match = _SPACE.match(text, start)
    return match.end() if match else start


def _decoded(text: str, start: int) -> tuple[object, int]:
    """The JSON value that begins there, and where it ends; raises `json.JSONDecodeError`."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except RecursionError as error:
        raise DocumentError("nested too deep") from error
    except (DocumentError, json.JSONDecodeError):
        raise
    except ValueError as error:  # Python refuses integers of thousands of digits.
        raise DocumentError("a number has too many digits") from error
    return value, end


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise DocumentError(f"key {quote(twice)} is given twice in one object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise DocumentError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
_SPACE = re.compile(r"[ \t\r\n]*")


def _read_yaml(text: str) -> Iterator[Document]:
    builder = Builder()
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
            if isinstance(event, yaml.DocumentEndEvent):
                if builder.value is not None:
                    yield Document(builder.value, builder.lines)
                builder = Builder()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        problem = "a tab; indent with spaces" if _is_indented_by_tab(text, line) else error.problem
        raise DocumentError(f"not YAML: {problem}", line) from error
    except yaml.YAMLError as error:
        raise DocumentError(f"not YAML: {str(error).partition(chr(10))[0]}") from error


def _is_indented_by_tab(text: str, line: int) -> bool:
    lines = text.split("\n", line)
    return 0 < line <= len(lines) and re.match(r" *\t", lines[line - 1]) is not None
