"""What lies between one operator process and the API server: latency, faults, and its death.

A request takes two steps, on the way there and on the way back, and anything may happen in between.
Nothing is drawn by chance: latencies follow from the scenario's seed and the request's number.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from observatory.api.jitter import fraction
from observatory.api.names import LEASES, LOCAL_SUBJECT_ACCESS_REVIEWS, Key, Resource
from observatory.api.types import JsonObject
from observatory.kube.api import NO_PARAMS, Patch, PatchKind
from observatory.kube.errors import ApiError, Gone, KubeError, TransportError
from observatory.simulation.apiserver import ApiServer, Request
from observatory.simulation.line import Line
from observatory.simulation.loop import VirtualLoop
from observatory.simulation.rules import DeleteOptions
from observatory.simulation.scenario import Fault
from observatory.simulation.watches import Stream

SHORTEST = 0.001
"""Seconds that a request takes each way at the least; half of them take less than twice that."""
LONGEST = 5.0
LAG_WORTH = 0.003
"""Lines of a watch that come sooner come at once."""
BROKEN_AFTER = 1.0
"""Seconds after which the client knows that a request did not arrive."""
GONE = "gone"
INITIAL_EVENTS_END = b"k8s.io/initial-events-end"
WRITES = frozenset({"create", "update", "patch", "delete"})
_NO_WRITES = frozenset({LEASES, LOCAL_SUBJECT_ACCESS_REVIEWS})
"""Of the elector, which isn't an operator's; and of what changes nothing."""


class Observer(Protocol):
    """Who is told of the requests, and makes faults of them."""

    def sent(self, wire: Wire, request: Request, number: int) -> None:
        """A write goes out. It may kill the process or change what becomes of the write."""

    def served(self, wire: Wire, number: int, error: KubeError | None) -> None:
        """The server took a write or refused it; the process does not know yet."""


class Wire:
    """The `Api` of one operator process, and of its elector."""

    def __init__(
        self,
        name: str,
        loop: VirtualLoop,
        server: ApiServer,
        *,
        seed: str,
        numbers: list[int],
        observer: Observer,
    ) -> None:
        """`numbers` counts the writes of the operator over all its processes."""
        self.name = name
        self.line = Line()
        self.guard: Callable[[], None] = lambda: None
        """Called before each write; raises `LeaseLost` where it must not go out."""
        self.dead = False
        self._loop = loop
        self._server = server
        self._seed = seed
        self._numbers = numbers
        self._observer = observer
        self._draws = 0
        self._paused_until = 0.0
        self._streams: list[tuple[Resource, Stream]] = []

    # The life of the process

    def die(self) -> None:
        """From now on nothing reaches the process any more, and nothing leaves it."""
        self.dead = True

    async def running(self) -> None:
        """Return when the process is not standing still."""
        while (left := self._paused_until - self._loop.time()) > 0:  # noqa: ASYNC110 - it is put off
            await asyncio.sleep(left)

    def suffer(self, fault: Fault) -> None:
        """Have happen to the process or to its line what a fault says."""
        now = self._loop.time()
        if fault.do == "cut":
            self._cut(str(fault.value))
        elif fault.do == "pause":
            self._paused_until = max(self._paused_until, now + fault.seconds)
        else:
            self.line.suffer(fault, now)

    def _cut(self, how: str) -> None:
        """End the open watches, in one of the ways in which watches end."""
        for _, stream in self._streams:
            match how:
                case "reset":
                    stream.end(_reset())
                case "expired":
                    stream.expire()
                case _:
                    stream.end(None)
        self.line.gone |= how == "gone"
        self.line.empty += 2 if how == "empty" else 0

    # The Api

    async def get(self, resource: Resource, key: Key) -> JsonObject:
        """See `Api.get`."""
        request = Request("get", resource, key)
        return await self.ask(request, lambda: self._server.get_now(resource, key))

    async def list(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> JsonObject:
        """See `Api.list`."""
        request = Request("list", resource, Key(namespace or "", ""), params=params)
        return await self.ask(request, lambda: self._server.list_now(resource, namespace, params))

    async def create(self, resource: Resource, namespace: str, body: JsonObject) -> JsonObject:
        """See `Api.create`."""
        name = str(body.get("metadata", {}).get("name", ""))
        request = Request("create", resource, Key(namespace, name), body=body)
        return await self.ask(request, lambda: self._server.create_now(resource, namespace, body))

    async def replace(
        self, resource: Resource, key: Key, body: JsonObject, *, subresource: str | None = None
    ) -> JsonObject:
        """See `Api.replace`."""
        request = Request("update", resource, key, subresource, body)
        return await self.ask(
            request,
            lambda: self._server.replace_now(resource, key, body, subresource=subresource),
        )

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
        request = Request("patch", resource, key, subresource, body, params)
        return await self.ask(
            request,
            lambda: self._server.patch_now(resource, key, body, kind=kind, subresource=subresource),
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
        options = DeleteOptions(uid, version, grace)
        request = Request("delete", resource, key, params=options.params())
        return await self.ask(request, lambda: self._server.delete_now(resource, key, options))

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """See `Api.watch`."""
        line = self.line
        if line.gone and params.get("resourceVersion"):
            line.gone = False
            params = {**params, "resourceVersion": GONE}
        request = Request("watch", resource, Key(namespace or "", ""), params=params)
        await self.ask(request, lambda: _opened(params))
        lists = params.get("sendInitialEvents") == "true"
        age, seconds = line.rewinds.pop(resource.plural, (0, 0.0)) if lists else (0, 0.0)
        with self._server.watches.opened(resource, namespace, params, age) as stream:
            if line.empty:
                line.empty -= 1
                stream.end(None)
            self._streams.append((resource, stream))
            try:
                yield self._lines(resource, stream, seconds)
            finally:
                self._streams.remove((resource, stream))

    async def _lines(
        self, resource: Resource, stream: Stream, stale: float
    ) -> AsyncIterator[bytes]:
        """What the client reads; `stale` says how long it hears nothing after its listing."""
        async for line in stream.lines():
            lag = self._latency()
            if lag > LAG_WORTH:
                await asyncio.sleep(lag)
            while (left := self.line.silent_until(resource) - self._loop.time()) > 0:  # noqa: ASYNC110 - it is put off
                await asyncio.sleep(left)
            await self.running()
            yield line
            if stale and INITIAL_EVENTS_END in line:
                self.line.hold(resource, self._loop.time() + stale)

    # One request

    async def ask(self, request: Request, serve: Callable[[], JsonObject]) -> JsonObject:
        """Send a request. What comes back is what the server answers, or that nothing did.

        Raises:
            KubeError: It was refused, or the line broke; `LeaseLost` before it was sent.
        """
        await self.running()
        number, line = 0, self.line
        if request.verb in WRITES and request.resource not in _NO_WRITES:
            self.guard()
            self._numbers[0] += 1
            number = self._numbers[0]
            self._observer.sent(self, request, number)
        if self.dead:
            await self._loop.create_future()  # for ever
        lost, delay = line.on_the_way(number)
        if lost or line.blocked(request.resource, self._loop.time()):
            await asyncio.sleep(BROKEN_AFTER)
            await self.running()
            raise TransportError("Connection timed out")
        if refusal := line.refused(self._loop.time()):
            await asyncio.sleep(self._latency())
            raise refusal
        answer = self._loop.create_future()
        self._loop.call_later(
            delay + self._latency(), self._arrive, request.resource, number, serve, answer
        )
        result: JsonObject = await answer
        return result

    def _arrive(
        self,
        resource: Resource,
        number: int,
        serve: Callable[[], JsonObject],
        answer: asyncio.Future[JsonObject],
    ) -> None:
        """The server takes the request, whether its sender still lives or not."""
        error: KubeError | None = None
        result: JsonObject = {}
        try:
            result = serve()
        except ApiError as refused:
            error = refused
        if number:
            self._observer.served(self, number, error)
        lost, delay = self.line.on_the_way_back(number)
        if lost or self.line.blocked(resource, self._loop.time()):
            error = _reset()
        self._loop.call_later(delay + self._latency(), self._deliver, answer, result, error)

    def _deliver(
        self, answer: asyncio.Future[JsonObject], result: JsonObject, error: KubeError | None
    ) -> None:
        if self.dead or answer.done():
            return
        if (left := self._paused_until - self._loop.time()) > 0:
            self._loop.call_later(left, self._deliver, answer, result, error)
        elif error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)

    def _latency(self) -> float:
        """Most are short; one in a hundred is a hundred times as long."""
        self._draws += 1
        return min(SHORTEST / (1 - fraction(self._seed, self._draws)), LONGEST)


def _opened(params: Mapping[str, str]) -> JsonObject:
    if params.get("resourceVersion") == GONE:
        raise Gone(410, "Expired", "too old resource version")
    return {}


def _reset() -> TransportError:
    """A new one each time: an error keeps the frames that it was raised through."""
    return TransportError("Connection reset by peer")
