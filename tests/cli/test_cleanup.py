"""`observatory cleanup`, against a server in memory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from observatory.api.names import FINALIZER, FINALLY, LEASES, OBSERVATORIES, PODS, Key
from observatory.api.times import micro_time
from observatory.api.types import JsonObject
from observatory.cli.cleanup import LEASE, let_go, refuse_while_led
from observatory.cli.cluster import CommandError
from observatory.kube.errors import NotFound
from observatory.simulation.apiserver import Request
from tests.runtime.world import KEY, NAMESPACE, World, task, world_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def left_behind() -> World:
    """An operator has gone in mid-run; somebody deletes everything."""
    world = world_of(task("a"), task("b"), **{"finally": [task("z")]})
    for _ in range(3):
        world.step("night")
    world.server.delete_now(OBSERVATORIES, KEY)
    for pod in world.pods():
        world.server.delete_now(PODS, Key(NAMESPACE, pod["metadata"]["name"]))
    return world


def test_everything_that_is_held_is_let_go(capsys: pytest.CaptureFixture[str]) -> None:
    world = left_behind()
    assert world.get("night")["metadata"]["finalizers"] == [FINALLY]
    assert len(world.held()) == 2

    assert asyncio.run(let_go(world.server, None, dry_run=False)) == 0

    assert world.pods() == []
    assert list(world.server.storage.items(OBSERVATORIES, None)) == []
    told = capsys.readouterr().out.splitlines()
    assert [line.partition("/")[0] for line in told] == ["pod", "pod", "observatory", "3 let go"]


def test_a_run_of_a_schedule_is_let_go_by_both_of_its_finalizers() -> None:
    world = left_behind()
    stored = world.get("night")
    stored["metadata"]["finalizers"] = [FINALIZER, FINALLY]
    world.server.storage.put(OBSERVATORIES, KEY, stored)

    assert asyncio.run(let_go(world.server, None, dry_run=False)) == 0

    assert list(world.server.storage.items(OBSERVATORIES, None)) == []


def test_a_dry_run_shows_it_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    world = left_behind()
    version = world.server.storage.version

    assert asyncio.run(let_go(world.server, None, dry_run=True)) == 0

    assert world.server.storage.version == version
    assert capsys.readouterr().out.splitlines()[-1] == "3 are held"


def test_other_namespaces_and_other_finalizers_are_left_alone() -> None:
    world = left_behind()
    stored = world.get("night")
    stored["metadata"]["finalizers"] = ["example.com/theirs", FINALLY]
    world.server.storage.put(OBSERVATORIES, KEY, stored)

    assert asyncio.run(let_go(world.server, "elsewhere", dry_run=False)) == 0
    assert len(world.held()) == 2
    assert asyncio.run(let_go(world.server, NAMESPACE, dry_run=False)) == 0

    assert world.get("night")["metadata"]["finalizers"] == ["example.com/theirs"]


def test_where_the_definition_is_gone_there_are_still_pods_to_let_go(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = left_behind()

    def unknown(request: Request) -> None:
        if request.resource == OBSERVATORIES:
            raise NotFound(404, "NotFound", "404 page not found")

    world.server.before = unknown
    assert asyncio.run(let_go(world.server, None, dry_run=False)) == 0

    assert world.pods() == []
    assert capsys.readouterr().out.splitlines()[-1] == "2 let go"


def lease(holder: str, renewed: datetime, name: str = LEASE) -> JsonObject:
    spec = {
        "holderIdentity": holder,
        "renewTime": micro_time(renewed),
        "leaseDurationSeconds": 15,
    }
    return {"metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize(
    ("holder", "seconds", "refused"), [("me", 14, True), ("me", 15, False), ("", 1, False)]
)
def test_while_an_operator_leads_it_is_refused(holder: str, seconds: int, *, refused: bool) -> None:
    world = left_behind()
    world.server.create_now(LEASES, NAMESPACE, lease(holder, NOW))
    asked = refuse_while_led(world.server, NOW + timedelta(seconds=seconds))

    if refused:
        with pytest.raises(CommandError, match='"me" leads by Lease default/observatory-operator'):
            asyncio.run(asked)
    else:
        asyncio.run(asked)
        assert len(world.held()) == 2


@pytest.mark.parametrize(("name", "refused"), [(f"etl-{LEASE}", True), ("their-controller", False)])
def test_the_lease_of_any_release_counts_and_no_other(name: str, *, refused: bool) -> None:
    world = left_behind()
    world.server.create_now(LEASES, NAMESPACE, lease("me", NOW, name))
    if refused:
        with pytest.raises(CommandError, match=f"leads by Lease default/{name}"):
            asyncio.run(refuse_while_led(world.server, NOW))
    else:
        asyncio.run(refuse_while_led(world.server, NOW))
