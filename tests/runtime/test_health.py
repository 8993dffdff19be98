from __future__ import annotations

import asyncio
import gzip
import logging
import shutil
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from observatory.runtime import health
from observatory.runtime.certificate import CertificateError
from observatory.runtime.clock import SystemClock
from observatory.runtime.health import Bound, Checks, Endpoints, served
from observatory.runtime.httpserver import AddressError, Request
from observatory.telemetry.metrics import Metrics
from tests.kube.certificates import Authority

ANY = "127.0.0.1:0"


def run(
    body: Callable[[Bound], Coroutine[Any, Any, None]],
    endpoints: Endpoints | None = None,
    checks: Checks | None = None,
    metrics: Metrics | None = None,
) -> None:
    async def main() -> None:
        where = endpoints or Endpoints(metrics_address=ANY, probe_address=ANY)
        async with served(where, checks or Checks(), metrics or Metrics(), SystemClock()) as bound:
            await body(bound)

    asyncio.run(asyncio.wait_for(main(), 20))


def port_of(address: tuple[str, int] | None) -> int:
    assert address is not None
    return address[1]


async def got(url: str, method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.request(method, url, headers=headers) as response,
    ):
        content = await response.read()
        if response.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        return response.status, content.decode(), dict(response.headers)


def asked(checks: Checks, path: str, **query: list[str]) -> tuple[int, str]:
    answer = checks.answer(Request(path, query, {}))
    return answer.status, answer.body.decode()


def test_a_probe_without_anything_wrong_is_ok() -> None:
    assert asked(Checks(), "/healthz") == (200, "ok")
    assert asked(Checks(), "/readyz/") == (200, "ok")


def test_a_failed_check_is_named_with_its_reason() -> None:
    checks = Checks(readyz={"caches": lambda: "Pods are not synced", "lease": lambda: None})
    assert asked(checks, "/readyz") == (
        500,
        "[+]ping ok\n[-]caches failed: Pods are not synced\n[+]lease ok\nreadyz check failed\n",
    )
    assert asked(checks, "/healthz") == (200, "ok")
    assert asked(checks, "/readyz/lease") == (200, "ok")
    assert asked(checks, "/readyz/caches")[0] == 500
    assert asked(checks, "/readyz", exclude=["caches"]) == (200, "ok")


def test_verbose_tells_of_every_check() -> None:
    checks = Checks(healthz={"loop": lambda: None})
    text = "[+]ping ok\n[+]loop ok\nhealthz check passed\n"
    assert asked(checks, "/healthz", verbose=[""]) == (200, text)


def test_a_check_that_raises_has_failed() -> None:
    def broken() -> str | None:
        raise LookupError("x")

    status, text = asked(Checks(healthz={"broken": broken}), "/healthz")
    assert status == 500
    assert "[-]broken failed: the check itself failed: LookupError('x')" in text


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz/none", "/healthzz", "/readyz/a/b"])
def test_there_is_nothing_else(path: str) -> None:
    assert asked(Checks(), path)[0] == 404


def test_probes_and_metrics_are_served_apart() -> None:
    async def body(bound: Bound) -> None:
        probes = f"http://127.0.0.1:{port_of(bound.probes)}"
        page = f"http://127.0.0.1:{port_of(bound.metrics)}"
        assert (await got(f"{probes}/healthz?verbose"))[:2] == (
            200,
            "[+]ping ok\nhealthz check passed\n",
        )
        assert (await got(f"{probes}/metrics"))[0] == 404
        assert (await got(f"{page}/healthz"))[0] == 404
        status, text, headers = await got(f"{page}/metrics", Accept="text/plain")
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain; version=")
        assert "\nprocess_cpu_seconds_total " in text

    run(body)


def test_metrics_speak_openmetrics_and_gzip() -> None:
    async def body(bound: Bound) -> None:
        page = f"http://127.0.0.1:{port_of(bound.metrics)}/metrics"
        accept = "application/openmetrics-text; version=1.0.0"
        _, text, headers = await got(page, Accept=accept, **{"Accept-Encoding": "gzip"})
        assert headers["Content-Encoding"] == "gzip"
        assert headers["Content-Type"].startswith("application/openmetrics-text")
        assert text.endswith("# EOF\n")

    run(body)


def test_only_reading_is_allowed() -> None:
    async def body(bound: Bound) -> None:
        probes = f"http://127.0.0.1:{port_of(bound.probes)}/healthz"
        status, _, headers = await got(probes, "POST")
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
        assert (await got(probes, "HEAD"))[:2] == (200, "")

    run(body)


def test_zero_turns_a_server_off() -> None:
    async def body(bound: Bound) -> None:
        assert bound == Bound(None, None)

    run(body, Endpoints(metrics_address="0", probe_address="0"))


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AddressError) as error:
            run(_nothing, Endpoints(metrics_address=ANY, probe_address=address))
    assert str(error.value) == f"cannot listen on {address}: another program listens there"


async def _nothing(_: Bound) -> None:
    return


def test_http2_and_a_certificate_need_tls() -> None:
    with pytest.raises(ValueError, match="--enable-http2 needs --metrics-secure"):
        Endpoints(http2=True)
    with pytest.raises(ValueError, match="--metrics-cert-path needs --metrics-secure"):
        Endpoints(certificate_folder=Path("/x"))


