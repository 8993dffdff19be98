"""The pauses of a loop that cannot reach the API server: client-go's `Backoff` with its reset."""

from __future__ import annotations

from observatory.api.jitter import fraction
from observatory.machinery.instant import Instant

BASE_SECONDS = 0.8
CAP_SECONDS = 30.0
RESET_SECONDS = 120.0


class Backoff:
    """0.8 s, doubling up to 30 s, each with up to as much again on top: the reflector's numbers.

    All clients of an API server that restarts come back within a minute, and not at once. `seed`
    makes the pauses of two processes differ.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._delay = 0.0
        self._draws = 0
        self._used_at = Instant(float("-inf"))

    def next(self, now: Instant) -> float:
        """The seconds to wait; the doubling starts over when it was not needed for 2 minutes."""
        quiet = now - self._used_at > RESET_SECONDS
        self._used_at = now
        self._delay = BASE_SECONDS if quiet else min(CAP_SECONDS, 2 * self._delay)
        self._draws += 1
        return self._delay * (1 + fraction(self._seed, self._draws))
