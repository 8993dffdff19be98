"""How this client uses aiohttp: sockets that notice a dead peer, time-outs, one kind of error."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from observatory.kube.errors import TransportError

CONNECT_SECONDS = 5.0
"""For a connection with all that belongs to it: name, TCP, proxy, TLS.

Between the check of the lease and the sending of a write there can be one connection attempt. So
this has to fit between the renew deadline (10 s) and the duration (15 s) of the lease.
"""
WRITE_SECONDS = 30.0
READ_SECONDS = 60.0
WATCH_SILENCE_SECONDS = 75.0
"""A bookmark comes every 60 s; a watch that is silent for longer than this is dead."""

READ_BUFFER = 2**18
"""Bytes read ahead of a watch before the socket is paused."""

# Seconds and probes after which a peer that vanished without a word (a half-open connection) is
# given up: 30 + 3 * 10 when idle, 30 when data is on its way. Linux's own default is 15 minutes.
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
_USER_TIMEOUT_MS = 30_000


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The time limits of reads, writes and watches."""

    read: aiohttp.ClientTimeout
    write: aiohttp.ClientTimeout
    watch: aiohttp.ClientTimeout


def timeouts(
    *,
    connect: float = CONNECT_SECONDS,
    read: float = READ_SECONDS,
    write: float = WRITE_SECONDS,
    watch_silence: float = WATCH_SILENCE_SECONDS,
) -> Timeouts:
    """Time limits in seconds; a watch has no limit as a whole, only for its silence."""
    return Timeouts(
        read=aiohttp.ClientTimeout(total=read, connect=connect),
        write=aiohttp.ClientTimeout(total=write, connect=connect),
        watch=aiohttp.ClientTimeout(total=None, connect=connect, sock_read=watch_silence),
    )


DEFAULT_TIMEOUTS = timeouts()


def session(
    headers: Mapping[str, str], timeout: aiohttp.ClientTimeout, *, reuse: bool = True
) -> aiohttp.ClientSession:
    """A session without cookies, environment proxies, netrc or hidden retries of writes."""
    connector = aiohttp.TCPConnector(
        limit=0, force_close=not reuse, socket_factory=client_socket, ttl_dns_cache=10
    )
    return aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        read_bufsize=READ_BUFFER,
        middlewares=(_send_writes_once,),
    )


def client_socket(addr_info: tuple[Any, ...]) -> socket.socket:
    """A socket that notices within a minute when the other end is gone."""
    family, kind, protocol, *_ = addr_info
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)  # noqa: FBT003 -- it takes no keyword
        keep_alive(made)
    except BaseException:
        made.close()
        raise
    return made


def keep_alive(made: socket.socket) -> None:
    """Turn on keepalive probes and the limit for unacknowledged data, where the system has them."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = (*_KEEPALIVE, ("TCP_USER_TIMEOUT", _USER_TIMEOUT_MS))
    for name, value in options:
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise `TransportError` for everything that means that there was no whole answer."""
    try:
        yield
    except TimeoutError as error:
        raise TransportError(_text(error) or "timed out") from error
    except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
        raise TransportError(_text(error) or type(error).__name__) from error


def _text(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        # aiohttp's own text has the address of an SSLContext where the cause should be.
        cause = getattr(error, "certificate_error", None) or error.os_error
        return f"cannot connect to {error.host}:{error.port}: {_cause(cause)}"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        # aiohttp's own text has the URL of the proxy, with user and password.
        return f"the proxy answered {error.status} {' '.join(error.message.split())}".rstrip()
    return " ".join(str(error).split())


def _cause(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError | socket.gaierror):
        return os.strerror(error.errno) if error.errno else str(error)
    return " ".join(str(getattr(error, "strerror", None) or error).split())


class _WriteNotAnswered(aiohttp.ClientError):
    """Stands for a lost connection where aiohttp must not see one."""


async def _send_writes_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a PUT or DELETE whose connection was lost.

    It takes them for idempotent (RFC 9110). A PUT with a resourceVersion is not: when the first one
    was done and only its answer was lost, the second one is told `Conflict`.
    """
    if request.method == "GET":
        return await handler(request)
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if isinstance(error, aiohttp.ClientConnectorError):
            raise  # nothing was sent; aiohttp does not repeat after these either
        raise _WriteNotAnswered(_text(error) or type(error).__name__) from error
