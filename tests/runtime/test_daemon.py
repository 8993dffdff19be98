"""Blocking calls whose threads nobody waits for."""

from __future__ import annotations

import asyncio
import threading

import pytest

from observatory.runtime.daemon import in_daemon


def test_the_result_and_the_error_of_a_call_are_those_of_the_await() -> None:
    assert asyncio.run(in_daemon(lambda: 7)) == 7
    with pytest.raises(ZeroDivisionError):
        asyncio.run(in_daemon(lambda: 1 / 0))


def test_a_loop_closes_while_a_call_still_blocks() -> None:
    go_on, gone_on = threading.Event(), threading.Event()

    def block() -> None:
        go_on.wait()
        gone_on.set()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(in_daemon(block), 0.01)

    asyncio.run(give_up())
    assert not gone_on.is_set()
    go_on.set()
    assert gone_on.wait(10), "what it has to tell by then harms nobody"
