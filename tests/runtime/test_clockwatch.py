"""When the clock of the day is set, everything is looked at anew: no timer knows of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from observatory.api.names import Key
from observatory.machinery.instant import Instant
from observatory.runtime.cache import Cache
from observatory.runtime.clockwatch import EVERY_SECONDS, ClockWatch
from tests.runtime.world import KEY, NAMESPACE, task, world_of


class Clocks:
    """Two clocks; each sleep moves the clock of the day by the next of `moves` in addition."""

    def __init__(self, moves: Iterable[float]) -> None:
        self._moves = list(moves)
        self._monotonic = 1000.0
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> Instant:
        return Instant(self._monotonic)

    async def sleep(self, seconds: float) -> None:
        if not self._moves:
            raise asyncio.CancelledError
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds + self._moves.pop(0))


def looked_at(*moves: float) -> int:
    """How often the one Observatory is looked at anew."""
    world = world_of(task("a"))
    world.controller.sync()
    seen: list[Key] = []
    clockwatch = ClockWatch(
        world.controller.cache, Clocks(moves), lambda keys, initial=False: seen.extend(keys)
    )
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(clockwatch.run())
    assert set(seen) <= {KEY}
    return len(seen)


@pytest.mark.parametrize("seconds", [300.0, -300.0, 86_400.0, -86_400.0, 1.5])
def test_a_jump_has_everything_looked_at_once(seconds: float) -> None:
    assert looked_at(0, seconds, 0, 0) == 1


def test_clocks_that_run_alike_ask_for_nothing() -> None:
    assert looked_at(0, 0.2, -0.3, 0.1) == 0


def test_a_clock_that_is_slewed_is_noticed_when_it_has_gone_far_enough() -> None:
    assert looked_at(*[0.0005 * EVERY_SECONDS] * 201) == 1


def test_what_is_not_synced_is_not_looked_at() -> None:
    seen: list[Key] = []
    cache = Cache([NAMESPACE])
    clockwatch = ClockWatch(cache, Clocks([99]), lambda keys, initial=False: seen.extend(keys))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(clockwatch.run())
    assert seen == []
