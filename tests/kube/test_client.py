from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import pytest

from observatory import __version__
from observatory.api.names import FIELD_MANAGER, OBSERVATORIES, PODS, Key
from observatory.kube import transport
from observatory.kube.api import PatchKind
from observatory.kube.client import Call, Client
from observatory.kube.credentials import ClusterConfig, Credentials
from observatory.kube.errors import (
    Conflict,
    LeaseLost,
    ServerError,
    TooManyRequests,
    TransportError,
    Unauthorized,
)
from tests.kube.loopback import Exchange, Handler, Loopback, Tokens, config, serving

POD = Key("apps", "one")
STATUS = {"kind": "Status", "status": "Failure", "message": "no", "reason": "Because"}
BODIES: dict[str, Callable[[Client], Coroutine[Any, Any, object]]] = {
    "create": lambda client: client.create(PODS, "apps", {"a": 1}),
    "replace": lambda client: client.replace(PODS, POD, {"a": 1}),
    "patch": lambda client: client.patch(PODS, POD, [{"op": "test"}], kind=PatchKind.JSON),
    "delete": lambda client: client.delete(PODS, POD, uid="u-1"),
}


def run(
    handler: Handler,
    body: Callable[[Client, Loopback], Coroutine[Any, Any, None]],
    tokens: Tokens | None = None,
    **options: Any,  # noqa: ANN401 -- those of Client
) -> Loopback:
    async def main() -> Loopback:
        async with serving(handler) as server:
            async with Client(config(server.url, tokens), **options) as client:
                await body(client, server)
            return server

    return asyncio.run(main())


async def ok(exchange: Exchange) -> None:
    await exchange.answer(200, {"kind": "Pod"})


def test_a_proxy_that_refuses_is_named_without_the_password() -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(407, b"")

    async def main() -> str:
        credentials = Credentials(Tokens(), float, tls=True)
        async with serving(refuse) as server:
            proxy = server.url.replace("//", "//me:hunter2@")
            through = ClusterConfig("https://api.test", credentials, proxy=proxy)
            async with Client(through) as client:
                with pytest.raises(TransportError) as failure:
                    await client.get(PODS, POD)
        return str(failure.value)

    assert asyncio.run(main()) == "the proxy answered 407 -"


def test_requests_are_those_of_the_api() -> None:
    async def body(client: Client, _: Loopback) -> None:
        await client.get(PODS, POD)
        await client.list(OBSERVATORIES, None, {"limit": "500", "resourceVersion": ""})
        await client.create(PODS, "apps", {"a": 1})
        await client.replace(OBSERVATORIES, POD, {"a": 1}, subresource="status")
        await client.patch(PODS, POD, {"a": 1}, kind=PatchKind.MERGE, params={"force": "true"})
        await client.delete(PODS, POD, uid="u-1")

    server = run(ok, body, Tokens("t"))
    group = "/apis/workflow.seventh-horizon.io/v1alpha1"
    manager = f"fieldManager={FIELD_MANAGER}"
    assert [(e.method, e.target) for e in server.exchanges] == [
        ("GET", "/api/v1/namespaces/apps/pods/one"),
        ("GET", f"{group}/observatories?limit=500&resourceVersion="),
        ("POST", f"/api/v1/namespaces/apps/pods?{manager}"),
        ("PUT", f"{group}/namespaces/apps/observatories/one/status?{manager}"),
        ("PATCH", f"/api/v1/namespaces/apps/pods/one?{manager}&force=true"),
        ("DELETE", "/api/v1/namespaces/apps/pods/one"),
    ]
    assert server.exchanges[4].headers["content-type"] == "application/merge-patch+json"
    assert orjson.loads(server.exchanges[5].body) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u-1"},
    }
    for exchange in server.exchanges:
        assert exchange.headers["accept"] == "application/json"
        assert exchange.headers["accept-encoding"] == "identity"
        assert exchange.headers["user-agent"] == f"observatory-operator/{__version__}"
        assert exchange.headers["authorization"] == "Bearer t"


def test_requests_share_one_connection() -> None:
    async def body(client: Client, server: Loopback) -> None:
        for _ in range(5):
            await client.get(PODS, POD)
        assert server.connections == 1

    run(ok, body)


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a%2Fb", ""])
def test_a_name_cannot_be_the_path_of_something_else(name: str) -> None:
    async def body(client: Client, _: Loopback) -> None:
        with pytest.raises(ValueError, match="name"):
            await client.get(PODS, Key("apps", name))

    assert run(ok, body).exchanges == []


def test_an_answer_that_is_a_status_is_raised() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(409, {**STATUS, "reason": "Conflict"})

    async def body(client: Client, _: Loopback) -> None:
        with pytest.raises(Conflict, match=r"no \(409 Conflict\)"):
            await client.replace(PODS, POD, {})

    run(handler, body)


def test_a_busy_server_is_reported_with_its_retry_after_and_left_alone() -> None:
    async def handler(exchange: Exchange) -> None:
        status = 429 if exchange.method == "GET" else 503
        await exchange.answer(status, STATUS, Retry_After="7")

    async def body(client: Client, server: Loopback) -> None:
        with pytest.raises(TooManyRequests) as refused:
            await client.get(PODS, POD)
        with pytest.raises(ServerError) as unavailable:
            await client.create(PODS, "apps", {})
        assert (refused.value.retry_after, unavailable.value.retry_after) == (7.0, 7.0)
        assert len(server.exchanges) == 2

    run(handler, body)


