"""Texts that are cut before they are stored or shown."""

from __future__ import annotations


def shorten(text: str, length: int) -> str:
    """The text, or its beginning with an ellipsis: never more than `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def one_line(text: str) -> str:
    """The text with whatever is not printable escaped: names and files can hold anything."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode-escape", "surrogatepass").decode()
        for char in text
    )
