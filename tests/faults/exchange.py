"""One request through the proxy: what is to happen to it before and after, and its answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import orjson
from aiohttp import web

from tests.faults import streams
from tests.faults.calls import Call
from tests.faults.plan import Armory, Fault, On
from tests.faults.streams import Stream
from tests.faults.upstream import MERGE_PATCH, Upstream

if TYPE_CHECKING:
    from tests.faults.proxy import Proxy

JsonObject = dict[str, Any]
_PASSED_ON = ("Content-Type", "Accept", "User-Agent", "Accept-Encoding")
_BROUGHT_BACK = ("Content-Type", "Retry-After", "Audit-Id", "Warning")
_REASONS = {401: "Unauthorized", 409: "Conflict", 410: "Expired", 429: "TooManyRequests",
            500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}  # fmt: skip


class Victim(Protocol):
    """The operator behind a proxy."""

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone."""

    async def pause(self, seconds: float) -> None:
        """SIGSTOP for so many seconds."""

    def terminate(self) -> None:
        """SIGTERM."""


Earlier = Callable[[str, str, int], tuple[int, list[JsonObject]]]
"""The version and objects of a namespace's collection as they were so many writes ago."""


@dataclass(slots=True)
class World:
    """What the proxies of one case share."""

    upstream: Upstream
    armory: Armory
    earlier: Earlier
    version: Callable[[], int]
    """The last version that etcd has."""
    log: list[JsonObject] = field(default_factory=list)
    healed: asyncio.Event = field(default_factory=asyncio.Event)
    busy: int = 0
    """How many requests are under way to which something happens, watches apart."""
    last_write: float = 0.0
    """When an operator wrote last, or tried to; its lease apart."""


class Handled(Exception):  # noqa: N818 -- no error
    """The request has its answer."""

    def __init__(self, response: web.StreamResponse) -> None:
        self.response = response


