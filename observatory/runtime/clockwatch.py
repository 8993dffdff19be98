"""Notices when the clock of the day was set, and has everything looked at anew.

Keys wait for their time on the monotonic clock. Where the other one jumps, a fire time or a
deadline may have come that no timer knows of.
"""

from __future__ import annotations

from observatory.runtime.cache import Cache
from observatory.runtime.clock import Clock
from observatory.runtime.watches import Enqueue
from observatory.telemetry.log import logger

EVERY_SECONDS = 10.0
TOLERANCE_SECONDS = 1.0
"""How far the two clocks may part before all timers are set anew. A clock that is slewed parts
slowly: it is how far they have parted since then that counts."""

_log = logger("manager")


class ClockWatch:
    """Compares the two clocks now and then."""

    def __init__(self, cache: Cache, clock: Clock, enqueue: Enqueue) -> None:
        self._cache = cache
        self._clock = clock
        self._enqueue = enqueue

    async def run(self) -> None:
        """Watch until cancelled."""
        known = self._difference()
        while True:
            await self._clock.sleep(EVERY_SECONDS)
            moved = self._difference() - known
            if abs(moved) > TOLERANCE_SECONDS:
                known += moved
                _log.warning("Clock was set; everything is looked at anew", jump=round(moved, 3))
                for scope in self._cache.scopes.values():
                    if scope.synced:
                        self._enqueue(scope.keys(), initial=True)

    def _difference(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()
