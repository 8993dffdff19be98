"""Quantities, such as `500m` or `1Gi`: as far as memory needs them."""

from __future__ import annotations

import re
from decimal import Decimal

from observatory.api.openapi import QUANTITY

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_FACTORS = {
    **{unit: Decimal(1024) ** power for power, unit in enumerate(_BINARY)},
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", 1)},
    **{unit: Decimal(1000) ** -power for power, unit in enumerate("mun", 1)},
}
_PARTS = re.compile(r"([+-]?[0-9.]+)(.*)", re.ASCII)
_QUANTITY = re.compile(QUANTITY.removesuffix("$") + r"\Z", re.ASCII)


def parse_quantity(text: str) -> Decimal:
    """The exact value of a quantity.

    Raises:
        ValueError: It isn't one.
    """
    parts = _PARTS.fullmatch(text) if _QUANTITY.match(text) else None
    if parts is None:
        raise ValueError(f"{text!r} is not a quantity, such as 500m or 1Gi")
    number, unit = parts.groups()
    if unit in _FACTORS:
        return Decimal(number) * _FACTORS[unit]
    return Decimal(number).scaleb(int(Decimal(unit[1:])))  # an exponent, such as 1e3


def format_bytes(count: int) -> str:
    """A number of bytes as a quantity in the largest binary unit that keeps it exact."""
    power = 0
    while count and count % 1024 == 0 and power + 1 < len(_BINARY):
        count, power = count // 1024, power + 1
    return f"{count}{_BINARY[power]}"
