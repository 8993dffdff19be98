from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from observatory.api.names import PODS, Key
from observatory.kube import transport
from observatory.kube.client import Client
from observatory.kube.errors import Gone, TransportError
from tests.kube.loopback import Exchange, Handler, Loopback, Tokens, config, serving

STATUS = {"kind": "Status", "message": "too old resource version", "reason": "Expired"}


def run(
    handler: Handler,
    body: Callable[[Client, Loopback], Coroutine[Any, Any, None]],
    tokens: Tokens | None = None,
    silence: float = 5,
) -> None:
    async def main() -> None:
        timeouts = transport.timeouts(watch_silence=silence)
        async with (
            asyncio.timeout(10),
            serving(handler) as server,
            Client(config(server.url, tokens), timeouts=timeouts) as client,
        ):
            await body(client, server)

    asyncio.run(main())


async def lines_of(client: Client, **params: str) -> list[bytes]:
    async with client.watch(PODS, None, params) as lines:
        return [line async for line in lines]


def test_lines_come_whole_however_the_stream_is_cut() -> None:
    text = '{"type":"ADDED","object":{"a":"größer 🦉"}}\n\n{"type":"BOOKMARK"}\r\n'.encode()

    async def handler(exchange: Exchange) -> None:
        await exchange.start_stream()
        for at in range(len(text)):
            await exchange.chunk(text[at : at + 1])
            await asyncio.sleep(0)
        await exchange.end_stream()

    async def body(client: Client, server: Loopback) -> None:
        assert await lines_of(client, resourceVersion="7") == [
            '{"type":"ADDED","object":{"a":"größer 🦉"}}'.encode(),
            b'{"type":"BOOKMARK"}',
        ]
        assert server.exchanges[0].target == "/api/v1/pods?resourceVersion=7&watch=true"

    run(handler, body)


def test_a_line_may_have_megabytes() -> None:
    big = b'"' + b"x" * 3_000_000 + b'"'

    async def handler(exchange: Exchange) -> None:
        await exchange.start_stream()
        await exchange.chunk(big + b"\n")
        await exchange.end_stream()

    async def body(client: Client, _: Loopback) -> None:
        assert await lines_of(client) == [big]

    run(handler, body)


def test_a_refused_watch_is_an_api_error() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(410, STATUS)

    async def body(client: Client, _: Loopback) -> None:
        with pytest.raises(Gone, match="too old"):
            await lines_of(client)

    run(handler, body)


def test_a_refused_token_is_read_again() -> None:
    async def handler(exchange: Exchange) -> None:
        if exchange.headers["authorization"] == "Bearer old":
            await exchange.answer(401, STATUS)
        else:
            await exchange.start_stream()
            await exchange.chunk(b"{}\n")
            await exchange.end_stream()

    async def body(client: Client, _: Loopback) -> None:
        assert await lines_of(client) == [b"{}"]

    run(handler, body, Tokens("old", "new"))


def test_a_stream_that_is_reset_gives_its_lines_and_then_an_error() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start_stream()
        await exchange.chunk(b'{"n":1}\n{"n":')
        await asyncio.sleep(0.01)
        exchange.reset()

    async def body(client: Client, _: Loopback) -> None:
        seen: list[bytes] = []

        async def read() -> None:
            async with client.watch(PODS, None, {}) as lines:
                async for line in lines:
                    seen.append(line)  # noqa: PERF401 -- what came before the error counts

        with pytest.raises(TransportError):
            await read()
        assert seen == [b'{"n":1}']

    run(handler, body)


def test_a_stream_that_ends_inside_a_line_is_an_error() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start_stream()
        await exchange.chunk(b'{"n":1}\n{"n":')
        await exchange.end_stream()

    async def body(client: Client, _: Loopback) -> None:
        with pytest.raises(TransportError, match="inside a line"):
            await lines_of(client)

    run(handler, body)


def test_a_half_open_connection_is_noticed() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start_stream()
        await exchange.chunk(b"{}\n")
        await asyncio.Event().wait()  # no byte and no FIN, as when a NAT forgets the connection

    async def body(client: Client, _: Loopback) -> None:
        with pytest.raises(TransportError):
            await lines_of(client)

    run(handler, body, silence=0.1)


def test_each_watch_has_a_fresh_connection() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start_stream()
        await exchange.end_stream()

    async def body(client: Client, server: Loopback) -> None:
        for _ in range(3):
            await lines_of(client)
        assert [exchange.connection for exchange in server.exchanges] == [1, 2, 3]

    run(handler, body)


def test_leaving_a_watch_closes_its_connection() -> None:
    gone = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        if "watch=true" not in exchange.target:
            await exchange.answer(200, {})
            return
        await exchange.start_stream()
        try:
            while True:
                await exchange.chunk(b"{}\n")
                await asyncio.sleep(0)
        except ConnectionError:
            gone.set()

    async def body(client: Client, _: Loopback) -> None:
        async with client.watch(PODS, None, {}) as lines:
            async for line in lines:
                assert line == b"{}"
                break
        await asyncio.wait_for(gone.wait(), 5)
        assert await client.get(PODS, Key("a", "b")) == {}  # the client lives on

    run(handler, body)
