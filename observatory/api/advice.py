"""Advice: what is valid, and perhaps not meant."""

from __future__ import annotations

from dataclasses import dataclass

from observatory.api.text import one_line, shorten

ADVICE_LENGTH = 120
"""Characters, as Kubernetes asks of warnings: what is longer may be cut on its way to people."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One piece of advice about the field at `path`."""

    path: str
    text: str

    def __str__(self) -> str:
        return shorten(one_line(f"{self.path}: {self.text}"), ADVICE_LENGTH)
