"""The proxy between one operator and the API server: it counts requests, and obeys a plan.

Plain HTTP towards the operator, on loopback; TLS and the operator's own token towards the server.
The operator does not know that token: it sends none over connections that are not encrypted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web

from tests.faults import streams
from tests.faults.calls import classify
from tests.faults.exchange import Exchange, Handled, Victim, World, holder
from tests.faults.plan import Fault, On
from tests.faults.streams import Stream

JsonObject = dict[str, Any]
_UPSTREAM_BROKE = Fault(on=On(), do="cut_reset")


class Proxy:
    """One operator's way to the API server."""

    def __init__(self, world: World, operator: int, token: str) -> None:
        self._world = world
        self.authorization = f"Bearer {token}"
        self._operator = operator
        self._streams: set[Stream] = set()
        self._expired: dict[str, tuple[int, float]] = {}
        self._runner: web.ServerRunner | None = None
        self.victim: Victim | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen on a free port; `url` is where."""
        server = web.Server(self._handle, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def close(self) -> None:
        """Listen no more, and cut what is open."""
        if self._runner is not None:
            await self._runner.cleanup()

    def heal(self) -> None:
        """From now on, be nothing but a wire. What is silent stays so: nobody tells that."""
        self._world.armory.healed = True
        self._world.healed.set()
        for stream in self._streams:
            stream.heal()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        call = classify(request.method, request.raw_path)
        body = await request.read()
        now = asyncio.get_running_loop().time()
        faults = self._world.armory.fired(call, self._operator, now)
        line: JsonObject = {"at": time.time(), "operator": self._operator, "call": str(call)}
        if call.resource == "leases" and body:
            line["holder"] = holder(body)
        if call.counts:
            line["write"] = self._world.armory.writes
        if faults:
            line["faults"] = [fault.do for fault in faults]
        self._world.log.append(line)
        exchange = Exchange(self, self._world, request, call, body)
        self._world.busy += bool(faults) and call.verb != "watch"
        try:
            answer = await exchange.run(faults)
        except Handled as handled:
            answer = handled.response
        except (aiohttp.ClientError, OSError):
            streams.reset(request)  # as the API server, where it is away
            answer = web.Response(status=502)
        finally:
            self._world.busy -= bool(faults) and call.verb != "watch"
            if call.writes and call.resource != "leases":
                self._world.last_write = time.time()
        line["status"] = answer.status
        return answer

    async def kill(self) -> None:
        """Kill the operator."""
        if self.victim is not None:
            await self.victim.kill()

    async def pause(self, seconds: float) -> None:
        """Pause the operator."""
        if self.victim is not None:
            await self.victim.pause(seconds)

    def terminate(self) -> None:
        """Ask the operator to end."""
        if self.victim is not None:
            self.victim.terminate()

    def at_streams(self, fault: Fault) -> None:
        """Have a fault happen to the watches that are open."""
        for stream in list(self._streams):
            if fault.watch in {"", stream.resource}:
                self.note(fault, stream.resource)
                stream.befall(fault)

    def note(self, fault: Fault, resource: str) -> None:
        """What is told to have expired has expired for good, as if etcd had been compacted."""
        if fault.do == "error410" or (fault.do == "status" and fault.status == 410):
            self._expired[resource] = (self._world.version(), fault.seconds)

    def has_expired(self, resource: str, version: str) -> float | None:
        """Whether a watch cannot be taken up at that version: the seconds until it is told so."""
        newest, seconds = self._expired.get(resource, (0, 0.0))
        return seconds if version.isdigit() and 0 < int(version) < newest else None

    @contextlib.asynccontextmanager
    async def open(self, stream: Stream, lines: AsyncIterator[bytes]) -> AsyncIterator[None]:
        """Read the lines of a watch into its stream while this lasts."""

        async def read() -> None:
            try:
                async for line in lines:
                    stream.take(line)
            except (aiohttp.ClientError, OSError):
                stream.befall(_UPSTREAM_BROKE)
            else:
                stream.end()

        self._streams.add(stream)
        reader = asyncio.create_task(read())
        try:
            yield
        finally:
            self._streams.discard(stream)
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
