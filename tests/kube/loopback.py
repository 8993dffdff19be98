"""A server on the loopback that answers exactly the bytes a test wants, and hangs up when told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

from observatory.kube.credentials import ClusterConfig, Credentials, Material


@dataclass
class Exchange:
    """One request, and the means to answer it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int, body: object, **headers: str) -> None:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(content)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode() + content)

    async def start_stream(self) -> None:
        await self.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def end_stream(self) -> None:
        await self.send(b"0\r\n\r\n")

    def hang_up(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        self.writer.transport.abort()


Handler = Callable[[Exchange], Awaitable[None]]


@dataclass
class Loopback:
    url: str
    exchanges: list[Exchange] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def serving(
    handler: Handler, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Loopback, None]:
    """Serve each request with the handler; connections are kept until somebody closes them."""
    made = Loopback("")
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        made.connections += 1
        number = made.connections
        try:
            while (exchange := await _read(reader, writer, number)) is not None:
                made.exchanges.append(exchange)
                await handler(exchange)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    made.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield made
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
        await asyncio.sleep(0)  # let the transports close


async def _read(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
) -> Exchange | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *rest = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in rest if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Exchange(method, target, headers, body, number, writer)


class Tokens:
    """A source of credentials that counts how often it is read."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.reads: list[bool] = []

    def read(self, *, renew: bool) -> Material:
        self.reads.append(renew)
        token = self.tokens[min(len(self.reads), len(self.tokens)) - 1] if self.tokens else None
        return Material(authorization=f"Bearer {token}" if token else None)


def config(url: str, tokens: Tokens | None = None) -> ClusterConfig:
    return ClusterConfig(server=url, credentials=Credentials(tokens or Tokens(), float, tls=False))
