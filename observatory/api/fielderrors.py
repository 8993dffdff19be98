"""What is wrong with a field: where, what, and how to mend it.

The texts are those of Kubernetes' `field.Error`, so that an error reads the same whether the API
server, the operator or `observatory validate` found it:

    spec.tasks[3].dependencies[1]: Not found: "bild" (did you mean "build"?)
"""

from __future__ import annotations

import json
import re
from bisect import bisect
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

VALUE_LENGTH = 120
"""Longer values are cut in messages."""
_WORD_LENGTH = 64
"""Longer words get no suggestion: comparing takes time, and they are no names anyway."""
_NEIGHBOURS = 10
"""So many candidates are compared on each side of a word, in each of two orders."""
_WIDEST_INTEGER = 128
"""Bits. Python refuses to print integers of thousands of digits, and nobody could read them."""
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")


class ErrorType(StrEnum):
    """The kinds of error, as Kubernetes words them."""

    INVALID = "Invalid value"
    REQUIRED = "Required value"
    DUPLICATE = "Duplicate value"
    NOT_FOUND = "Not found"
    UNSUPPORTED = "Unsupported value"
    FORBIDDEN = "Forbidden"
    TOO_LONG = "Too long"
    TOO_MANY = "Too many"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One error.

    Attributes:
        type: What kind of error it is.
        path: The field, such as `spec.tasks[3].name`.
        value: The value as people write it; empty where it adds nothing.
        detail: What is wrong with it.
        hint: A remedy, or where to look.
    """

    type: ErrorType
    path: str
    value: str = ""
    detail: str = ""
    hint: str = ""

    def __str__(self) -> str:
        text = ": ".join(part for part in (self.path, self.type, self.value, self.detail) if part)
        return f"{text} ({self.hint})" if self.hint else text


def invalid(path: str, value: object, detail: str, hint: str = "") -> FieldError:
    """The value cannot be."""
    return FieldError(ErrorType.INVALID, path, quote(value), detail, hint)


def required(path: str, detail: str = "") -> FieldError:
    """There must be a value."""
    return FieldError(ErrorType.REQUIRED, path, detail=detail)


def duplicate(path: str, value: object, first: str) -> FieldError:
    """The value is at `first` already."""
    return FieldError(ErrorType.DUPLICATE, path, quote(value), hint=f"first at {first}")


def not_found(path: str, value: object, hint: str = "") -> FieldError:
    """The value names something that does not exist."""
    return FieldError(ErrorType.NOT_FOUND, path, quote(value), hint=hint)


def unsupported(path: str, value: object, supported: Iterable[str], hint: str = "") -> FieldError:
    """The value is none of those there are."""
    detail = "supported values: " + ", ".join(map(quote, supported))
    return FieldError(ErrorType.UNSUPPORTED, path, quote(value), detail, hint)


def forbidden(path: str, detail: str, hint: str = "") -> FieldError:
    """The field must not be there."""
    return FieldError(ErrorType.FORBIDDEN, path, detail=detail, hint=hint)


def too_long(path: str, limit: int) -> FieldError:
    """The string is longer than `limit` characters. Its value is left out: it is long."""
    return FieldError(ErrorType.TOO_LONG, path, detail=f"may not be more than {limit} characters")


def too_many(path: str, count: int, limit: int, things: str = "items") -> FieldError:
    """There are more than `limit` of them."""
    return FieldError(ErrorType.TOO_MANY, path, str(count), f"must have at most {limit} {things}")


def child(path: str, key: str) -> str:
    """The path of a field of the object at `path`. Unusual keys are quoted."""
    if not _PLAIN_KEY.match(key):
        return f"{path}[{quote(key)}]"
    return f"{path}.{key}" if path else key


def quote(value: object, length: int = VALUE_LENGTH) -> str:
    """A JSON value as text: in ASCII, on one line, and short, whatever the value.

    Letters that only look like ASCII are escaped: where a name is refused because of one, it must
    be seen.
    """
    match value:
        case str() if len(value) > length:
            text = f"{json.dumps(value[:length])}... ({len(value)} characters)"
        case int() if value.bit_length() > _WIDEST_INTEGER:
            text = f"an integer of {value.bit_length()} bits"
        case list() if value:
            text = f"an array of {_count(value, 'item')}"
        case dict() if value:
            text = f"an object of {_count(value, 'field')}"
        case _:
            text = json.dumps(value, default=repr)
    return text


def _count(things: Sized, noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """A hint with the candidate that is most like the word, or nothing.

    It takes milliseconds, however many candidates there are.
    """
    if len(word) > _WORD_LENGTH:
        return ""
    short = [candidate for candidate in candidates if len(candidate) <= _WORD_LENGTH]
    matches = get_close_matches(word, _near(word, short), n=1, cutoff=0.7)
    return f"did you mean {quote(matches[0])}?" if matches else ""


def _near(word: str, candidates: list[str]) -> list[str]:
    """The candidates worth comparing: all of a few, else those a dictionary has next to the word.

    One that orders by beginnings and one that orders by ends: a slip leaves one of them as it was.
    """
    if len(candidates) <= 4 * _NEIGHBOURS:
        return candidates
    forwards = _around(word, sorted(candidates))
    backwards = _around(word[::-1], sorted(candidate[::-1] for candidate in candidates))
    return [*forwards, *(candidate[::-1] for candidate in backwards)]


def _around(word: str, ordered: list[str]) -> list[str]:
    place = bisect(ordered, word)
    return ordered[max(place - _NEIGHBOURS, 0) : place + _NEIGHBOURS]


def by_place(errors: Iterable[FieldError]) -> list[FieldError]:
    """The errors ordered by path, `[10]` after `[9]`; those at one path stay as they were."""
    return sorted(errors, key=lambda error: _place(error.path))


def _place(path: str) -> list[tuple[int, str]]:
    # Numbers compare by their length first: as numbers, without ever becoming one.
    parts = re.split(r"([0-9]+)", path)
    return [(len(part) if part.isdecimal() else 0, part) for part in parts]


def list_errors(errors: Sequence[object], limit: int = 10) -> str:
    """The errors in one line: the first `limit` of them, and how many more there are."""
    text = "; ".join(str(error) for error in errors[:limit])
    more = len(errors) - limit
    return f"{text}; and {more} more" if more > 0 else text