@dataclass(slots=True)
class Exchange:
    """One request and its answer."""

    proxy: Proxy
    world: World
    request: web.BaseRequest
    call: Call
    body: bytes
    attached: list[Fault] = field(default_factory=list)
    """What is to happen to the watch that this request opens."""

    async def run(self, faults: list[Fault]) -> web.StreamResponse:
        watches = self.call.verb == "watch"
        self.attached = [f for f in faults if watches and f.at_streams and not f.watch]
        for fault in faults:
            if fault.when == "before" and fault not in self.attached:
                await self._before(fault)
        after = [fault for fault in faults if fault.when == "after"]
        if watches:
            for fault in self.attached:
                self.proxy.note(fault, self.call.resource)
            version = self.request.query.get("resourceVersion", "")
            told = self.proxy.has_expired(self.call.resource, version)
            if told is not None and not self.call.initial:
                return await self._expire(told)
            return await self._watch(self._target())
        answer = await self._forward()
        for fault in after:
            await self._after(fault, answer)
        return answer

    def _target(self) -> str:
        return self.request.raw_path

    async def _send(self, target: str) -> aiohttp.ClientResponse:
        headers = {
            name: value
            for name in _PASSED_ON
            if (value := self.request.headers.get(name)) is not None
        }
        headers["Authorization"] = self.proxy.authorization
        return await self.world.upstream.send(
            self.request.method, target, headers, self.body or None
        )

    async def _forward(self) -> web.Response:
        """The API server's answer. What is on its way arrives, though the operator may be gone."""

        async def exchange() -> web.Response:
            self.world.busy += self.call.counts
            try:
                async with await self._send(self._target()) as response:
                    content = await response.read()
                    headers = _headers(response.headers)
                    return web.Response(status=response.status, headers=headers, body=content)
            finally:
                self.world.busy -= self.call.counts
                if self.call.writes and self.call.resource != "leases":
                    self.world.last_write = time.time()

        return await asyncio.shield(asyncio.ensure_future(exchange()))

    async def _before(self, fault: Fault) -> None:
        match fault.do:
            case "hang":
                await self._hang(fault)
            case "status":
                self.proxy.note(fault, self.call.resource)
                raise Handled(_refusal(fault))
            case "touch":
                await self._touch()
            case "rewind":
                raise Handled(await self._rewound(fault))
            case _:
                await self._either_way(fault)

    async def _after(self, fault: Fault, answer: web.Response) -> None:
        match fault.do:
            case "slow" | "truncate":
                raise Handled(await self._bit_by_bit(fault, answer))
            case _:
                await self._either_way(fault)

    async def _either_way(self, fault: Fault) -> None:
        """What is done alike to a request on its way there and to its answer on its way back."""
        if fault.at_streams:
            self.proxy.at_streams(fault)
            return
        match fault.do:
            case "kill":
                await asyncio.shield(asyncio.ensure_future(self.proxy.kill()))
                raise self._closed(streams.close)
            case "stop":
                await asyncio.shield(asyncio.ensure_future(self.proxy.pause(fault.seconds)))
            case "terminate":
                self.proxy.terminate()
            case "drop_request" | "drop_answer":
                raise self._closed(streams.close)
            case "reset":
                raise self._closed(streams.reset)
            case "delay":
                await asyncio.sleep(fault.seconds)
            case _:
                pass

    def _closed(self, how: Callable[[web.BaseRequest], None]) -> Handled:
        how(self.request)
        return Handled(web.Response(status=499))

    async def _hang(self, fault: Fault) -> None:
        """Neither the request nor an answer arrives while this lasts; then the connection ends."""
        left = self.world.armory.left(fault, asyncio.get_running_loop().time())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.world.healed.wait(), left)
        raise self._closed(streams.close)

    async def _touch(self) -> None:
        """Write to the object that this request is about, as somebody else."""
        target = self._target().partition("?")[0].removesuffix(f"/{self.call.subresource}")
        stamp = str(self.world.armory.requests)
        patch = {"metadata": {"annotations": {"example.com/touched": stamp}}}
        await self.world.upstream.ask(
            "PATCH", target, patch, content_type=MERGE_PATCH, accept=(404,)
        )

    async def _bit_by_bit(self, fault: Fault, answer: web.Response) -> web.StreamResponse:
        content = answer.body if isinstance(answer.body, bytes) else b""
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = len(content)
        await response.prepare(self.request)
        if fault.do == "truncate":
            await response.write(content[: len(content) // 2])
            streams.close(self.request)
            return response
        pieces = 10
        size = len(content) // pieces + 1
        for start in range(0, len(content), size):
            await response.write(content[start : start + size])
            await asyncio.sleep(fault.seconds / pieces)
        return response

    async def _watch(self, target: str, first: tuple[bytes, ...] = ()) -> web.StreamResponse:
        async with await self._send(target) as upstream:
            if upstream.status != 200:
                content = await upstream.read()
                headers = _headers(upstream.headers)
                return web.Response(status=upstream.status, headers=headers, body=content)
            response = web.StreamResponse(headers=_headers(upstream.headers))
            await response.prepare(self.request)
            stream = Stream(self.call.resource, self.request, response, self.attached)
            for line in first:
                stream.take(line)
            async with self.proxy.open(stream, _lines(upstream)):
                with contextlib.suppress(ConnectionError):
                    await stream.run()
            return response

    async def _expire(self, seconds: float) -> web.StreamResponse:
        """HTTP 410, or after a while an ERROR event in a stream that had begun well."""
        if not seconds:
            return _refusal(Fault(On(), "status", status=410))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(self.request)
        await asyncio.sleep(seconds)
        await response.write(streams.EXPIRED + b"\n")
        return response

    async def _rewound(self, fault: Fault) -> web.StreamResponse:
        """An answer that was right once. The watch that follows goes on from there."""
        call = self.call
        version, objects = self.world.earlier(call.namespace, call.resource, fault.back)
        selector = self.request.query.get("labelSelector", "")
        objects = [each for each in objects if _selected(each, selector)]
        if call.verb == "list":
            listed: JsonObject = {"kind": "List", "apiVersion": "v1", "items": objects}
            listed["metadata"] = {"resourceVersion": str(version)}
            return web.Response(body=orjson.dumps(listed), content_type="application/json")
        events: list[JsonObject] = [{"type": "ADDED", "object": each} for each in objects]
        end: JsonObject = {"resourceVersion": str(version)}
        end["annotations"] = {"k8s.io/initial-events-end": "true"}
        events.append({"type": "BOOKMARK", "object": {"metadata": end}})
        path = self._target().partition("?")[0]
        target = f"{path}?watch=true&allowWatchBookmarks=true&resourceVersion={version}"
        if selector:
            target += f"&labelSelector={selector}"
        return await self._watch(target, tuple(map(orjson.dumps, events)))


def holder(body: bytes) -> str:
    """Who is to hold the lease that is written."""
    spec = orjson.loads(body).get("spec") or {}
    return str(spec.get("holderIdentity") or "")


def _selected(item: JsonObject, selector: str) -> bool:
    """Whether an object has the label that a selector asks for; the operator asks no more."""
    return not selector or selector in (item["metadata"].get("labels") or {})


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
    if rest:
        raise aiohttp.ClientPayloadError("the API server ended a watch within a line")


def _headers(found: Mapping[str, str]) -> dict[str, str]:
    return {name: found[name] for name in _BROUGHT_BACK if name in found}


def _refusal(fault: Fault) -> web.Response:
    """An answer in the API server's form."""
    reason = _REASONS.get(fault.status, "")
    status: JsonObject = {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": f"injected {fault.status}", "reason": reason, "code": fault.status,
    }  # fmt: skip
    headers = {}
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
        status["details"] = {"retryAfterSeconds": fault.retry_after}
    return web.Response(
        status=fault.status, body=orjson.dumps(status), headers=headers,
        content_type="application/json",
    )  # fmt: skip
