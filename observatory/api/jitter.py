"""Jitter without chance: a number that looks random and is the same every time.

Python's `hash()` differs from process to process, so a replay would take other turns than the
history it replays; a digest does not.
"""

from __future__ import annotations

from hashlib import blake2b

_BYTES = 6  # 48 bits: exact in a float, and the quotient stays below 1


def fraction(key: object, counter: int) -> float:
    """A number in [0, 1), fixed by the text of `key` and by `counter`."""
    digest = blake2b(f"{key}#{counter}".encode(), digest_size=_BYTES).digest()
    return int.from_bytes(digest, "big") / (1 << 8 * _BYTES)
