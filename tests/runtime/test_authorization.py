"""Who may read /metrics: those whom the API server says may."""

from __future__ import annotations

import asyncio

import pytest

from observatory.api.names import Resource
from observatory.api.types import JsonObject
from observatory.kube.errors import TransportError
from observatory.runtime.authorization import REFUSED_SECONDS, REMEMBERED_SECONDS, Authorizer
from observatory.runtime.httpserver import Request
from observatory.simulation.apiserver import ApiServer
from tests.support.clock import FrozenClock


class Reviews(ApiServer):
    """Knows one token, and whether its user may read the page."""

    def __init__(self, clock: FrozenClock) -> None:
        super().__init__(clock.now)
        self.allowed = True
        self.down = False
        self.asked: list[JsonObject] = []

    async def create(self, resource: Resource, namespace: str, body: JsonObject) -> JsonObject:
        assert namespace == ""
        if self.down:
            raise TransportError("no route to host")
        self.asked.append(body)
        spec = body["spec"]
        if resource.kind == "TokenReview":
            if spec["token"] != "good":
                return {"status": {"authenticated": False}}
            user = {"username": "prometheus", "groups": ["monitoring"], "uid": "u"}
            return {"status": {"authenticated": True, "user": user}}
        assert (spec["user"], spec["groups"]) == ("prometheus", ["monitoring"])
        assert spec["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}
        return {"status": {"allowed": self.allowed}}


class Bench:
    def __init__(self) -> None:
        self.clock = FrozenClock()
        self.reviews = Reviews(self.clock)
        self.authorizer = Authorizer(self.reviews, self.clock.monotonic)

    def status(self, authorization: str | None = "Bearer good") -> int:
        headers = {} if authorization is None else {"authorization": authorization}
        answer = asyncio.run(self.authorizer(Request("/metrics", {}, headers)))
        return 200 if answer is None else answer.status


@pytest.mark.parametrize(
    "authorization", [None, "", "Basic good", "Bearer", "Bearer ", "good", "Bearer " + "x" * 20_000]
)
def test_without_a_token_nobody_is_asked(authorization: str | None) -> None:
    bench = Bench()
    assert bench.status(authorization) == 401
    assert bench.reviews.asked == []


def test_a_token_that_is_nobodys_is_unauthorized() -> None:
    assert Bench().status("Bearer stolen") == 401


def test_somebody_who_may_not_read_it_is_forbidden_until_a_role_lets_them() -> None:
    bench = Bench()
    bench.reviews.allowed = False
    assert bench.status() == 403
    bench.reviews.allowed = True
    bench.clock.seconds += REFUSED_SECONDS
    assert bench.status() == 200


def test_an_answer_is_remembered_for_a_minute_and_no_longer() -> None:
    bench = Bench()
    assert [bench.status() for _ in range(5)] == [200] * 5
    assert len(bench.reviews.asked) == 2
    bench.reviews.allowed = False
    bench.clock.seconds += REMEMBERED_SECONDS
    assert bench.status() == 403


def test_where_nobody_can_be_asked_nobody_is_let_in() -> None:
    bench = Bench()
    bench.reviews.down = True
    assert bench.status() == 500
    bench.reviews.down = False
    assert bench.status() == 200


def test_the_answer_to_one_token_is_not_that_to_another() -> None:
    bench = Bench()
    assert bench.status() == 200
    assert bench.status("Bearer other") == 401