def test_a_refused_token_is_read_again_and_the_request_repeated_once() -> None:
    async def handler(exchange: Exchange) -> None:
        fresh = exchange.headers["authorization"] == "Bearer new"
        await exchange.answer(200 if fresh else 401, {"kind": "Pod"} if fresh else STATUS)

    tokens = Tokens("old", "new")

    async def body(client: Client, server: Loopback) -> None:
        assert await client.create(PODS, "apps", {"a": 1}) == {"kind": "Pod"}
        assert [exchange.body for exchange in server.exchanges] == [b'{"a":1}', b'{"a":1}']

    run(handler, body, tokens)
    assert tokens.reads == [False, True]


def test_a_token_that_stays_refused_is_an_error_after_two_requests() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(401, STATUS)

    async def body(client: Client, server: Loopback) -> None:
        with pytest.raises(Unauthorized):
            await client.get(PODS, POD)
        assert len(server.exchanges) == 2

    run(handler, body, Tokens("bad"))


@pytest.mark.parametrize("verb", BODIES)
def test_a_write_whose_answer_is_lost_is_not_sent_again(verb: str) -> None:
    async def handler(exchange: Exchange) -> None:
        if exchange.method == "GET":
            await ok(exchange)
        else:
            exchange.reset()

    async def body(client: Client, server: Loopback) -> None:
        await client.get(PODS, POD)  # so that the connection is one that was used before
        with pytest.raises(TransportError):
            await BODIES[verb](client)
        assert [exchange.method for exchange in server.exchanges][1:] == [
            {"create": "POST", "replace": "PUT", "patch": "PATCH", "delete": "DELETE"}[verb]
        ]

    run(handler, body)


def test_a_read_survives_a_connection_that_was_closed_while_idle() -> None:
    closed: list[int] = []

    async def handler(exchange: Exchange) -> None:
        # The server closes as the second request of the connection arrives: too late to notice.
        if exchange.connection == 1 and len(closed) == 1:
            exchange.hang_up()
            return
        closed.append(exchange.connection)
        await ok(exchange)

    async def body(client: Client, _: Loopback) -> None:
        await client.get(PODS, POD)
        assert await client.get(PODS, POD) == {"kind": "Pod"}
        assert closed == [1, 2]

    run(handler, body)


def test_an_answer_that_is_cut_off_is_no_answer() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"kind":')
        exchange.hang_up()

    async def body(client: Client, _: Loopback) -> None:
        with pytest.raises(TransportError):
            await client.get(PODS, POD)

    run(handler, body)


@pytest.mark.parametrize("answer", [b"<html>Sign in</html>", b"[]", b"", b'{"a": NaN}'])
def test_an_answer_that_is_no_object_is_no_answer(answer: bytes) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(200, answer)

    async def body(client: Client, _: Loopback) -> None:
        with pytest.raises(TransportError, match="not"):
            await client.get(PODS, POD)

    run(handler, body)


def test_a_redirect_is_not_followed() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(302, b"elsewhere", Location="/other")

    async def body(client: Client, server: Loopback) -> None:
        with pytest.raises(Exception, match="elsewhere"):
            await client.get(PODS, POD)
        assert len(server.exchanges) == 1

    run(handler, body, Tokens("secret"))


@pytest.mark.parametrize("verb", ["get", *BODIES])
def test_a_server_that_never_answers_is_given_up(verb: str) -> None:
    async def handler(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    async def body(client: Client, _: Loopback) -> None:
        with pytest.raises(TransportError):
            await (BODIES[verb](client) if verb in BODIES else client.get(PODS, POD))

    run(handler, body, timeouts=transport.timeouts(read=0.1, write=0.1))


def test_nobody_there_is_a_transport_error() -> None:
    async def main() -> None:
        async with Client(config("http://127.0.0.1:1")) as client:
            with pytest.raises(TransportError, match=r"127\.0\.0\.1:1: Connection refused$"):
                await client.get(PODS, POD)

    asyncio.run(main())


@pytest.mark.parametrize("verb", BODIES)
def test_a_write_is_not_sent_when_the_lease_is_lost(verb: str) -> None:
    def lost() -> None:
        raise LeaseLost

    async def body(client: Client, server: Loopback) -> None:
        await client.get(PODS, POD)
        with pytest.raises(LeaseLost):
            await BODIES[verb](client)
        assert len(server.exchanges) == 1

    run(ok, body, before_write=lost)


def test_the_lease_is_checked_after_a_write_has_waited_for_its_turn() -> None:
    checked: list[int] = []
    busy = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await busy.wait()
        await ok(exchange)

    async def body(client: Client, _: Loopback) -> None:
        async with asyncio.TaskGroup() as group:
            for _number in range(3):
                group.create_task(client.create(PODS, "apps", {}))
            while len(checked) < 2:  # noqa: ASYNC110 -- nothing tells when a request is out
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            assert len(checked) == 2
            busy.set()
        assert len(checked) == 3

    run(handler, body, before_write=lambda: checked.append(1), writes_in_flight=2)


def test_each_request_is_observed() -> None:
    calls: list[Call] = []

    async def handler(exchange: Exchange) -> None:
        if exchange.method == "DELETE":
            exchange.reset()
        else:
            await exchange.answer(200 if exchange.method == "GET" else 409, {"kind": "Pod"})

    async def body(client: Client, server: Loopback) -> None:
        await client.list(PODS, None, {})
        with pytest.raises(Conflict):
            await client.create(PODS, "apps", {})
        with pytest.raises(TransportError):
            await client.delete(PODS, POD)
        assert {call.host for call in calls} == {server.url.removeprefix("http://")}

    run(handler, body, observe=calls.append)
    assert [(call.method, call.verb, call.code) for call in calls] == [
        ("GET", "list", "200"),
        ("POST", "create", "409"),
        ("DELETE", "delete", "<error>"),
    ]
    assert all(0 < call.seconds < 10 for call in calls)
