"""Texts that are cut before they are stored or shown."""

from __future__ import annotations


def shorten(text: str, length: int) -> str:
    """The text, or its beginning with an ellipsis: never more than `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"
