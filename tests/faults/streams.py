"""One open watch on its way through the proxy, and what can go wrong with it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence

import orjson
from aiohttp import web

from tests.faults.plan import Fault

EXPIRED = orjson.dumps(
    {
        "type": "ERROR",
        "object": {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": "too old resource version: 1 (2)",
            "reason": "Expired",
            "code": 410,
        },
    }
)
_NO_LINGER = struct.pack("ii", 1, 0)


class Stream:
    """The lines of one watch. They are taken from the API server even while they are held."""

    def __init__(
        self,
        resource: str,
        request: web.BaseRequest,
        response: web.StreamResponse,
        faults: Sequence[Fault] = (),
    ) -> None:
        self.resource = resource
        self._request = request
        self._response = response
        self._faults = list(faults)
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._holds = 0
        self._silent = False
        self._breaking: Fault | None = None
        self._lines = 0

    def take(self, line: bytes) -> None:
        """A line of the API server, without its end."""
        self._queue.put_nowait(line)

    def end(self) -> None:
        """The API server has ended the watch."""
        self._queue.put_nowait(None)

    def befall(self, fault: Fault) -> None:
        """Have a fault happen at once. With a connection, the lines on their way are lost."""
        if fault.do == "hold":
            self._hold(fault.seconds)
        elif fault.do == "silent":
            self._silent = True
        else:
            self._breaking = fault
            self._queue.put_nowait(None)
            self._flowing.set()

    def heal(self) -> None:
        """Bring what was held."""
        self._holds = 0
        self._flowing.set()

    async def run(self) -> None:
        """Pass the lines on until the watch ends, in whatever way."""
        while not await self._befallen():
            item = await self._queue.get()
            await self._flowing.wait()
            if self._breaking is not None:
                await self._break(self._breaking)
                return
            if self._silent:
                continue
            if item is None:
                return
            self._lines += 1
            if any(fault.do == "cut_line" for fault in self._now()):
                await self._break_within(item)
                return
            await self._response.write(item + b"\n")

    def _now(self) -> list[Fault]:
        return [fault for fault in self._faults if fault.lines == self._lines]

    async def _befallen(self) -> bool:
        """Have the faults happen that are due; whether one of them has ended the watch."""
        due, self._faults = self._now(), [each for each in self._faults if each not in self._now()]
        for fault in due:
            if fault.do not in {"hold", "silent"}:
                await self._break(fault)
                return True
            self.befall(fault)
        return False

    def _hold(self, seconds: float) -> None:
        self._flowing.clear()
        self._holds += 1
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._release)

    def _release(self) -> None:
        self._holds = max(self._holds - 1, 0)
        if not self._holds:
            self._flowing.set()

    async def _break(self, fault: Fault) -> None:
        match fault.do:
            case "cut":
                await self._response.write_eof()
            case "error410":
                await self._response.write(EXPIRED + b"\n")
            case "cut_line":
                await self._break_within(b'{"type":"MODIFIED","object":{"apiVersion":"v1"}}')
            case "fin":
                close(self._request)
            case _:
                reset(self._request)

    async def _break_within(self, line: bytes) -> None:
        await self._response.write(line[: max(len(line) // 2, 1)])
        close(self._request)


def close(request: web.BaseRequest) -> None:
    """Close the connection, whatever has been answered: FIN."""
    if request.transport is not None:
        request.transport.close()


def reset(request: web.BaseRequest) -> None:
    """Close the connection with a reset: RST."""
    transport = request.transport
    if transport is None:
        return
    made = transport.get_extra_info("socket")
    if made is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
