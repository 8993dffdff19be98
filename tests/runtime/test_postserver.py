"""Whatever strangers send or don't send, there is a bound, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.runtime.httpserver import Response
from observatory.runtime.postserver import Limits, PostServer
from tests.fuzz.mutations import examples
from tests.runtime.posting import PATH, Served, post, served

QUICK = Limits(seconds=0.2, idle=0.3)
"""So that a test does not wait for seconds."""


async def echo(body: bytes) -> Response:
    return Response(200, body, "application/json")


def run(
    body: Callable[[Served], Coroutine[Any, Any, None]],
    limits: Limits | None = None,
    handler: Callable[[bytes], Awaitable[Response]] = echo,
) -> None:
    async def main() -> None:
        async with served(handler, limits) as place:
            await body(place)
        assert place.seen.began_ == len(place.seen.codes)

    asyncio.run(asyncio.wait_for(main(), 60))


async def fine(place: Served) -> None:
    """An honest request is answered."""
    assert (await place.exchanged(post(b"{}")))[0::2] == (200, b"{}")


def test_the_bounds_are_those_that_are_promised() -> None:
    assert Limits() == Limits(
        body=8 << 20, head=16 << 10, seconds=5, requests=32, bodies=32 << 20, connections=256
    )


def test_a_connection_takes_request_after_request() -> None:
    async def body(place: Served) -> None:
        client = await place.connect()
        for number in range(3):
            await client.send(post(b"%d" % number, path=f"{PATH}?timeout=5s"))
            status, headers, text = await client.answer()
            assert (status, text) == (200, b"%d" % number)
            assert headers["content-type"] == "application/json"
            assert "connection" not in headers
        await client.send(post(b"1") + post(b"2"))  # and two at once
        assert [(await client.answer())[2] for _ in range(2)] == [b"1", b"2"]
        client.close()

    run(body)


def test_a_body_of_8_mib_is_taken_and_one_more_byte_is_not() -> None:
    async def body(place: Served) -> None:
        whole = b"x" * (8 << 20)
        assert (await place.exchanged(post(whole)))[2] == whole
        assert (await place.exchanged(post(b"", Content_Length=str(len(whole) + 1))))[0] == 413
        # All of 9 MiB: nobody reads them, and the answer arrives all the same.
        assert (await place.exchanged(post(b"x" * (9 << 20))))[0] == 413

    run(body)


CHUNKED = b"2\r\n{}\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        pytest.param(post(b"{}", path="/other"), 404, b"not found", id="another path"),
        pytest.param(post(b"{}", path=f"{PATH}/x"), 404, b"not found", id="below the path"),
        pytest.param(
            f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 405, b"only POST", id="GET"
        ),
        pytest.param(post(b"", Content_Length=""), 411, b"Content-Length", id="no length"),
        pytest.param(
            post(b"", Content_Length="", Transfer_Encoding="chunked") + CHUNKED,
            411,
            b"Content-Length",
            id="chunked",
        ),
        pytest.param(post(b"{}", Content_Type="text/yaml"), 415, b"application/json", id="yaml"),
        pytest.param(post(b"{}", Content_Type=""), 415, b"application/json", id="no type"),
        pytest.param(post(b"{}", Content_Encoding="gzip"), 415, b"identity", id="gzip"),
        pytest.param(post(b"", Content_Length="-1"), 400, b"", id="negative length"),
        pytest.param(post(b"", Content_Length="9" * 5000), 400, b"", id="a length of 5000 digits"),
        pytest.param(post(b"", Content_Length="1\r\nContent-Length: 2"), 400, b"", id="two"),
        pytest.param(b"\x16\x03\x01 nonsense\r\n\r\n", 400, b"", id="nonsense"),
        pytest.param(post(b"{}", X="x" * (99 << 10)), 431, b"", id="99 KiB of headers"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_its_reason(
    request_: bytes, status: int, said: bytes
) -> None:
    async def body(place: Served) -> None:
        answered, headers, text = await place.exchanged(request_)
        assert answered == status
        assert said in text
        assert b"Traceback" not in text
        assert headers["x-content-type-options"] == "nosniff"
        await fine(place)

    run(body)


def test_only_tls_is_spoken_and_none_older_than_1_2() -> None:
    async def body(place: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(post(b"{}"))
        assert not (await reader.read(-1)).startswith(b"HTTP")
        writer.close()
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
            old.set_ciphers("ALL:@SECLEVEL=0")
            old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            old.maximum_version = version
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await place.connect(old)
        new = ssl.create_default_context()
        new.check_hostname, new.verify_mode = False, ssl.CERT_NONE
        new.maximum_version = ssl.TLSVersion.TLSv1_2
        client = await place.connect(new)
        assert client.writer.get_extra_info("ssl_object").version() == "TLSv1.2"
        client.close()
        await fine(place)

    with pytest.warns(DeprecationWarning, match="TLSv1"):
        run(body)


@pytest.mark.parametrize(
    "beginning",
    [b"", b"P", f"POST {PATH} HTTP/1.1\r\nX: ".encode(), post(b"{", Content_Length="1000")],
    ids=["nothing", "one byte", "half a head", "half a body"],
)
def test_who_sends_byte_by_byte_is_hung_up_on_in_time(beginning: bytes) -> None:
    async def body(place: Served) -> None:
        client = await place.connect()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await client.send(beginning)
        ended = asyncio.create_task(client.hung_up())
        while not ended.done() and beginning:
            await client.send(b"x")
            await asyncio.wait({ended}, timeout=0.02)  # each silence is far shorter than a limit
        assert await ended == b""
        assert loop.time() - begun < 2
        await fine(place)

    async def tolerant(place: Served) -> None:
        try:
            await body(place)
        except ConnectionError:  # it was hung up on while it sent
            await fine(place)

    run(tolerant, QUICK)


def test_who_takes_no_answer_is_hung_up_on_in_time() -> None:
    async def large(_: bytes) -> Response:
        return Response(200, b"x" * (32 << 20))

    async def body(place: Served) -> None:
        client = await place.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(post(b"{}"))
        ended = asyncio.Event()
        for task in place.server._tasks:
            task.add_done_callback(lambda _: ended.set())
        await ended.wait()
        client.close()

    run(body, QUICK, large)


def test_an_idle_connection_is_closed_and_not_in_the_midst_of_a_request() -> None:
    async def body(place: Served) -> None:
        client = await place.connect()
        await client.send(post(b"{}"))
        await client.answer()
        assert await client.hung_up() == b""
        await fine(place)

    run(body, QUICK)


class Gate:
    """A handler that answers when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = 0
        self.most = 0

    async def __call__(self, body: bytes) -> Response:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await self.open.wait()
        self.waiting -= 1
        return Response(200, body)


