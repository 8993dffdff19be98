"""Builds JSON values from the events of a YAML parser, as `kubectl` reads YAML.

Without recursion and with bounds, because files are not to be trusted: depth and the size that
aliases expand to are limited, and a key that is given twice is an error, where most readers keep
one of the two in silence. Plain scalars are read as by sigs.k8s.io/yaml: `yes` is true, `012` is
ten, but `12:30` and `2025-01-31` are strings.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from observatory.api.fielderrors import child, quote

MAX_DEPTH = 100
MAX_NODES = 500_000
"""Values in one document, aliases expanded. The largest object the API server takes has fewer."""

_TAG = "tag:yaml.org,2002:"
_STRING_TAGS = ("!", f"{_TAG}str")
_PLAIN_TAGS = (None, *(f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "map", "seq")))
_WORDS: dict[str, bool | None] = {
    word: value
    for value, words in {
        None: ("", "~", "null", "Null", "NULL"),
        True: ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"),
        False: ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"),
    }.items()
    for word in words
}
_INTEGER = re.compile(
    r"[-+]?(0b_*[01][01_]*|0o_*[0-7][0-7_]*|0[0-7_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*|[1-9][0-9_]*)\Z"
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_SPECIAL = re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")
_LONGEST_NUMBER = 400


class DocumentError(ValueError):
    """The text is not what it should be; `line` counts from 1, and 0 is unknown."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class _Open:
    """A sequence or mapping whose end has not come yet."""

    value: Any
    path: str
    anchor: str | None
    before: int
    key: str | None = None
    merging: bool = False
    merges: list[Any] = field(default_factory=list)


class Builder:
    """Takes the events of a document; then `value` is its value, `lines` where its fields begin.

    The path of the document itself is empty.
    """

    def __init__(self) -> None:
        self.value: object = None
        self.lines: dict[str, int] = {}
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[object, int]] = {}
        self._nodes = 0

    def take(self, event: yaml.Event) -> None:
        """The next event.

        Raises:
            DocumentError: It is refused.
        """
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.NodeEvent):
            self.lines.setdefault("", line)  # of the first
        match event:
            case yaml.ScalarEvent():
                self._scalar(event, line)
            case yaml.AliasEvent():
                self._alias(event, line)
            case yaml.SequenceStartEvent():
                self._start([], event, line)
            case yaml.MappingStartEvent():
                self._start({}, event, line)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._end(line)
            case _:
                pass  # The begin and end of streams and documents.

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        value = _read(event, line)
        if self._open and isinstance(self._open[-1].value, dict) and self._open[-1].key is None:
            top = self._open[-1]
            top.key = _key(top, value, line)
            top.merging = top.key == "<<" and not event.style
            self.lines[child(top.path, top.key)] = line
            return
        self._count(1, line)
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
        self._put(value, line)

    def _alias(self, event: yaml.AliasEvent, line: int) -> None:
        if event.anchor not in self._anchors:
            raise DocumentError(f"alias *{event.anchor} stands for nothing before it", line)
        value, size = self._anchors[event.anchor]
        self._count(size, line)
        self._put(value, line)

    def _start(self, value: object, event: yaml.CollectionStartEvent, line: int) -> None:
        if event.tag not in _PLAIN_TAGS and event.tag != "!":
            raise DocumentError(f"tag {event.tag} is not supported", line)
        if len(self._open) == MAX_DEPTH:
            raise DocumentError(f"nested more than {MAX_DEPTH} deep", line)
        path = self._place(line)
        self._count(1, line)
        self._open.append(_Open(value, path, event.anchor, self._nodes))

    def _end(self, line: int) -> None:
        closed = self._open.pop()
        for merged in closed.merges:
            if not isinstance(merged, dict):
                raise DocumentError("<< must be given an object, or a list of objects", line)
            closed.value.update({k: v for k, v in merged.items() if k not in closed.value})
        if closed.anchor:
            self._anchors[closed.anchor] = (closed.value, self._nodes - closed.before + 1)
        self._put(closed.value, 0)

    def _count(self, size: int, line: int) -> None:
        self._nodes += size
        if self._nodes > MAX_NODES:
            raise DocumentError(f"more than {MAX_NODES} values, aliases expanded", line)

    def _place(self, line: int) -> str:
        """The path of the value that comes next, whose line is noted."""
        if not self._open:
            return ""
        top = self._open[-1]
        if isinstance(top.value, dict):
            if top.key is None:
                raise DocumentError("a key must be a string", line)
            return child(top.path, top.key)
        path = f"{top.path}[{len(top.value)}]"
        self.lines[path] = line
        return path

    def _put(self, value: object, line: int) -> None:
        if not self._open:
            self.value = value
            return
        top = self._open[-1]
        if isinstance(top.value, list):
            if line:
                self._place(line)
            top.value.append(value)
        elif top.key is None:
            raise DocumentError("a key must be a string", line)
        elif top.merging:
            top.merges += value if isinstance(value, list) else [value]
        else:
            top.value[top.key] = value
        top.key, top.merging = None, False


def _key(top: _Open, value: object, line: int) -> str:
    if value is None:
        raise DocumentError("a key must be a string, not null", line)
    key = value if isinstance(value, str) else json.dumps(value)
    if key in top.value:
        raise DocumentError(f"key {quote(key)} is given twice in one object", line)
    return key


def _read(event: yaml.ScalarEvent, line: int) -> object:
    if event.tag in _STRING_TAGS or (event.tag is None and event.style):
        return event.value
    if event.tag not in _PLAIN_TAGS:
        raise DocumentError(f"tag {event.tag} is not supported", line)
    return _plain(event.value)


def _plain(text: str) -> object:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-+.0123456789" or len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.match(text):
        digits = text.replace("_", "")
        octal = re.fullmatch(r"([-+]?)0([0-7]+)", digits)
        return int(f"{octal[1]}0o{octal[2]}" if octal else digits, 0)
    if _SPECIAL.match(text):
        return float(text.lower().replace(".", ""))
    number = float(text.replace("_", "")) if _FLOAT.match(text.replace("_", "")) else math.inf
    return number if math.isfinite(number) else text
