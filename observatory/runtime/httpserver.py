"""The operator's own small HTTP servers: probes and metrics.

They run on hypercorn, because it speaks HTTP/2 (`--enable-http2`) and is driven as a library within
our loop. HTTP/2 is off by default, as in every kubebuilder project, for what CVE-2023-44487 and
CVE-2023-39325 have taught.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from hypercorn.asyncio import serve
from hypercorn.config import Config, Sockets

from observatory.telemetry.log import logger

READ_SECONDS = 10
"""A client that sends nothing for so long is hung up on."""
HANDSHAKE_SECONDS = 10
_CLOSE_SECONDS = 1.0
_GZIP_FROM = 1024
_MOST_BODY = 1 << 20
"""Bytes of a request's body that are read, and thrown away, before it is answered."""

_log = logger("httpserver")

_Message = dict[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_Receive = Callable[[], Awaitable[_Message]]


class AddressError(ValueError):
    """The address cannot be listened on; one line."""

    def __init__(self, message: str, address: str) -> None:
        super().__init__(message)
        self.address = address


@dataclass(frozen=True, slots=True)
class Request:
    """What handlers see of a request; they get no body."""

    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """What handlers answer."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Response | Awaitable[Response]]
"""Answers the GETs (and HEADs) of every path. It runs in the event loop: it is quick, or awaits."""


def listen(address: str) -> socket.socket | None:
    """A listening socket for `HOST:PORT`, `[::1]:PORT`, or `:PORT` on all addresses; None for `0`.

    Raises `AddressError`.
    """
    place = parse(address)
    if place is None:
        return None
    host, port = place
    try:
        if host:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return socket.create_server((host, port), family=family)
        # All addresses, IPv4 and IPv6, as far as this machine has them.
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        return socket.create_server(("", port), family=family, dualstack_ipv6=dual)
    except OSError as error:
        raise AddressError(f"cannot listen on {address}: {_reason(error)}", address) from error


def parse(address: str) -> tuple[str, int] | None:
    """Host and port of an address that `listen` takes; None for `0`. Raises `AddressError`."""
    if address == "0":
        return None
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    plain = host[1:-1] if bracketed else host
    if not colon or not port.isdecimal() or int(port) > 65535 or (":" in plain and not bracketed):  # noqa: PLR2004
        raise AddressError(
            f'"{address}" is no address: give HOST:PORT, such as ":8080", "127.0.0.1:8080" or '
            '"[::1]:8080", or "0" to turn it off',
            address,
        )
    return plain, int(port)


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program listens there"
    return error.strerror or str(error)


@asynccontextmanager
async def serving(
    listener: socket.socket, handler: Handler, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[None, None]:
    """Serve on the socket within the context; the socket is closed at its end."""
    stopping = asyncio.Event()
    config = _Config(listener, tls)
    with _broken_connections_logged():
        task = asyncio.create_task(serve(_app(handler), config, shutdown_trigger=stopping.wait))
        try:
            yield
        finally:
            stopping.set()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            listener.close()


@contextmanager
def _broken_connections_logged() -> Iterator[None]:
    """Log in one line that a connection's task failed, within the context.

    hypercorn fails on some of what strangers send, such as CONNECT without a path. That ends their
    connection and nothing else, but asyncio would log it as an error of ours, with a traceback.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def handle(_: asyncio.AbstractEventLoop, context: _Message) -> None:
        if "client_connected_cb" in context["message"]:
            _log.debug("Closed connection", error=repr(context.get("exception")))
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        loop.set_exception_handler(before)


class _Config(Config):
    """hypercorn's configuration for a socket and a TLS context that are there already."""

    def __init__(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self._listener = listener
        self._tls = tls
        # Errors of ours are worth a line; what strangers send is not.
        self.errorlog = logging.getLogger("hypercorn.error")
        self.accesslog = None
        self.include_server_header = False
        self.read_timeout = READ_SECONDS
        self.keep_alive_timeout = READ_SECONDS
        self.ssl_handshake_timeout = HANDSHAKE_SECONDS
        self.graceful_timeout = _CLOSE_SECONDS
        if tls is None:
            self.alpn_protocols = ["http/1.1"]

    @property
    def ssl_enabled(self) -> bool:
        return self._tls is not None

    def create_sockets(self) -> Sockets:
        secure = [self._listener] if self._tls is not None else []
        insecure = [] if self._tls is not None else [self._listener]
        return Sockets(secure, insecure, [])

    def create_ssl_context(self) -> ssl.SSLContext | None:
        return self._tls


def _app(handler: Handler) -> Callable[..., Awaitable[None]]:
    async def app(scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await _drain(receive)
            await _answer(scope, send, handler)
        # else a websocket: returning without an answer refuses it

    return app


async def _lifespan(receive: _Receive, send: _Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _drain(receive: _Receive) -> None:
    """Read what there is of a body: hypercorn's HTTP/2 fails if it comes after the answer."""
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READ_SECONDS):
            while size <= _MOST_BODY:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


async def _answer(scope: _Message, send: _Send, handler: Handler) -> None:
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    request = Request(scope["path"], query, headers)
    if scope["method"] in {"GET", "HEAD"}:
        answer = handler(request)
        response = answer if isinstance(answer, Response) else await answer
    else:
        response = Response(405, b"only GET is allowed\n", headers={"Allow": "GET, HEAD"})
    body, extra = response.body, dict(response.headers)
    if len(body) >= _GZIP_FROM and "gzip" in headers.get("accept-encoding", ""):
        body = gzip.compress(body, compresslevel=1)
        extra["Content-Encoding"] = "gzip"
    extra |= {
        "Content-Type": response.content_type,
        "Content-Length": str(len(body)),
        "X-Content-Type-Options": "nosniff",
    }
    raw = [(name.lower().encode(), value.encode()) for name, value in extra.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    shown = b"" if scope["method"] == "HEAD" else body
    await send({"type": "http.response.body", "body": shown, "more_body": False})
