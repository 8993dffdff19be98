"""The API server trusts every replica, without a Secret, whatever happens to the bundle."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from base64 import b64decode
from collections.abc import Callable
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from observatory.api.names import VALIDATING_WEBHOOKS, Key
from observatory.api.types import JsonObject
from observatory.kube.api import PatchKind
from observatory.kube.errors import ApiError, Forbidden, TransportError
from observatory.runtime.certificate import server_context
from observatory.runtime.registration import CHECK_SECONDS, VALID, Registration
from observatory.simulation.apiserver import ApiServer, Request
from tests.runtime.posting import trusting
from tests.support.clock import FrozenClock

NAME, PATH = "config", "/validate"
HOST = "webhook-service.system.svc"
DAY = 86_400


def webhook(name: str, path: str = PATH, **more: object) -> JsonObject:
    service = {"name": "webhook-service", "namespace": "system", "path": path}
    return {"name": name, "clientConfig": {"service": service}, **more}


class World:
    """An API server with a configuration, and replicas under one clock."""

    def __init__(self, *webhooks: JsonObject) -> None:
        self.clock = FrozenClock()
        self.server = ApiServer(self.clock.now)
        self.key = Key("", NAME)
        body = {"metadata": {"name": NAME}, "webhooks": list(webhooks or [webhook("ours")])}
        self.server.create_now(VALIDATING_WEBHOOKS, "", body)

    def replica(self, identity: str = "a") -> Replica:
        return Replica(self, identity)

    def bundle(self, index: int = 0) -> str:
        stored = self.server.get_now(VALIDATING_WEBHOOKS, self.key)
        found: str = stored["webhooks"][index]["clientConfig"].get("caBundle", "")
        return found

    def reset(self, value: object) -> None:
        operation = {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": value}
        self.server.patch_now(VALIDATING_WEBHOOKS, self.key, [operation], kind=PatchKind.JSON)

    def certificates(self) -> int:
        return b64decode(self.bundle()).count(b"BEGIN")

    def writes(self) -> int:
        return len([each for each in self.server.requests if each.verb == "patch"])


class Replica:
    def __init__(self, world: World, identity: str) -> None:
        self.world = world
        self.context = server_context(http2=False)
        self.registration = Registration(
            world.server, world.clock, name=NAME, path=PATH, identity=identity
        )
        self.registration.start(self.context)

    def check(self) -> str | None:
        asyncio.run(self.registration.check())
        return self.registration.problem

    @property
    def served(self) -> bytes:
        return self.registration._current.certificate

    def trusted(self, host: str = HOST) -> bool:
        """Whether the API server's TLS would take what is served now."""
        pem = b64decode(self.world.bundle())
        return bool(pem) and shakes_hands(self.context, trusting(pem), host)


def shakes_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> bool:
    # The clock of the world is not the machine's: times are looked at by the tests of the bundle.
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    try:
        for _ in range(4):
            for end in ends:
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
    except ssl.SSLCertVerificationError as error:
        return any(text in str(error) for text in ("expired", "not yet valid"))
    except ssl.SSLError:
        return False
    return True


def test_a_certificate_is_made_for_the_service_and_registered() -> None:
    world = World()
    replica = world.replica()
    assert replica.registration.problem == "it is not registered yet"
    assert replica.check() is None
    assert replica.trusted()
    assert not replica.trusted("another.system.svc")
    assert (world.certificates(), world.writes()) == (1, 1)


def test_what_is_registered_is_told_once_and_not_written_again() -> None:
    world = World()
    replica = world.replica()
    with capture_logs() as logs:
        for _ in range(20):
            assert replica.check() is None
            world.clock.seconds += CHECK_SECONDS
    assert [line["event"] for line in logs] == ["Registered webhook"]
    assert world.writes() == 1


def test_the_secret_of_a_certificate_is_in_no_request() -> None:
    world = World()
    world.replica().check()
    assert "PRIVATE" not in str([each.body for each in world.server.requests])
    assert b"PRIVATE" not in b64decode(world.bundle())


def test_replicas_that_register_at_once_are_all_trusted() -> None:
    world = World()
    replicas = [world.replica(name) for name in "abcd"]

    async def all_at_once() -> None:
        await asyncio.gather(*(each.registration.check() for each in replicas))

    asyncio.run(all_at_once())
    assert [each.registration.problem for each in replicas] == [None] * 4
    assert all(each.trusted() for each in replicas)
    assert world.certificates() == 4


