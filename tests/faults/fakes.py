"""Servers on loopback that stand for the API server and for etcd in tests of the harness itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.faults.exchange import World
from tests.faults.plan import Armory, Fault
from tests.faults.proxy import Proxy
from tests.faults.upstream import Upstream

JsonObject = dict[str, Any]
TOKEN = "of-the-operator"


@asynccontextmanager
async def listening(
    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """A server, as long as this lasts; its URL."""
    runner = web.ServerRunner(
        web.Server(handle, access_log=None, handler_cancellation=True), shutdown_timeout=0.1
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@dataclass
class FakeServer:
    """An API server that takes everything; its watches bring what is put into `lines`."""

    seen: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    lines: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.tokens.add(request.headers.get("Authorization", ""))
        self.seen.append(f"{request.method} {request.path_qs}")
        await request.read()
        if request.query.get("watch") != "true":
            return web.json_response({"kind": "Pod", "padding": "x" * 100})
        response = web.StreamResponse()
        await response.prepare(request)
        while (line := await self.lines.get()) is not None:
            await response.write(line + b"\n")
        return response


@dataclass
class FakeVictim:
    """An operator that notes what is done to it; `server` knows what had arrived by then."""

    server: FakeServer
    events: list[tuple[str, int]] = field(default_factory=list)

    async def kill(self) -> None:
        self.events.append(("kill", len(self.server.seen)))

    async def pause(self, seconds: float) -> None:
        self.events.append(("stop", len(self.server.seen)))

    def terminate(self) -> None:
        self.events.append(("terminate", len(self.server.seen)))


@dataclass
class Bench:
    """A proxy between a test and a fake server."""

    server: FakeServer
    victim: FakeVictim
    proxy: Proxy
    world: World
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def ask(self, method: str, target: str) -> bytes:
        """All that comes back for a request until the connection ends or an answer is whole."""
        reader, writer = await self.connect()
        await self.send(writer, method, target)
        try:
            return await asyncio.wait_for(_answer(reader), 10)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self.proxy.url.removeprefix("http://").split(":")
        return await asyncio.open_connection(host, int(port))

    async def send(self, writer: asyncio.StreamWriter, method: str, target: str) -> None:
        head = f"{method} {target} HTTP/1.1\r\nHost: proxy\r\nContent-Length: 2\r\n\r\n{{}}"
        writer.write(head.encode())
        await writer.drain()

    async def watching(self, target: str) -> asyncio.StreamReader:
        """A watch whose answer has begun."""
        reader, writer = await self.connect()
        await self.send(writer, "GET", target)
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        self.writers.append(writer)
        return reader


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.decode().split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return head + await reader.readexactly(length)


@asynccontextmanager
async def bench(
    folder: Path, *faults: Fault, earlier: tuple[int, list[JsonObject]] = (1, []), version: int = 9
) -> AsyncIterator[Bench]:
    """A proxy with these faults, as long as this lasts."""
    server = FakeServer()
    async with listening(server.handle) as url:
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "of-the-administrator"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(config))
        async with Upstream(path) as upstream:
            world = World(upstream, Armory.of(faults), lambda *_: earlier, lambda: version)
            proxy = Proxy(world, 0, TOKEN)
            victim = FakeVictim(server)
            proxy.victim = victim
            await proxy.start()
            made = Bench(server, victim, proxy, world)
            try:
                yield made
            finally:
                for writer in made.writers:
                    writer.close()
                    with contextlib.suppress(ConnectionError):
                        await writer.wait_closed()
                proxy.heal()
                server.lines.put_nowait(None)
                await proxy.close()
