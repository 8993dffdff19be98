"""Has the traces of runs exported, without ever being in the way of the runs.

Level-triggered like everything else: a status says that its trace is to be exported, until one
says that it has been. A crash in between exports the same spans once more, with the same ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

from observatory.api.names import Key
from observatory.api.trace import Sampler
from observatory.core.spans import Span, Telling, spans
from observatory.machinery.instant import Instant
from observatory.runtime.clock import Clock
from observatory.runtime.daemon import in_daemon
from observatory.telemetry.log import logger

CAPACITY = 1000
"""Runs whose traces wait; those beyond it come back when they are looked at again."""
BATCH = 512
"""Spans in one request, as OTEL_BSP_MAX_EXPORT_BATCH_SIZE is by default."""
AGAIN_SECONDS = 60.0
LATEST_SECONDS = 3600.0
"""When a run is looked at again whose trace could not be exported: after as long as exporting has
failed by then, within these bounds. However many wait, looking at them costs next to nothing."""
PAUSE_SECONDS = 10.0
"""How long nothing is sent after the collector could not be reached."""

_log = logger("tracing")

Send = Callable[[Sequence[Span]], bool]
"""Hands spans to the collector, and says whether it took them. It may block: not for the loop."""


class _Run(NamedTuple):
    uid: str
    run: int


class Tracing:
    """The traces of one operator. To be used within the loop that runs `run`."""

    def __init__(
        self,
        send: Send,
        sampler: Sampler,
        *,
        clock: Clock,
        exported: Callable[[Iterable[Key]], None],
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """`exported` is told of each run whose trace is exported, `failed` of each failure."""
        self.sampler = sampler
        self._send = send
        self._clock = clock
        self._exported = exported
        self._failed = failed
        self._waiting: asyncio.Queue[Telling | tuple[Span, ...]] = asyncio.Queue(CAPACITY)
        self._known: set[_Run] = set()
        self._done: dict[_Run, None] = {}
        self._failing_since: Instant | None = None

    def offer(self, telling: Telling) -> float | None:
        """Have the trace of a run that has ended exported soon.

        None where it has been already; else when to come back, in seconds.
        """
        run = _Run(telling.desired.uid, telling.status.run)
        if run in self._done:
            return None
        if run not in self._known and not self._waiting.full():
            self._known.add(run)
            self._waiting.put_nowait(telling)
        if self._failing_since is None:
            return AGAIN_SECONDS
        failing = self._clock.monotonic() - self._failing_since
        return min(max(failing, AGAIN_SECONDS), LATEST_SECONDS)

    def tell(self, told: Iterable[Span]) -> None:
        """Have spans exported that no status will tell of any more; best effort."""
        batch = tuple(told)
        if batch and not self._waiting.full():
            self._waiting.put_nowait(batch)

    def recorded(self, uid: str, run: int) -> None:
        """Take note that a status says so: nothing has to be remembered any more."""
        self._done.pop(_Run(uid, run), None)

    async def run(self) -> None:
        """Export until cancelled."""
        while True:
            one = await self._waiting.get()
            if await self._export(one):
                self._failing_since = None
                continue
            if self._failing_since is None:
                self._failing_since = self._clock.monotonic()
            self._failed()
            _log.warning("Export of trace failed", retryAfter=AGAIN_SECONDS)
            await self._clock.sleep(PAUSE_SECONDS)

    async def drain(self, seconds: float) -> None:
        """Export what waits, for so long at most. Call it when `run` is cancelled."""
        try:
            async with asyncio.timeout(seconds):
                while not self._waiting.empty():
                    if not await self._export(self._waiting.get_nowait()):
                        return
        except TimeoutError:
            return

    async def _export(self, one: Telling | tuple[Span, ...]) -> bool:
        if isinstance(one, tuple):
            return await in_daemon(partial(self._send, one))
        run = _Run(one.desired.uid, one.status.run)
        done = False
        try:
            done = await in_daemon(partial(self._send_all, one))
        finally:
            self._known.discard(run)
        if done:
            self._done[run] = None
            while len(self._done) > CAPACITY:  # of those that were deleted, no status says so
                del self._done[next(iter(self._done))]
            self._exported([one.desired.key])
        return done

    def _send_all(self, telling: Telling) -> bool:
        return all(map(self._send, _batches(spans(telling))))


def _batches(items: Iterator[Span]) -> Iterator[Sequence[Span]]:
    while batch := tuple(islice(items, BATCH)):
        yield batch
