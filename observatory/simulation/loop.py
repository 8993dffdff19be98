"""An event loop under a virtual clock: time passes only when there is nothing else to do.

The same program takes the same turns every time, and an hour of waiting costs nothing. It has what
asyncio's tasks, futures and timeouts ask of a loop, and no I/O at all.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heappop, heappush
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


HOT = 100_000
"""So many callbacks within one moment, and something turns in circles."""


class HotLoopError(RuntimeError):
    """Time does not pass any more, because there is always something left to do now."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs callbacks in the order in which they fall due, those of one moment as they came.

    `crashes` collects the exceptions that nobody awaited.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._sequence = 0
        self._running = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self.crashes: list[str] = []

    def run_while(self, wanted: Callable[[], bool]) -> None:
        """Run until `wanted` says no, asked before each moment, or nothing is left to happen.

        Raises:
            RuntimeError: A loop runs in this thread already.
            HotLoopError: Without end, something is to be done at once.
        """
        if events._get_running_loop() is not None:  # noqa: SLF001 - asyncio offers it to loops
            raise RuntimeError("a virtual loop can't run inside another loop")
        events._set_running_loop(self)  # noqa: SLF001
        self._running = True
        try:
            while self._turn() or (wanted() and (bool(self._ready) or self._advance())):
                pass
        finally:
            self._running = False
            events._set_running_loop(None)  # noqa: SLF001

    def close(self) -> None:
        """Cancel every task, and let each come to its end."""
        for task in tuple(self._tasks):
            task.cancel()
        self.run_while(lambda: False)

    def _turn(self) -> bool:
        """Run what is ready; whether anything was."""
        ready, count = self._ready, 0
        while ready:
            count += 1
            if count > HOT:
                raise HotLoopError(f"more than {HOT} callbacks at {self._now:.3f} s")
            handle = ready.popleft()
            if not handle._cancelled:  # noqa: SLF001
                handle._run()  # noqa: SLF001
        return count > 0

    def _advance(self) -> bool:
        """Go to the next moment at which something falls due; whether there is one."""
        timers = self._timers
        while timers:
            when, _, handle = heappop(timers)
            if not handle._cancelled:  # noqa: SLF001
                self._now = max(self._now, when)
                self._ready.append(handle)
                return True
        return False

    # What asyncio asks of a loop

    def time(self) -> float:
        """The virtual time, in seconds since the loop was made."""
        return self._now

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Have it called after everything that is ready now."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Have it called after so many seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Have it called at that time."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._sequence += 1
        heappush(self._timers, (when, self._sequence, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """A task of this loop."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def is_running(self) -> bool:
        """Whether it is inside `run_while`."""
        return self._running

    def is_closed(self) -> bool:
        """Never: there is nothing to close."""
        return False

    def get_debug(self) -> bool:
        """No: asyncio's checks compare with real time."""
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer is dropped when it falls due."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note what nobody awaited."""
        error = context.get("exception")
        self.crashes.append(f"{context.get('message')}: {error!r}")


def virtual_loop() -> VirtualLoop:
    """A new loop at time 0."""
    return VirtualLoop()  # type: ignore[abstract]  # it offers no I/O, and nobody here asks for it
