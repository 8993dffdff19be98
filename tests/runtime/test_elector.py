from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable

import pytest

from observatory.api.names import Key
from observatory.kube.errors import LeaseLost
from observatory.machinery.instant import Instant
from observatory.machinery.lease import Durations
from observatory.runtime.clock import SystemClock
from observatory.runtime.elector import Elector
from tests.kube.loopback import Tokens, config
from tests.runtime.leaseserver import LeaseServer, lease_server

LOCK = Key("ns", "lock")
SHORT = Durations(lease=3.0, renew_deadline=2.0, retry_period=1.0)


class Jumping(SystemClock):
    """The system's clock, which jumps when the process is frozen for a while."""

    def __init__(self) -> None:
        self.jump = 0.0

    def monotonic(self) -> Instant:
        return Instant(super().monotonic() + self.jump)


class Candidate:
    """An elector whose callbacks come out of a queue."""

    def __init__(
        self, server: LeaseServer, name: str, started: Callable[[], None] = lambda: None
    ) -> None:
        self.told: queue.Queue[str] = queue.Queue()
        self.clock = Jumping()

        def on_started() -> None:
            started()
            self.told.put("started")

        self.elector = Elector(
            config(server.url, Tokens("t")),
            LOCK,
            name,
            SHORT,
            self.clock,
            on_started=on_started,
            on_lost=self.told.put,
        )
        self.elector.start()

    def next(self) -> str:
        return self.told.get(timeout=10)


def test_one_leads_and_the_other_follows_when_it_releases() -> None:
    with lease_server() as server:
        first = Candidate(server, "a")
        assert first.next() == "started"
        first.elector.check()
        second = Candidate(server, "b")
        with pytest.raises(LeaseLost):
            second.elector.check()
        assert first.elector.release(5)
        with pytest.raises(LeaseLost):
            first.elector.check()
        assert server.lease is not None
        assert server.lease["spec"]["holderIdentity"] == ""
        assert second.next() == "started"
        assert server.lease["spec"]["holderIdentity"] == "b"
        assert server.lease["spec"]["leaseTransitions"] == 1
        assert second.elector.release(5)
        assert first.told.empty()
        assert second.told.empty()


def test_a_leader_renews_with_one_request_on_one_connection() -> None:
    with lease_server() as server:
        leader = Candidate(server, "a")
        assert leader.next() == "started"
        before = leader.elector.valid_until
        while leader.elector.valid_until == before:
            leader.elector.check()
        assert server.requests == ["GET", "POST", "PATCH"]
        assert server.connections == 1
        assert set(server.tokens) == {"Bearer t"}
        assert leader.elector.release(5)


def test_the_lease_is_renewed_while_the_event_loop_is_busy() -> None:
    with lease_server() as server:

        async def busy() -> Candidate:
            leader = Candidate(server, "a")
            # Nothing here gives the loop a turn.
            assert leader.next() == "started"
            before = leader.elector.valid_until
            while leader.elector.valid_until == before:
                leader.elector.check()
            return leader

        assert asyncio.run(busy()).elector.release(5)


def test_a_server_that_hangs_ends_the_leadership_in_time() -> None:
    with lease_server() as server:
        leader = Candidate(server, "a")
        assert leader.next() == "started"
        server.answering.clear()
        until = leader.elector.valid_until
        assert "not renewed for 2s" in leader.next()
        # The thread tells late, when its request is given up; the guard of the writes is on time.
        assert leader.elector.valid_until < until
        with pytest.raises(LeaseLost):
            leader.elector.check()


def test_a_stolen_lease_ends_the_leadership_at_once() -> None:
    with lease_server() as server:
        leader = Candidate(server, "a")
        assert leader.next() == "started"
        with server.lock:
            assert server.lease is not None
            server.write({**server.lease["spec"], "holderIdentity": "thief"})
        assert leader.next() == "thief holds the Lease"
        with pytest.raises(LeaseLost):
            leader.elector.check()
        assert leader.elector.release(5)
        assert server.lease["spec"]["holderIdentity"] == "thief"


def test_a_process_that_was_frozen_begins_no_write() -> None:
    with lease_server() as server:
        leader = Candidate(server, "a")
        assert leader.next() == "started"
        leader.elector.check()
        leader.clock.jump = 20
        with pytest.raises(LeaseLost):
            leader.elector.check()
        assert "not renewed" in leader.next()


def test_no_write_begins_after_a_release_even_if_the_server_hangs() -> None:
    with lease_server() as server:
        leader = Candidate(server, "a")
        assert leader.next() == "started"
        server.answering.clear()
        assert not leader.elector.release(0.05)
        with pytest.raises(LeaseLost):
            leader.elector.check()
        server.answering.set()
        assert leader.elector.release(5)
        assert leader.told.empty()


def test_a_server_that_refuses_is_asked_again() -> None:
    with lease_server() as server:
        server.fail = 500
        candidate = Candidate(server, "a")
        while not server.requests:
            assert candidate.told.empty()
        server.fail = 0
        assert candidate.next() == "started"
        assert candidate.elector.release(5)


def test_an_elector_that_fails_ends_the_leadership() -> None:
    def broken() -> None:
        raise LookupError("broken")

    with lease_server() as server:
        leader = Candidate(server, "a", broken)
        assert leader.next() == "the elector failed: LookupError('broken')"
        with pytest.raises(LeaseLost):
            leader.elector.check()
        assert leader.elector.release(5)
