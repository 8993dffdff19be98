"""What flags take: each is turned into a value, or refused with what it must be."""

from __future__ import annotations

import argparse
import re

from observatory.api.fielderrors import quote
from observatory.api.names import LABEL_LENGTH
from observatory.api.openapi import DNS_LABEL
from observatory.api.taskschema import MAX_TASKS


def names(text: str) -> list[str]:
    """Namespaces, with commas between them."""
    found = [each.strip() for each in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"invalid value {quote(text)}: a namespace is empty")
    return [name(each) for each in found]


def name(text: str) -> str:
    """A label of RFC 1123."""
    # No object can have another name: the operator would wait for it without end.
    if not re.fullmatch(DNS_LABEL, text) or len(text) > LABEL_LENGTH:
        message = f'invalid value {quote(text)}: must be a name of up to 63 of a-z, 0-9 and "-"'
        raise argparse.ArgumentTypeError(message)
    return text


def dns_name(text: str) -> str:
    """Labels with dots between them."""
    for label in text.split("."):
        name(label)
    return text


def workers(text: str) -> int:
    """A number of workers."""
    return _integer(text, 1, 256)


def port(text: str) -> int:
    """A port; 0 for none."""
    return _integer(text, 0, 65_535)


def tasks(text: str) -> int:
    """A number of tasks of a run."""
    return _integer(text, 1, MAX_TASKS)


def pods(text: str) -> int:
    """A number of Pods; 0 for no limit."""
    return _integer(text, 0, 1_000_000)


def _integer(text: str, least: int, most: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(
            f"invalid value {quote(text)}: must be an integer {least}..{most}"
        )
    return number


def seconds(text: str) -> float:
    """Seconds, with or without an s."""
    try:
        return float(text.removesuffix("s"))
    except ValueError:
        message = f"invalid value {quote(text)}: must be seconds, such as 15 or 15s"
        raise argparse.ArgumentTypeError(message) from None
