"""A client that sends exactly the bytes that a test wants to a server of ours, over TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from observatory.runtime.certificate import own_pair, server_context
from observatory.runtime.clock import SystemClock
from observatory.runtime.httpserver import listen
from observatory.runtime.postserver import Handler, Limits, PostServer
from observatory.runtime.registration import VALID

PATH = "/validate"


def trusting(certificate: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=certificate.decode())


@dataclass
class Seen:
    """What the server tells its observer."""

    began_: int = 0
    codes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def began(self, path: str) -> None:
        assert path == PATH
        self.began_ += 1

    def ended(self, path: str, status: int, seconds: float) -> None:
        assert path == PATH
        self.codes.append(status)
        self.seconds.append(seconds)


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer: status, headers, body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(first.split()[1]), headers, body

    async def hung_up(self) -> bytes:
        """What still comes until the server ends the connection."""
        with suppress(ConnectionError):
            return await self.reader.read(-1)
        return b""

    def close(self) -> None:
        self.writer.transport.abort()


@dataclass
class Served:
    port: int
    tls: ssl.SSLContext
    seen: Seen
    server: PostServer

    async def connect(self, tls: ssl.SSLContext | None = None) -> Client:
        streams = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=tls or self.tls, server_hostname="localhost"
        )
        return Client(*streams)

    async def exchanged(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """The answer to one request on a connection of its own."""
        client = await self.connect()
        try:
            await client.send(data)
            return await client.answer()
        finally:
            client.close()


@asynccontextmanager
async def served(handler: Handler, limits: Limits | None = None) -> AsyncGenerator[Served, None]:
    pair = own_pair(("localhost",), "test", SystemClock().now(), VALID)
    context = server_context(http2=False)
    pair.load_into(context)
    seen = Seen()
    server = PostServer(context, {PATH: handler}, seen, limits)
    listener = listen("127.0.0.1:0")
    assert listener is not None
    port = listener.getsockname()[1]
    async with server.serving(listener):
        yield Served(port, trusting(pair.certificate), seen, server)


def post(body: bytes, *, path: str = PATH, **headers: str) -> bytes:
    """A request; a header that is empty is left out."""
    given = {"Host": "localhost", "Content-Type": "application/json"}
    given |= {"Content-Length": str(len(body))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in given.items() if value]
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode() + body
