"""The HTTP client of the API server. Everything but the elector's lease goes through it.

Objects are raw JSON. Errors are those of `kube/errors.py`. The rules:

* A read that meets a connection which the server closed while it was idle is sent once more. A
  write is sent once: what a lost answer means is for the caller to find out. The one exception is
  401, which says that nothing was done: the credentials are read again, the request repeated once.
* 429 and 503 are raised with `retry_after`; the caller decides where it waits.
* Before each write, after everything that it had to wait for, `before_write` may refuse it. Only a
  connection may have to be opened then, which is limited to `transport.CONNECT_SECONDS`.
* A watch has a connection of its own: after a re-watch it may reach another API server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

import aiohttp
import orjson

from observatory import __version__
from observatory.api.names import FIELD_MANAGER, PODS, Key, Resource
from observatory.api.types import JsonObject
from observatory.kube import transport
from observatory.kube.api import NO_PARAMS, Patch, PatchKind
from observatory.kube.credentials import ClusterConfig, ConfigError, Credential
from observatory.kube.errors import TransportError, from_status
from observatory.kube.watchstream import LineSplitter, LineTooLongError

USER_AGENT = f"observatory-operator/{__version__}"
WRITES_IN_FLIGHT = 64
"""At most so many writes wait for an answer; the rest queue here and not in the API server."""

_UNAUTHORIZED = 401
_FIRST_ERROR = 300  # redirects are not followed: they could carry the token elsewhere


@dataclass(frozen=True, slots=True)
class Call:
    """One finished request, for the metrics."""

    method: str
    verb: str  # get, list, watch, create, update, patch, delete
    host: str
    code: str  # the HTTP status, or "<error>" without an answer, as client-go says it
    seconds: float


class Client:
    """The `Api` of one cluster over HTTP. Make and use it within one event loop; `close` it."""

    def __init__(
        self,
        config: ClusterConfig,
        *,
        before_write: Callable[[], None] = lambda: None,
        observe: Callable[[Call], None] = lambda _: None,
        timeouts: transport.Timeouts = transport.DEFAULT_TIMEOUTS,
        writes_in_flight: int = WRITES_IN_FLIGHT,
    ) -> None:
        self._config = config
        self._before_write = before_write
        self._observe = observe
        self._timeouts = timeouts
        self._writes = asyncio.Semaphore(writes_in_flight)
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": USER_AGENT,
        }
        self._session = transport.session(headers, timeouts.read)
        self._watches = transport.session(headers, timeouts.watch, reuse=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections, and wait until they are closed."""
        await self._watches.close()
        await self._session.close()

    async def get(self, resource: Resource, key: Key) -> JsonObject:
        """See `Api.get`."""
        return await self._read("get", _path(resource, key), {})

    async def list(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> JsonObject:
        """See `Api.list`."""
        return await self._read("list", resource.path(namespace), params)

    async def create(self, resource: Resource, namespace: str, body: JsonObject) -> JsonObject:
        """See `Api.create`."""
        return await self._write("POST", "create", resource.path(namespace), body, _MANAGED)

    async def replace(
        self, resource: Resource, key: Key, body: JsonObject, *, subresource: str | None = None
    ) -> JsonObject:
        """See `Api.replace`."""
        return await self._write("PUT", "update", _path(resource, key, subresource), body, _MANAGED)

    async def patch(
        self,
        resource: Resource,
        key: Key,
        body: Patch,
        *,
        kind: PatchKind,
        subresource: str | None = None,
        params: Mapping[str, str] = NO_PARAMS,
    ) -> JsonObject:
        """See `Api.patch`."""
        path = _path(resource, key, subresource)
        return await self._write(
            "PATCH", "patch", path, body, {**_MANAGED, **params}, content_type=kind
        )

    async def delete(
        self,
        resource: Resource,
        key: Key,
        *,
        uid: str | None = None,
        version: str | None = None,
        grace: int | None = None,
    ) -> JsonObject:
        """See `Api.delete`."""
        options: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions"}
        wanted = {"uid": uid, "resourceVersion": version}
        if preconditions := {name: value for name, value in wanted.items() if value is not None}:
            options["preconditions"] = preconditions
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        return await self._write("DELETE", "delete", _path(resource, key), options, {})

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """See `Api.watch`."""
        response = await self._sent(
            self._watches, "GET", "watch", resource.path(namespace), {**params, "watch": "true"}
        )
        lines = _lines(response)
        try:
            if response.status >= _FIRST_ERROR:
                raise await _error(response)
            yield lines
        finally:
            await lines.aclose()
            response.close()

    @asynccontextmanager
    async def log(
        self, key: Key, params: Mapping[str, str]
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """What a Pod has written, in pieces as they come; `params` are those of `pods/log`.

        With `follow` they end when the container does.
        """
        path = _path(PODS, key, "log")
        response = await self._sent(self._watches, "GET", "get", path, params)
        try:
            if response.status >= _FIRST_ERROR:
                raise await _error(response)
            yield _chunks(response)
        finally:
            response.close()

    async def _read(self, verb: str, path: str, params: Mapping[str, str]) -> JsonObject:
        response = await self._sent(self._session, "GET", verb, path, params)
        return await _json(response)

    async def _write(
        self,
        method: str,
        verb: str,
        path: str,
        body: Patch,
        params: Mapping[str, str],
        *,
        content_type: str = "application/json",
    ) -> JsonObject:
        data = orjson.dumps(body)
        async with self._writes:
            response = await self._sent(
                self._session, method, verb, path, params, data=data, content_type=content_type
            )
            return await _json(response)

    async def _sent(
        self,
        session: aiohttp.ClientSession,
        method: str,
        verb: str,
        path: str,
        params: Mapping[str, str],
        *,
        data: bytes | None = None,
        content_type: str = "",
    ) -> aiohttp.ClientResponse:
        """The response, whatever its status; after a 401 that of the second try."""
        credential = await self._credential()
        send = _Request(method, verb, self._config.server + path, params, data, content_type)
        response = await self._attempt(session, send, credential)
        if response.status != _UNAUTHORIZED:
            return response
        # The server has done nothing: what was rotated since is read again, and the request
        # repeated, once. What is still refused then is refused for good.
        response.release()
        self._config.credentials.reject(credential)
        return await self._attempt(session, send, await self._credential())

    async def _credential(self) -> Credential:
        current = self._config.credentials.current()
        if current is not None:
            return current
        try:
            return await asyncio.to_thread(self._config.credentials.load)
        except ConfigError as error:
            raise TransportError(f"no credentials to send: {error}") from error

    async def _attempt(
        self, session: aiohttp.ClientSession, request: _Request, credential: Credential
    ) -> aiohttp.ClientResponse:
        loop = asyncio.get_running_loop()
        start, code = loop.time(), "<error>"
        options: dict[str, Any] = {"headers": request.headers(credential)}
        if request.data is not None:
            self._before_write()
            options |= {"data": request.data, "timeout": self._timeouts.write}
        if credential.tls is not None:
            options |= {"ssl": credential.tls, "server_hostname": self._config.tls_server_name}
        try:
            with transport.translated():
                response = await session.request(
                    request.method,
                    request.url,
                    params=request.params,
                    proxy=self._config.proxy,
                    allow_redirects=False,
                    **options,
                )
            code = str(response.status)
            return response
        finally:
            seconds = loop.time() - start
            host = self._config.host
            self._observe(Call(request.method, request.verb, host, code, seconds))


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    verb: str
    url: str
    params: Mapping[str, str]
    data: bytes | None
    content_type: str

    def headers(self, credential: Credential) -> dict[str, str]:
        headers = {"Content-Type": self.content_type} if self.content_type else {}
        if credential.authorization:
            headers["Authorization"] = credential.authorization
        return headers


_MANAGED: Mapping[str, str] = MappingProxyType({"fieldManager": FIELD_MANAGER})


def _path(resource: Resource, key: Key, subresource: str | None = None) -> str:
    # As client-go: such a name would be the path of something else.
    for part in key:
        if part in {".", ".."} or "/" in part or "%" in part:
            raise ValueError(f'{resource.kind} {key}: a name may not be "." or "..", nor have "/%"')
    if not key.name:
        raise ValueError(f"{resource.kind}: the name is empty")
    return resource.path(key.namespace or None, key.name, subresource)


async def _json(response: aiohttp.ClientResponse) -> JsonObject:
    async with response:
        if response.status >= _FIRST_ERROR:
            raise await _error(response)
        with transport.translated():
            body = await response.read()
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise TransportError(f"the answer is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise TransportError("the answer is not a JSON object")
    return value


async def _error(response: aiohttp.ClientResponse) -> Exception:
    with transport.translated():
        body = await response.read()
    return from_status(response.status, body, response.headers)


async def _chunks(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    with transport.translated():
        async for chunk in response.content.iter_any():
            yield chunk


async def _lines(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    splitter = LineSplitter()
    try:
        with transport.translated():
            async for chunk in response.content.iter_any():
                for line in splitter.feed(chunk):
                    yield line
    except LineTooLongError as error:
        raise TransportError(str(error)) from error
    if splitter.truncated:
        raise TransportError("the watch stream ended inside a line")
