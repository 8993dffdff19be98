"""When the API server is asked about a requester, what it is asked, and what its silence means."""

from __future__ import annotations

from datetime import timedelta

import pytest

from observatory.api.names import ANNOTATION_RUN_NOW, LOCAL_SUBJECT_ACCESS_REVIEWS, OBSERVATORIES
from observatory.api.requester import Requester
from observatory.api.types import JsonObject
from observatory.kube.api import PatchKind
from observatory.kube.errors import Forbidden, KubeError, ServerError, TransportError
from observatory.simulation.apiserver import Request
from tests.runtime.test_runs import SCHEDULE, fire, runs, settle
from tests.runtime.world import KEY, NAMESPACE, World, observatory, task

ALICE = Requester("alice", "u-1", ("editors", "system:authenticated"))


def world_of(requester: Requester | None = ALICE, **spec: object) -> World:
    """A schedule that this one asked for, and that the operator knows."""
    world = World()
    made = observatory("night", task("a"), **SCHEDULE, **spec)
    if requester:
        made["metadata"]["annotations"] = requester.annotations()
    world.apply(made)
    settle(world)
    return world


def reviews(world: World) -> list[JsonObject]:
    """What was asked."""
    return [
        request.body
        for request in world.server.requests
        if request.resource == LOCAL_SUBJECT_ACCESS_REVIEWS and isinstance(request.body, dict)
    ]


def status(world: World) -> JsonObject:
    found: JsonObject = world.server.get_now(OBSERVATORIES, KEY)["status"]
    return found


def test_it_is_asked_once_for_a_fire_time_and_not_between_them() -> None:
    world = world_of()
    fire(world, 4)
    assert reviews(world) == []
    fire(world, 1)

    (asked,) = reviews(world)
    assert asked["metadata"] == {"namespace": NAMESPACE}
    assert asked["spec"] == {
        "user": "alice",
        "uid": "u-1",
        "groups": ["editors", "system:authenticated"],
        "resourceAttributes": {"namespace": NAMESPACE, "verb": "create", "resource": "pods"},
    }
    assert len(runs(world)) == 1


def test_where_nobody_is_recorded_nobody_is_asked() -> None:
    world = world_of(None)
    fire(world, 5)

    assert reviews(world) == []
    assert len(runs(world)) == 1


def test_who_may_not_create_pods_gets_no_run_and_gets_one_when_they_may() -> None:
    world = world_of()
    world.server.allows = lambda _: False
    fire(world, 5)
    assert runs(world) == []
    (skip,) = status(world)["skippedRuns"]
    assert skip["reason"] == "RequesterNotAllowed"
    assert [event.reason for event in world.controller.events] == ["RunSkipped"]
    world.server.allows = lambda _: True
    fire(world, 5)

    assert len(runs(world)) == 1


def test_a_yes_is_remembered_for_some_seconds_and_a_no_is_not() -> None:
    world = world_of()

    def ask(nonce: str) -> int:
        patch: JsonObject = {"metadata": {"annotations": {ANNOTATION_RUN_NOW: nonce}}}
        patch["metadata"]["resourceVersion"] = world.get("night")["metadata"]["resourceVersion"]
        world.server.patch_now(OBSERVATORIES, KEY, patch, kind=PatchKind.MERGE)
        settle(world)
        return len(reviews(world))

    assert ask("n1") == 1
    world.now += timedelta(seconds=4)
    assert ask("n2") == 1
    world.server.allows = lambda _: False
    world.now += timedelta(seconds=1)
    assert ask("n3") == 2
    assert ask("n4") == 3
    world.server.allows = lambda _: True
    assert ask("n5") == 4
    world.now -= timedelta(hours=1)  # the clock is set back: nothing holds for an hour
    assert ask("n6") == 5


@pytest.mark.parametrize(
    "error",
    [
        TransportError("Connection timed out"),
        ServerError(500, "InternalError", "no authorizer answered"),
        Forbidden(403, "Forbidden", "cannot create resource localsubjectaccessreviews"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_without_an_answer_the_key_comes_back_and_all_else_goes_on(error: KubeError) -> None:
    world = world_of(concurrencyPolicy="Allow")
    world.exit_codes = {"a": None}
    fire(world, 5)
    (first,) = runs(world)

    def fail(request: Request) -> None:
        if request.resource == LOCAL_SUBJECT_ACCESS_REVIEWS:
            raise error

    world.server.before = fail
    world.exit_codes = {}
    world.now += timedelta(minutes=5)
    for _ in range(10):  # it comes back again and again
        for name in ("night", first["metadata"]["name"]):
            world.round(name)
    assert error in world.errors
    assert [each["metadata"]["name"] for each in runs(world)] == [first["metadata"]["name"]]
    told = status(world)
    assert "skippedRuns" not in told
    assert [each["phase"] for each in told["runHistory"]] == ["Succeeded"]
    assert "whether alice may create Pods" in told["message"]
    world.server.before = lambda _: None
    settle(world)

    assert [each["number"] for each in status(world)["runHistory"]] == [1, 2]
