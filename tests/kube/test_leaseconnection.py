from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from observatory.api.names import Key
from observatory.kube.credentials import ClusterConfig, Credentials, Material
from observatory.kube.errors import Conflict, TransportError, Unauthorized
from observatory.kube.leaseconnection import LeaseConnection
from observatory.runtime.clock import SystemClock
from tests.kube.certificates import Authority
from tests.kube.loopback import Exchange, Handler, Tokens, config, serving
from tests.runtime.leaseserver import LeaseServer, lease_server

LOCK = Key("ns", "lock")
T = TypeVar("T")


def connection(server: LeaseServer, *tokens: str) -> LeaseConnection:
    return LeaseConnection(config(server.url, Tokens(*tokens)), LOCK, 2, SystemClock().monotonic)


def against(handler: Handler, use: Callable[[LeaseConnection], T], seconds: float = 2) -> T:
    """Use a connection, in a thread, to a server that answers so."""

    async def main() -> T:
        async with serving(handler) as server:
            made = LeaseConnection(config(server.url), LOCK, seconds, SystemClock().monotonic)
            try:
                return await asyncio.to_thread(use, made)
            finally:
                made.close()

    return asyncio.run(main())


def test_a_lease_is_made_read_and_written_under_its_version() -> None:
    with lease_server() as server:
        lease = connection(server)
        assert lease.get() is None
        made = lease.create({"holderIdentity": "a"})
        version = made["metadata"]["resourceVersion"]
        assert lease.update({"holderIdentity": "b"}, version)["spec"] == {"holderIdentity": "b"}
        with pytest.raises(Conflict):
            lease.update({"holderIdentity": "c"}, version)
        assert server.connections == 1
        lease.close()


def test_a_refused_token_is_read_again_for_the_next_request() -> None:
    with lease_server() as server:
        lease = connection(server, "old", "new")
        server.fail = 401
        with pytest.raises(Unauthorized):
            lease.get()
        server.fail = 0
        assert lease.get() is None
        assert server.tokens == ["Bearer old", "Bearer new"]
        lease.close()


def test_a_closed_connection_is_an_error_once() -> None:
    async def handler(exchange: Exchange) -> None:
        if exchange.connection == 1:
            exchange.hang_up()
        else:
            await exchange.answer(200, {"metadata": {"resourceVersion": "5"}})

    def use(lease: LeaseConnection) -> object:
        with pytest.raises(TransportError):
            lease.get()
        return lease.get()

    assert against(handler, use) == {"metadata": {"resourceVersion": "5"}}


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"[]", b"{}", b'{"metadata": {}}', b'{"metadata": {"resourceVersion": 5}}'],
)
def test_an_answer_that_is_no_lease_is_no_answer(answer: bytes) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(200, answer)

    with pytest.raises(TransportError):
        against(handler, LeaseConnection.get)


async def refuse(exchange: Exchange) -> None:
    await exchange.answer(407, b"")


@pytest.mark.parametrize(
    ("user", "header"),
    [
        ("", None),
        ("me:p%40ss@", "Basic bWU6cEBzcw=="),  # me:p@ss
        ("me@", "Basic bWU6"),
    ],
)
def test_a_proxy_is_told_who_we_are_and_errors_tell_nobody(user: str, header: str | None) -> None:
    async def main() -> Exchange:
        async with serving(refuse) as server:
            proxy = server.url.replace("//", f"//{user}")
            through = replace(config("http://api.test"), proxy=proxy)
            made = LeaseConnection(through, LOCK, 2, SystemClock().monotonic)
            with pytest.raises(TransportError) as failure:
                await asyncio.to_thread(made.get)
            assert "407" in str(failure.value)
            assert "p%40ss" not in str(failure.value)
        return server.exchanges[0]

    exchange = asyncio.run(main())
    assert (exchange.method, exchange.target) == ("CONNECT", "api.test:80")
    assert exchange.headers.get("proxy-authorization") == header


def test_an_answer_that_is_cut_off_is_no_answer() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")
        exchange.hang_up()

    with pytest.raises(TransportError):
        against(handler, LeaseConnection.get)


def test_an_answer_that_comes_in_drips_is_given_up() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(100):
            await exchange.send(b" ")
            await asyncio.sleep(0.02)

    start = time.perf_counter()
    with pytest.raises(TransportError, match="too long"):
        against(handler, LeaseConnection.get, seconds=0.1)
    assert time.perf_counter() - start < 1.9  # all the drips take 2 s


class Files:
    """A source of the CA and a client certificate."""

    def __init__(self, authority: Authority) -> None:
        self._ca = str(authority.ca)
        pair = authority.issue("me")
        self._files = str(pair.certificate), str(pair.key)

    def read(self, *, renew: bool) -> Material:
        return Material(ca_file=self._ca, cert_file=self._files[0], key_file=self._files[1])


@pytest.mark.parametrize(("name", "works"), [(None, True), ("localhost", True), ("x", False)])
def test_both_ends_are_proven_over_tls(
    tmp_path: Path,
    name: str | None,
    works: bool,  # noqa: FBT001
) -> None:
    authority = Authority(tmp_path)
    context = authority.server_context(authority.issue("localhost"), client_certificates=True)
    clock = SystemClock()

    async def handler(exchange: Exchange) -> None:
        await exchange.answer(200, {"metadata": {"resourceVersion": "5"}})

    async def main() -> object:
        async with serving(handler, context) as server:
            credentials = Credentials(Files(authority), clock.monotonic, tls=True)
            where = ClusterConfig(server.url, credentials, tls_server_name=name)
            lease = LeaseConnection(where, LOCK, 2, clock.monotonic)
            try:
                return await asyncio.to_thread(lease.get)
            finally:
                lease.close()

    if works:
        assert asyncio.run(main()) == {"metadata": {"resourceVersion": "5"}}
    else:
        with pytest.raises(TransportError, match="certificate verify failed"):
            asyncio.run(main())


def test_a_new_certificate_is_shown_on_a_new_connection(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = authority.server_context(authority.issue("localhost"), client_certificates=True)
    now = [0.0]

    async def handler(exchange: Exchange) -> None:
        await exchange.answer(200, {"metadata": {"resourceVersion": "5"}})

    async def main() -> list[int]:
        async with serving(handler, context) as server:
            credentials = Credentials(Files(authority), lambda: now[0], tls=True)
            where = ClusterConfig(server.url, credentials)
            lease = LeaseConnection(where, LOCK, 2, SystemClock().monotonic)
            try:
                for _ in range(2):
                    await asyncio.to_thread(lease.get)
                authority.issue("me")  # writes another pair
                now[0] += 60
                await asyncio.to_thread(lease.get)
            finally:
                lease.close()
            return [exchange.connection for exchange in server.exchanges]

    assert asyncio.run(main()) == [1, 1, 2]
