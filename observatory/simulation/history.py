"""What is known of an Observatory at some point of its history, and what was wrong there."""

from __future__ import annotations

from dataclasses import dataclass, field

from observatory.api.names import Key
from observatory.api.types import JsonObject


@dataclass(frozen=True, slots=True)
class Violation:
    """A write after which an invariant does not hold any more."""

    invariant: str
    version: int
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} at version {self.version}: {self.text}"


@dataclass(slots=True)
class Run:
    """What is stored of one Observatory, and what has followed from it."""

    key: Key
    spec: JsonObject = field(default_factory=dict)
    status: JsonObject = field(default_factory=dict)
    deleting: bool = False
    gone: bool = False
    rows: dict[str, JsonObject] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether nothing of the latest run may start any more."""
        return self.gone or "completionTime" in self.status
