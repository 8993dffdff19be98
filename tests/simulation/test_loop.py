"""The virtual loop: asyncio's own rules, and time that passes only when nothing is left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from observatory.simulation.loop import HotLoopError, VirtualLoop, virtual_loop


def run(loop: VirtualLoop, main: Coroutine[None, None, None]) -> None:
    task = loop.create_task(main)
    loop.run_while(lambda: not task.done())
    task.result()


def test_time_passes_only_while_everybody_waits() -> None:
    loop, seen = virtual_loop(), list[object]()

    async def sleep(name: str, seconds: float) -> None:
        for _ in range(2):
            await asyncio.sleep(seconds)
            seen.append((loop.time(), name))

    async def main() -> None:
        await asyncio.gather(sleep("a", 3), sleep("b", 2))

    run(loop, main())

    assert seen == [(2, "b"), (3, "a"), (4, "b"), (6, "a")]


def test_what_falls_due_at_one_moment_comes_in_the_order_in_which_it_was_asked_for() -> None:
    loop, seen = virtual_loop(), list[object]()
    for name in "abc":
        loop.call_later(1, seen.append, name)
    loop.run_while(lambda: True)
    assert seen == ["a", "b", "c"]


def test_timeouts_and_groups_of_asyncio_work_on_it() -> None:
    loop = virtual_loop()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 2)
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1))
            group.create_task(asyncio.sleep(4))

    run(loop, main())

    assert loop.time() == 11


def test_a_cancelled_timer_does_nothing_and_moves_no_clock() -> None:
    loop, seen = virtual_loop(), list[object]()
    loop.call_later(9, seen.append, "x").cancel()
    loop.call_later(1, seen.append, "y")
    loop.run_while(lambda: True)
    assert (seen, loop.time()) == (["y"], 1)


def test_it_stops_where_it_is_told_to_and_goes_on_from_there() -> None:
    loop, seen = virtual_loop(), list[object]()
    for second in range(4):
        loop.call_later(second, seen.append, second)
    loop.run_while(lambda: len(seen) < 2)
    assert seen == [0, 1]
    loop.run_while(lambda: True)
    assert seen == [0, 1, 2, 3]


def test_what_is_made_ready_between_two_moments_comes_before_the_next_one() -> None:
    loop, seen = virtual_loop(), list[float]()
    loop.call_later(9, lambda: None)
    asked = iter([True, True, False])

    def wanted() -> bool:
        loop.call_soon(lambda: seen.append(loop.time()))
        return next(asked)

    loop.run_while(wanted)
    assert seen[0] == 0


def test_what_turns_in_circles_is_found() -> None:
    loop = virtual_loop()

    async def circles() -> None:
        while True:  # noqa: ASYNC110 -- it is to be found
            await asyncio.sleep(0)

    loop.create_task(circles())
    with pytest.raises(HotLoopError):
        loop.run_while(lambda: True)
    loop.close()


def test_closing_cancels_everybody_and_lets_them_tidy_up() -> None:
    loop, seen = virtual_loop(), list[object]()

    async def main() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("tidied up")

    loop.create_task(main())
    loop.run_while(lambda: True)
    loop.close()
    assert seen == ["tidied up"]


def test_an_exception_that_nobody_awaits_is_noted() -> None:
    loop = virtual_loop()

    async def main() -> None:
        raise ValueError("lost")

    loop.create_task(main())
    loop.run_while(lambda: True)
    assert ["lost" in crash for crash in loop.crashes] == [True]


def test_it_runs_inside_no_other_loop() -> None:
    async def main() -> None:
        virtual_loop().run_while(lambda: False)

    with pytest.raises(RuntimeError):
        asyncio.run(main())