def test_of_a_hundred_at_once_32_are_worked_on_and_the_others_told_to_come_back() -> None:
    gate = Gate()

    async def body(place: Served) -> None:
        asking = [asyncio.create_task(place.exchanged(post(b"{}"))) for _ in range(100)]
        refused = 0
        for done in asyncio.as_completed(asking):
            status, headers, _ = await done
            if status == 503:
                assert headers["retry-after"] == "1"
                refused += 1
            if refused == 68:
                gate.open.set()
        assert sorted(place.seen.codes) == [200] * 32 + [503] * 68
        assert gate.most == 32
        await fine(place)

    run(body, None, gate)


def test_bodies_share_their_memory() -> None:
    gate = Gate()

    async def body(place: Served) -> None:
        first = await place.connect()
        await first.send(post(b"x" * 700))
        second = await place.exchanged(post(b"x" * 400))
        assert second[0] == 503
        gate.open.set()
        assert (await first.answer())[0] == 200
        assert (await place.exchanged(post(b"x" * 400)))[0] == 200
        first.close()

    run(body, Limits(bodies=1000), gate)


def test_idle_connections_make_room_and_busy_ones_do_not() -> None:
    async def body(place: Served) -> None:
        clients = []
        for _ in range(4):
            client = await place.connect()
            await client.send(post(b"{}"))
            await client.answer()
            clients.append(client)
        clients.append(await place.connect())  # the fifth
        assert await clients[0].hung_up() == b""
        await clients[1].send(post(b"1"))
        assert (await clients[1].answer())[0] == 200
        for client in clients:
            client.close()

    run(body, Limits(connections=4))


