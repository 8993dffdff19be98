"""The clocks, and the only reader of them: everywhere else, time is an argument."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol

from observatory.machinery.instant import Instant


class Clock(Protocol):
    """What the runtime asks for the time; tests pass one that jumps."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC: for what is written into the API."""

    def monotonic(self) -> Instant:
        """Seconds that never run backwards: for queues, limits and the lease."""

    async def sleep(self, seconds: float) -> None:
        """Return after that many monotonic seconds; at the next turn of the loop for 0 or less."""


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(UTC)

    def monotonic(self) -> Instant:
        """See `Clock.monotonic`.

        It counts the time that the machine sleeps, where the system has such a clock. A leader
        that wakes up on one which does not would think that its lease had just been renewed
        (golang/go#24595).
        """
        if hasattr(time, "CLOCK_BOOTTIME"):
            return Instant(time.clock_gettime(time.CLOCK_BOOTTIME))
        return Instant(time.monotonic())

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`. While the machine sleeps, so does this."""
        await asyncio.sleep(max(seconds, 0))