def shaken(port: int, context: ssl.SSLContext, protocols: list[str]) -> tuple[str | None, bytes]:
    """The protocol that is chosen, and the certificate that is shown."""
    context.set_alpn_protocols(protocols)
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return secure.selected_alpn_protocol(), secure.getpeercert(binary_form=True) or b""


def unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize(("http2", "chosen"), [(False, "http/1.1"), (True, "h2")])
def test_http2_is_spoken_only_when_it_is_enabled(http2: bool, chosen: str) -> None:  # noqa: FBT001
    async def body(bound: Bound) -> None:
        port = port_of(bound.metrics)
        both = ["h2", "http/1.1"]
        protocol, _ = await asyncio.to_thread(shaken, port, unchecked(), both)
        assert protocol == chosen
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"https://localhost:{port}/metrics", ssl=unchecked()) as response,
        ):
            assert "observatory_build_info" in await response.text()
        with pytest.raises(aiohttp.ClientError):
            await got(f"http://localhost:{port}/metrics")

    run(body, Endpoints(metrics_address=ANY, probe_address="0", secure=True, http2=http2))


def test_a_request_over_http2_is_answered() -> None:
    """Drives the server with h2, the sans-IO protocol that it uses itself."""
    import h2.config  # noqa: PLC0415
    import h2.connection  # noqa: PLC0415
    import h2.events  # noqa: PLC0415

    async def body(bound: Bound) -> None:
        context = unchecked()
        context.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port_of(bound.metrics), ssl=context
        )
        peer = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        peer.initiate_connection()
        names = {":method": "GET", ":path": "/metrics", ":scheme": "https", ":authority": "x"}
        peer.send_headers(1, list(names.items()), end_stream=True)
        text, ended, status = b"", False, ""
        while not ended:
            writer.write(peer.data_to_send())
            for event in peer.receive_data(await reader.read(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    status = str(dict(event.headers or ()))
                elif isinstance(event, h2.events.DataReceived):
                    text += event.data or b""
                    peer.acknowledge_received_data(event.flow_controlled_length or 0, 1)
                ended = ended or isinstance(event, h2.events.StreamEnded)
        assert "200" in status
        assert b"observatory_build_info" in text
        writer.close()
        await writer.wait_closed()

    run(body, Endpoints(metrics_address=ANY, probe_address="0", secure=True, http2=True))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


class Alarm(SystemClock):
    """Sleeps until the test rings."""

    def __init__(self) -> None:
        self.asleep: asyncio.Queue[float] = asyncio.Queue()
        self.bell = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.asleep.put_nowait(seconds)
        await self.bell.acquire()


def test_a_rotated_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    folder = _made(tmp_path / "served")
    authorities = [Authority(_made(tmp_path / name)) for name in "ab"]
    metrics = Metrics()

    def install(authority: Authority) -> None:
        pair = authority.issue("localhost")
        shutil.copy(pair.certificate, folder / "tls.crt")
        shutil.copy(pair.key, folder / "tls.key")

    async def main() -> None:
        install(authorities[0])
        endpoints = Endpoints(ANY, "0", secure=True, certificate_folder=folder)
        clock = Alarm()
        async with served(endpoints, Checks(), metrics, clock) as bound:
            port = port_of(bound.metrics)
            trusting = [ssl.create_default_context(cafile=str(a.ca)) for a in authorities]
            await asyncio.to_thread(shaken, port, trusting[0], ["http/1.1"])
            assert await clock.asleep.get() == health.RELOAD_SECONDS
            install(authorities[1])
            clock.bell.release()
            await clock.asleep.get()  # it has looked, and waits again
            assert metrics.registry.get_sample_value(READS) == 2
            await asyncio.to_thread(shaken, port, trusting[1], ["http/1.1"])

    asyncio.run(asyncio.wait_for(main(), 20))


READS = "certwatcher_read_certificate_total"


def test_a_certificate_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    endpoints = Endpoints(ANY, "0", secure=True, certificate_folder=tmp_path)
    with pytest.raises(CertificateError, match=r"tls\.crt: No such file or directory"):
        run(_nothing, endpoints)


GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS to a plain port
    b"GET\r\n\r\n",
    b"\x00" * 100,
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
    b"GET /healthz?%ff=\xff HTTP/1.1\r\nHost: \xff\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    (
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n" + b"x" * 100_000,
    b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab",  # and then nothing
]


@pytest.mark.parametrize("secure", [False, True])
def test_scanners_are_not_worth_a_line(
    secure: bool,  # noqa: FBT001
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)

    async def body(bound: Bound) -> None:
        port = port_of(bound.metrics)
        for garbage in GARBAGE:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(garbage)
            try:
                await writer.drain()
                async with asyncio.timeout(0.1):
                    await reader.read(1000)
            except (ConnectionError, TimeoutError):
                pass
            writer.transport.abort()
        scheme = "https" if secure else "http"
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{scheme}://127.0.0.1:{port}/metrics", ssl=unchecked()) as response,
        ):
            assert response.status == 200

    run(body, Endpoints(metrics_address=ANY, probe_address="0", secure=secure, http2=secure))
    assert [record.getMessage() for record in caplog.records] == []


def test_the_end_does_not_wait_for_idle_clients() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        endpoints = Endpoints(ANY, "0")
        async with served(endpoints, Checks(), Metrics(), SystemClock()) as bound:
            _, writer = await asyncio.open_connection("127.0.0.1", port_of(bound.metrics))
            start = loop.time()
        writer.close()
        return loop.time() - start

    assert asyncio.run(main()) < 5
