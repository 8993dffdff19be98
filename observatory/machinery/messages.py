"""What a `ListWatch` and its shell say to each other: requests, outcomes, store operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from observatory.api.types import JsonObject
from observatory.machinery.instant import Instant

LONGEST_PAUSE = 300.0
"""Seconds that an ERROR event may ask for: a mistake must not blind the operator for years."""


def text_of(obj: JsonObject, field: str) -> str:
    """A field that is text, or "". Others are not turned into text: Python can't print them all."""
    value = obj.get(field)
    return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class ListPage:
    """GET the collection with these parameters, then `receive` a `Page` or `Failed`."""

    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Watch:
    """Open a stream with these parameters.

    `receive` an `Event` for each line, and `Failed`, `Closed` or `TimedOut` at its end. Close it
    yourself as soon as `streaming` is false.
    """

    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again at `until`."""

    until: Instant


Request: TypeAlias = ListPage | Watch | Wait


@dataclass(frozen=True, slots=True)
class Page:
    """The body of a List."""

    body: JsonObject


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a stream, decoded, or as it came if that was impossible."""

    line: object


@dataclass(frozen=True, slots=True)
class Closed:
    """A stream that was open has ended, whoever ended it."""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """`deadline` has passed."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The request was refused with a Status, or there was no answer: then `code` is None."""

    code: int | None
    reason: str = ""
    message: str = ""
    details: JsonObject = field(default_factory=dict)
    retry_after: float | None = None

    @property
    def expired(self) -> bool:
        """Whether the version or the continue token is too old (410)."""
        return self.code == 410 or self.reason in ("Expired", "Gone")  # noqa: PLR2004

    @property
    def too_large(self) -> bool:
        """Whether the server that answered is behind the version that was asked for (504)."""
        # Old servers send the text and no cause.
        causes = self.details.get("causes")
        return "Too large resource version" in self.message or any(
            isinstance(cause, dict) and cause.get("reason") == "ResourceVersionTooLarge"
            for cause in (causes if isinstance(causes, list) else ())
        )

    @property
    def busy(self) -> bool:
        """Whether the same request may succeed later: 429, or no answer at all."""
        return self.code is None or self.code == 429  # noqa: PLR2004

    @classmethod
    def from_status(cls, status: JsonObject) -> Failed:
        """The failure that the object of an ERROR event describes."""
        code, details = status.get("code"), status.get("details")
        details = details if isinstance(details, dict) else {}
        seconds = details.get("retryAfterSeconds")
        return cls(
            code=code if isinstance(code, int) else 500,
            reason=text_of(status, "reason"),
            message=text_of(status, "message"),
            details=details,
            retry_after=min(seconds, LONGEST_PAUSE) if isinstance(seconds, int | float) else None,
        )


Received: TypeAlias = Page | Event | Closed | TimedOut | Failed


@dataclass(frozen=True, slots=True)
class Replace:
    """The store now holds exactly these objects."""

    objects: Sequence[JsonObject]
    version: int


@dataclass(frozen=True, slots=True)
class Upsert:
    """An object was added or modified."""

    object: JsonObject


@dataclass(frozen=True, slots=True)
class Delete:
    """An object was deleted; its version is that of the deletion."""

    object: JsonObject


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Everything up to this version has been seen."""

    version: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """Something was skipped that no API server should send."""

    what: object
    reason: str


Operation: TypeAlias = Replace | Upsert | Delete | Bookmark | Malformed