@pytest.mark.parametrize("value", ["", "Cg==", None])
def test_what_somebody_has_taken_out_is_put_back_at_the_next_check(value: object) -> None:
    assert CHECK_SECONDS <= 30
    world = World()
    first, second = world.replica("a"), world.replica("b")
    for each in (first, second):
        each.check()
    world.reset(value)
    for each in (first, second):
        assert each.check() is None
    assert first.trusted()
    assert second.trusted()


def test_the_next_certificate_is_registered_before_it_is_served() -> None:
    world = World()
    replica = world.replica()
    replica.check()
    before = replica.served
    world.clock.seconds = VALID.total_seconds() * 2 / 3 - 1
    replica.check()
    assert (replica.served, world.certificates()) == (before, 1)
    world.clock.seconds += 2
    replica.check()
    assert (replica.served, world.certificates()) == (before, 2)
    replica.check()
    assert replica.served != before
    assert replica.trusted()
    world.clock.seconds = VALID.total_seconds() + 1
    replica.check()
    assert world.certificates() == 1
    assert replica.trusted()


def test_whenever_it_is_checked_what_is_served_is_valid_and_registered() -> None:
    world = World()
    replicas = [world.replica("a"), world.replica("b")]
    served = set()
    for _ in range(60):
        for each in replicas:
            assert each.check() is None
            assert each.trusted()
            now, pair = world.clock.now(), each.registration._current
            assert pair.not_before <= now < pair.not_after
            served.add(pair.certificate)
        assert world.certificates() <= 2 * len(replicas)
        world.clock.seconds += DAY / 2
    assert len(served) >= 10


def test_a_certificate_that_could_not_be_renewed_in_time_is_replaced_at_once() -> None:
    world = World()
    replica = world.replica()
    replica.check()
    world.clock.seconds = 30 * DAY
    assert replica.check() is None
    assert replica.registration._current.not_after > world.clock.now()
    assert replica.trusted()
    world.clock.seconds = -30 * DAY  # and one whose time has not come, after the clock was set
    assert replica.check() is None
    assert replica.registration._current.not_before < world.clock.now()


def test_webhooks_of_others_in_the_same_object_are_left_alone() -> None:
    world = World(webhook("theirs", "/other", x=1), webhook("ours"), webhook("second"))
    assert world.replica().check() is None
    assert [bool(world.bundle(index)) for index in range(3)] == [False, True, True]
    stored = world.server.get_now(VALIDATING_WEBHOOKS, world.key)
    assert stored["webhooks"][0] == webhook("theirs", "/other", x=1)


def test_an_operator_outside_the_cluster_is_called_by_its_url() -> None:
    url = {"name": "ours", "clientConfig": {"url": f"https://127.0.0.1:9443{PATH}"}}
    replica = World(url).replica()
    assert replica.check() is None
    assert replica.trusted("127.0.0.1")


def refusing(error: Exception, verb: str) -> Callable[[Request], None]:
    def before(request: Request) -> None:
        if request.verb == verb:
            raise error

    return before


@pytest.mark.parametrize(
    ("verb", "error", "said"),
    [
        ("get", Forbidden(403, "Forbidden", "no"), "give the operator webhook-role of manifests"),
        ("patch", Forbidden(403, "Forbidden", "no"), "give the operator webhook-role of manifest"),
        ("get", TransportError("connection refused"), "connection refused"),
        ("patch", ApiError(500, "InternalError", "etcd"), "etcd (500 InternalError)"),
    ],
)
def test_what_is_in_the_way_is_told_once_and_tried_again(
    verb: str, error: Exception, said: str
) -> None:
    world = World()
    replica = world.replica()
    world.server.before = refusing(error, verb)
    with capture_logs() as logs:
        for _ in range(3):
            assert said in (replica.check() or "")
        world.server.before = lambda _: None
        assert replica.check() is None
    assert [line["event"] for line in logs] == ["Webhook not registered", "Registered webhook"]
    assert replica.trusted()


def test_a_configuration_that_is_missing_or_another_ones_is_told() -> None:
    world = World(webhook("theirs", "/other"))
    assert "has no webhook for the path /validate" in (world.replica().check() or "")
    world.key = Key("", "none")
    replica = world.replica()
    replica.registration._key = world.key
    assert "there is no ValidatingWebhookConfiguration none" in (replica.check() or "")


def test_two_that_write_for_ever_end_in_a_told_problem() -> None:
    world = World()
    replica = world.replica()

    def interfere(request: Request) -> None:
        if request.verb == "patch":
            world.reset(f"Cg=={world.writes()}")

    world.server.before = interfere
    assert replica.check() is not None
    assert world.clock.seconds < timedelta(seconds=CHECK_SECONDS).total_seconds()
    world.server.before = lambda _: None
    assert replica.check() is None
