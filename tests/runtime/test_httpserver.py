from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from h2.connection import H2Connection
from h2.events import ResponseReceived, StreamEnded
from structlog.testing import capture_logs

from observatory.runtime.certificate import self_signed
from observatory.runtime.httpserver import AddressError, Request, Response, listen, parse, serving

NOW = datetime(2025, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("address", "reached"), [(":0", "127.0.0.1"), ("127.0.0.1:0", "127.0.0.1")]
)
def test_addresses_are_those_of_go(address: str, reached: str) -> None:
    made = listen(address)
    assert made is not None
    with made, socket.create_connection((reached, made.getsockname()[1]), 5):
        pass


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("address", [":0", "[::]:0", "[::1]:0"])
def test_addresses_may_be_of_ipv6(address: str) -> None:
    made = listen(address)
    assert made is not None
    with made, socket.create_connection(("::1", made.getsockname()[1]), 5):
        pass


@pytest.mark.parametrize("address", ["", "8080", "host:", ":http", ":70000", "::1:80", "1", ":-1"])
def test_a_wrong_address_is_refused(address: str) -> None:
    for refuse in (listen, parse):
        with pytest.raises(AddressError, match="is no address: give HOST:PORT") as caught:
            refuse(address)
        assert caught.value.address == address


def test_an_address_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AddressError, match="another program listens there") as caught:
            listen(address)
    assert caught.value.address == address


def test_addresses_can_be_parsed_without_listening() -> None:
    assert parse("[::1]:80") == ("::1", 80)
    assert parse(":8080") == ("", 8080)
    assert parse("0") is None
    assert listen("0") is None


def hello(_: Request) -> Response:
    return Response(200, b"hello")


def over_http2(talk: Callable[[H2Connection], None]) -> tuple[list[bytes], bool]:
    """The statuses of the answers to what `talk` sends, and whether the server hung up."""

    async def main() -> tuple[list[bytes], bool]:
        made = listen("127.0.0.1:0")
        assert made is not None
        port = made.getsockname()[1]
        async with serving(made, hello, self_signed(NOW, http2=True)):
            return await asyncio.wait_for(converse(port, talk), 20)

    return asyncio.run(main())


async def converse(port: int, talk: Callable[[H2Connection], None]) -> tuple[list[bytes], bool]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    connection = H2Connection()
    connection.initiate_connection()
    talk(connection)
    statuses: list[bytes] = []
    ended = False
    while not ended:
        writer.write(connection.data_to_send())
        if not (data := await reader.read(65536)):
            break
        for event in connection.receive_data(data):
            if isinstance(event, ResponseReceived):
                statuses.append(dict(event.headers)[b":status"])
            ended = ended or isinstance(event, StreamEnded)
    writer.close()
    return statuses, not ended


def headers(method: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    return [(":method", method), (":authority", "localhost"), *more]


HTTPS = ((":scheme", "https"), (":path", "/"))


def errors_in(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(("method", "status"), [("POST", b"405"), ("GET", b"200")])
def test_a_body_over_http2_breaks_nothing(
    caplog: pytest.LogCaptureFixture, method: str, status: bytes
) -> None:
    def talk(connection: H2Connection) -> None:
        connection.send_headers(1, headers(method, *HTTPS))
        for last in (False, True):
            connection.send_data(1, b"x" * 1000, end_stream=last)

    with capture_logs() as logs:
        assert over_http2(talk) == ([status], False)
    assert logs == []
    assert errors_in(caplog) == []


def test_what_hypercorn_fails_on_is_one_line_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs() as logs:
        outcome = over_http2(lambda connection: connection.send_headers(1, headers("CONNECT")))
    assert outcome == ([], True)
    assert [(line["event"], line["log_level"]) for line in logs] == [("Closed connection", "debug")]
    assert errors_in(caplog) == []


def test_other_failures_of_the_loop_are_still_told() -> None:
    told: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        handler = lambda _, context: told.append(context["message"])  # noqa: E731
        loop.set_exception_handler(handler)
        made = listen("127.0.0.1:0")
        assert made is not None
        async with serving(made, hello):
            loop.call_exception_handler({"message": "something else"})
        assert loop.get_exception_handler() is handler

    asyncio.run(main())
    assert told == ["something else"]
