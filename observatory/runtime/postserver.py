"""A small HTTP server for what strangers post: whatever they send or don't send, there is a bound.

hypercorn, which serves probes and metrics, bounds each silence of a client but not a whole request:
one byte every nine seconds keeps a connection for days. Here h11 reads HTTP, and this module
counts: connections, requests at once, bytes of bodies at once, and the seconds that a request takes
to arrive.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

import h11

from observatory.runtime.httpserver import Response
from observatory.telemetry.log import logger

_CHUNK = 64 << 10
_LINGER_SECONDS = 1.0
"""For what is still on its way when an answer has been given already: a reset would destroy it."""
_ACCEPT_PAUSE = 0.5
"""Seconds without accepting, where the system has no more sockets for us."""

_log = logger("webhook")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes.

    Attributes:
        body: Bytes of one request's body.
        head: Bytes of its first line and headers, once more than one packet is waited for.
        seconds: From a request's first byte to its last; also for a handshake, for the first byte
            after it, and for an answer to be taken.
        answering: Seconds to make an answer.
        idle: Seconds between two requests of a connection. Go's clients close theirs after 90.
        requests: At once, being read or answered.
        bodies: Bytes of all bodies at once.
        connections: At once. The one that has been idle longest makes room for a new one.
    """

    body: int = 8 << 20
    head: int = 16 << 10
    seconds: float = 5.0
    answering: float = 10.0
    idle: float = 120.0
    requests: int = 32
    bodies: int = 32 << 20
    connections: int = 256


Handler = Callable[[bytes], Awaitable[Response]]
"""Answers a body."""


class Observer(Protocol):
    """Sees the requests to known paths come and go."""

    def began(self, path: str) -> None:
        """A request's head has arrived."""

    def ended(self, path: str, status: int, seconds: float) -> None:
        """It is answered so, or was cut, which is status 0."""


