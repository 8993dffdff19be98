"""Records Events without ever being in the way: nothing waits for them, nothing fails with them."""

from __future__ import annotations

import asyncio

from observatory.api.names import EVENTS, Key
from observatory.api.types import JsonObject
from observatory.kube.api import Api, PatchKind
from observatory.kube.errors import (
    AlreadyExists,
    NotFound,
    ServerError,
    TooManyRequests,
    TransportError,
)
from observatory.runtime.clock import Clock
from observatory.telemetry.events import Correlator, Count, Create, Event, body, reference, series
from observatory.telemetry.log import logger

CAPACITY = 1000
"""Events that wait to be written; those beyond it are dropped and counted."""
TRIES = 4
_TRY_AGAIN_SECONDS = 1.0

_log = logger("events")


class Recorder:
    """Records Events of one cluster. `record` within the loop that runs `run`."""

    def __init__(self, api: Api, clock: Clock, instance: str, capacity: int = CAPACITY) -> None:
        self._api = api
        self._clock = clock
        self._instance = instance
        self._correlator = Correlator()
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(capacity)
        self.dropped = 0
        """How many were lost, because too many waited or because they could not be written."""

    def record(self, regarding: JsonObject, kind: str, reason: str, action: str, note: str) -> None:
        """Record what happened to an object; `kind` is NORMAL or WARNING.

        Returns at once and never raises.
        """
        try:
            self._waiting.put_nowait(Event(reference(regarding), kind, reason, action, note))
        except (asyncio.QueueFull, LookupError, TypeError) as error:
            self.dropped += 1
            _log.debug("Dropped Event", reason=reason, error=repr(error))

    async def run(self) -> None:
        """Write what is recorded until cancelled."""
        while True:
            event = await self._waiting.get()
            try:
                await self._write(event)
            except Exception as error:  # noqa: BLE001 -- whatever it is, it costs one Event only
                self._correlator.forget(event)
                self.dropped += 1
                _log.debug("Dropped Event", reason=event.reason, error=repr(error))
            finally:
                self._waiting.task_done()

    async def drain(self, seconds: float) -> None:
        """Wait until everything that was recorded is written, but no longer than that."""
        try:
            async with asyncio.timeout(seconds):
                await self._waiting.join()
        except TimeoutError:
            self.dropped += self._waiting.qsize()

    async def _write(self, event: Event) -> None:
        match self._correlator.record(event, self._clock.monotonic()):
            case Create():
                await self._create(event)
            case Count(key, count):
                try:
                    await self._patient(key, series(count, self._clock.now()))
                except NotFound:  # its hour is over: the API server removes Events
                    self._correlator.forget(event)
                    await self._write(event)
            case None:
                return

    async def _create(self, event: Event) -> None:
        key, made = body(event, self._clock.now(), self._instance)
        await self._patient(None, made, key.namespace)
        self._correlator.created(event, key)

    async def _patient(self, key: Key | None, content: JsonObject, namespace: str = "") -> None:
        """Write, and try again while the server is away or busy."""
        for tried in range(1, TRIES + 1):
            try:
                if key is None:
                    await self._api.create(EVENTS, namespace, content)
                else:
                    await self._api.patch(EVENTS, key, content, kind=PatchKind.MERGE)
            except AlreadyExists:
                return  # the names are ours alone: an answer was lost before
            except (TransportError, ServerError, TooManyRequests) as error:
                if tried == TRIES:
                    raise
                wanted = getattr(error, "retry_after", None)
                await self._clock.sleep(wanted or _TRY_AGAIN_SECONDS * 2 ** (tried - 1))
            else:
                return
