from __future__ import annotations

import asyncio
from datetime import timedelta

from observatory.runtime.clock import Clock, SystemClock


def test_the_time_of_day_is_aware_and_in_utc() -> None:
    clock: Clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)


def test_sleep_takes_the_monotonic_time_that_it_is_given() -> None:
    clock = SystemClock()
    start = clock.monotonic()
    asyncio.run(clock.sleep(0.01))
    asyncio.run(clock.sleep(-1))
    assert 0.01 <= clock.monotonic() - start < 5
