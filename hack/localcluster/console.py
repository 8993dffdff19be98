"""Progress, on standard error: standard output is for results that scripts read."""

from __future__ import annotations

import sys
import time


def say(text: str) -> None:
    """Print one line of progress."""
    print(text, file=sys.stderr, flush=True)


def since(start: float) -> str:
    """How long ago the monotonic instant `start` was, as `0.4 s` or `3 min 05 s`."""
    seconds = time.monotonic() - start
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