def test_with_nobody_idle_a_connection_too_many_is_closed() -> None:
    async def body(place: Served) -> None:
        busy = [await place.connect() for _ in range(2)]  # they have not said anything yet
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await fine(place)
        for client in busy:
            assert await client.hung_up() == b""
        await fine(place)

    run(body, Limits(connections=2, seconds=0.3))


def test_a_handler_that_fails_or_takes_too_long_is_an_answer_without_a_traceback() -> None:
    async def broken(body: bytes) -> Response:
        if body == b"slow":
            await asyncio.Event().wait()
        raise LookupError("secret")

    async def body(place: Served) -> None:
        status, _, text = await place.exchanged(post(b"{}"))
        assert (status, text) == (500, b"the answer could not be made\n")
        assert (await place.exchanged(post(b"slow")))[0] == 503

    run(body, Limits(answering=0.1), broken)


def test_who_asks_first_whether_to_send_a_body_is_told_to_go_on() -> None:
    async def body(place: Served) -> None:
        client = await place.connect()
        head, _, rest = post(b"{}", Expect="100-continue").partition(b"{}")
        await client.send(head)
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        await client.send(b"{}" + rest)
        assert (await client.answer())[0] == 200
        client.close()

    run(body)


def test_who_leaves_in_the_midst_harms_nobody() -> None:
    async def body(place: Served) -> None:
        for part in (b"", b"POST", post(b"{", Content_Length="9"), post(b"{}")):
            client = await place.connect()
            await client.send(part)
            client.close()
        await fine(place)

    run(body)


def test_the_end_of_the_server_ends_its_connections() -> None:
    async def main() -> None:
        async with served(echo) as place:
            client = await place.connect()
            await client.send(post(b"{}"))
            await client.answer()
        assert await client.hung_up() == b""
        client.close()
        assert not place.server._tasks

    asyncio.run(asyncio.wait_for(main(), 20))


def test_any_bytes_are_answered_or_hung_up_on() -> None:
    async def one(place: Served, data: bytes) -> None:
        client = await place.connect()
        try:
            await client.send(data)
            if client.writer.can_write_eof():
                client.writer.write_eof()
            assert b"Traceback" not in await client.hung_up()
        except ConnectionError:
            pass
        finally:
            client.close()

    async def main(pieces: list[bytes]) -> None:
        async with served(echo, Limits(seconds=0.05, idle=0.05)) as place:
            await one(place, b"".join(pieces))
            await fine(place)

    lines = st.sampled_from(
        [
            *(post(b"{}"), post(b"{}", Content_Length="1"), post(b"{}", Content_Length="x")),
            *(b"\r\n", b"\0", b"POST ", PATH.encode(), b" HTTP/1.1\r\n", b"Host: x\r\n", b": "),
            *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"PRI * HTTP/2.0\r\n"),
            *(b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Upgrade: websocket\r\n"),
        ]
    )

    @examples(12)
    @given(st.lists(lines | st.binary(max_size=20), max_size=8))
    def attempt(pieces: list[bytes]) -> None:
        asyncio.run(asyncio.wait_for(main(pieces), 20))

    attempt()


def test_a_server_without_limits_given_has_limits() -> None:
    server = PostServer(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), {}, None)  # type: ignore[arg-type]
    assert server._limits == Limits()