class _RefusedError(Exception):
    """An answer that is given before the body is read."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response = Response(status, f"{text}\n".encode(), headers=headers)


def _busy() -> _RefusedError:
    return _RefusedError(503, "too many requests at once", Retry_After="1")


class PostServer:
    """Serves JSON that is posted to a few paths."""

    def __init__(
        self,
        tls: ssl.SSLContext,
        routes: Mapping[str, Handler],
        observer: Observer,
        limits: Limits | None = None,
    ) -> None:
        """`tls` may load other certificates while it serves: they are for later connections."""
        self._tls = tls
        self._routes = routes
        self._observer = observer
        self._limits = limits or Limits()
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: dict[asyncio.Task[None], None] = {}
        self._requests = 0
        self._bodies = 0

    @asynccontextmanager
    async def serving(self, listener: socket.socket) -> AsyncGenerator[None, None]:
        """Serve on the socket within the context; it is closed at its end."""
        listener.setblocking(False)  # noqa: FBT003 -- socket's own interface
        accepting = asyncio.create_task(self._accept(listener))
        try:
            yield
        finally:
            ending = {accepting, *self._tasks}
            for task in ending:
                task.cancel()
            await asyncio.wait(ending)
            listener.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                _log.warning("Connection not accepted", error=str(error))
                await asyncio.sleep(_ACCEPT_PAUSE)
                continue
            if len(self._tasks) >= self._limits.connections and not self._made_room():
                connection.close()
                continue
            task = asyncio.create_task(self._connection(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _made_room(self) -> bool:
        """End the connection that has been idle longest, if one is."""
        for task in self._idle:
            del self._idle[task]
            self._tasks.discard(task)
            task.cancel()
            return True
        return False

    async def _connection(self, connection: socket.socket) -> None:
        loop, limits = asyncio.get_running_loop(), self._limits
        reader = asyncio.StreamReader(limit=_CHUNK)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=limits.seconds,
                ssl_shutdown_timeout=_LINGER_SECONDS,
            )
        except (OSError, asyncio.IncompleteReadError) as error:  # ssl's errors and time-outs, too
            _log.debug("Closed connection", error=repr(error))
            connection.close()
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            await self._exchanges(reader, writer)
        except (OSError, h11.ProtocolError) as error:
            _log.debug("Closed connection", error=repr(error))
            transport.abort()
        finally:
            writer.close()
            with suppress(OSError):
                async with asyncio.timeout(_LINGER_SECONDS):
                    await writer.wait_closed()
            transport.abort()

    async def _exchanges(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head)
        patience = self._limits.seconds
        while await self._more(http, reader, patience):
            await self._exchange(http, reader, writer)
            if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LINGER_SECONDS):
                        while await reader.read(_CHUNK):
                            pass
                return
            http.start_next_cycle()
            patience = self._limits.idle

    async def _more(
        self, http: h11.Connection, reader: asyncio.StreamReader, patience: float
    ) -> bool:
        """Wait for the first bytes of a request; whether there are any."""
        if http.trailing_data[0]:
            return True
        task = asyncio.current_task()
        if task is not None and patience == self._limits.idle:
            self._idle[task] = None
        try:
            async with asyncio.timeout(patience):
                data = await reader.read(_CHUNK)
        finally:
            if task is not None:
                self._idle.pop(task, None)
        http.receive_data(data)
        return bool(data)

    async def _exchange(
        self, http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        deadline = begun + self._limits.seconds
        path, head_only, response = "", False, Response(0, b"")
        try:
            async with asyncio.timeout_at(deadline):
                request = await _next(http, reader)
            if not isinstance(request, h11.Request):
                return
            head_only = request.method == b"HEAD"
            if (known := _path(request)) in self._routes:
                path = known
                self._observer.began(path)
            response = await self._answered(http, reader, writer, request, deadline)
        except _RefusedError as refused:
            response = refused.response
        except h11.RemoteProtocolError as error:
            response = Response(error.error_status_hint, f"{error}\n".encode())
        finally:
            # Before it is sent: whoever has the answer finds it counted.
            if path:
                self._observer.ended(path, response.status, loop.time() - begun)
        async with asyncio.timeout(self._limits.seconds):
            await _send(http, writer, response, head_only=head_only)

    async def _answered(
        self,
        http: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        request: h11.Request,
        deadline: float,
    ) -> Response:
        handler, length = self._accepted(request)
        self._requests += 1
        self._bodies += length
        try:
            if http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                writer.write(http.send(go_on) or b"")
            async with asyncio.timeout_at(deadline):
                body = await _body(http, reader)
            return await self._made(handler, body)
        finally:
            self._requests -= 1
            self._bodies -= length

    async def _made(self, handler: Handler, body: bytes) -> Response:
        try:
            async with asyncio.timeout(self._limits.answering):
                return await handler(body)
        except TimeoutError:
            return _busy().response
        except Exception as error:  # noqa: BLE001 -- one request's trouble, whatever it is
            _log.exception("Answer failed", error=repr(error))
            return Response(500, b"the answer could not be made\n")

    def _accepted(self, request: h11.Request) -> tuple[Handler, int]:
        """Who answers, and how long the body is; raises `_RefusedError`."""
        limits = self._limits
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        handler = self._routes.get(_path(request))
        if handler is None:
            raise _RefusedError(404, "not found")
        if request.method != b"POST":
            raise _RefusedError(405, "only POST is allowed", Allow="POST")
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise _RefusedError(415, "Content-Type must be application/json")
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise _RefusedError(415, "Content-Encoding must be identity")
        if "content-length" not in headers:
            raise _RefusedError(411, "Content-Length is required")
        length = int(headers["content-length"])  # h11 has seen that it is a number
        if length > limits.body:
            raise _RefusedError(413, f"the body may not be more than {limits.body >> 20} MiB")
        if self._requests >= limits.requests or self._bodies + length > limits.bodies:
            raise _busy()
        return handler, length


def _path(request: h11.Request) -> str:
    return request.target.partition(b"?")[0].decode("ascii", "replace")


async def _next(http: h11.Connection, reader: asyncio.StreamReader) -> object:
    """The next event of the client."""
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await reader.read(_CHUNK))
    return event


async def _body(http: h11.Connection, reader: asyncio.StreamReader) -> bytes:
    parts = []
    while isinstance(event := await _next(http, reader), h11.Data):
        parts.append(bytes(event.data))
    return b"".join(parts)


async def _send(
    http: h11.Connection, writer: asyncio.StreamWriter, response: Response, *, head_only: bool
) -> None:
    headers = {
        **response.headers,
        "Content-Type": response.content_type,
        "Content-Length": str(len(response.body)),
        "X-Content-Type-Options": "nosniff",
    }
    if http.their_state is not h11.DONE:  # a body that nobody reads: no request can follow it
        headers["Connection"] = "close"
    start = h11.Response(
        status_code=response.status,
        reason=HTTPStatus(response.status).phrase.encode(),
        headers=list(headers.items()),
    )
    parts = [http.send(start)]
    if not head_only:
        parts.append(http.send(h11.Data(data=response.body)))
    parts.append(http.send(h11.EndOfMessage()))
    writer.write(b"".join(part for part in parts if part))
    await writer.drain()
