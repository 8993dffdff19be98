"""The sweeper counts what is stuck, says it, and has it worked on again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from observatory.api.names import KIND, OBSERVATORIES, Key
from observatory.api.types import JsonObject
from observatory.machinery.instant import Instant
from observatory.runtime.sweeper import Sweeper
from observatory.telemetry.metrics import Metrics
from tests.runtime.world import KEY, NAMESPACE, World, observatory, task, world_of


class Now:
    """A clock that stands at the world's time."""

    def __init__(self, world: World) -> None:
        self.now = lambda: world.now
        self.monotonic = lambda: Instant(0.0)
        self.sleep = asyncio.sleep


def swept(world: World) -> tuple[list[Key], float]:
    """What a sweep has worked on again, and how many violations it counted."""
    metrics, again = Metrics(), []
    world.controller.sync()
    sweeper = Sweeper(
        world.controller.cache,
        Now(world),
        metrics,
        lambda keys, initial=False: again.extend(keys),
    )
    asyncio.run(sweeper.sweep())
    total = sum(
        sample.value
        for family in metrics.registry.collect()
        if family.name == "observatory_invariant_violations"
        for sample in family.samples
    )
    return again, total


def overdue(world: World) -> None:
    """A task that could have started long ago."""
    stored = world.get("night")
    stored["status"]["tasks"][0] |= {"reason": "StartPending", "since": "2020-01-01T00:00:00Z"}
    stored["status"]["tasks"][0]["phase"] = "Pending"
    world.server.storage.put(OBSERVATORIES, KEY, stored)


def test_what_is_stuck_is_counted_and_worked_on_again() -> None:
    world = world_of(task("a"))
    world.step("night")
    assert swept(world) == ([], 0)
    overdue(world)

    assert swept(world) == ([KEY], 1)


def test_what_has_ended_and_what_cannot_be_read_keeps_nobody_from_being_looked_at() -> None:
    world = world_of(task("a"))
    world.step("night")
    overdue(world)
    for name, status in (("bad", {"tasks": 5}), ("ended", {"completionTime": "x"}), ("none", None)):
        broken: JsonObject = {
            "kind": KIND,
            "metadata": {"name": name, "namespace": NAMESPACE, "uid": name, "resourceVersion": "9"},
            "spec": {"tasks": []},
            "status": status,
        }
        world.server.storage.put(OBSERVATORIES, Key(NAMESPACE, name), broken)

    assert swept(world) == ([KEY], 1)


@pytest.mark.parametrize(("seconds", "found"), [(59, 0), (61, 1)])
def test_a_fire_time_that_nobody_saw_to_is_found_after_a_minute(seconds: int, found: int) -> None:
    world = World()
    world.apply(observatory("night", task("a"), schedule="*/5 * * * *"))
    world.step("night")
    world.now += timedelta(minutes=5, seconds=seconds)
    again, count = swept(world)
    assert (again, count) == ([KEY] * found, found)


@pytest.mark.parametrize("times", [["x"], [5], "x", []])
def test_times_that_are_none_keep_nobody_from_being_looked_at(times: object) -> None:
    world = World()
    world.apply(observatory("night", task("a"), schedule="*/5 * * * *"))
    stored = world.get("night")
    stored["status"] = {"nextRunTimes": times}
    world.server.storage.put(OBSERVATORIES, KEY, stored)
    assert swept(world) == ([], 0)
