"""A clock that moves only as far as somebody sleeps."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from observatory.machinery.instant import Instant


class FrozenClock:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []
        self.asleep = asyncio.Event()

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> Instant:
        return Instant(self.seconds)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.asleep.set()
        self.seconds += seconds
        await asyncio.sleep(0)
