"""Limits and fair shares between namespaces: a real operator, thousands of runs, virtual time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from observatory.api.limits import NO_LIMITS, Limits
from observatory.api.names import OBSERVATORIES, Key
from observatory.simulation.scenario import Ending, Fault
from tests.simulation.tenants import Tenants, task

FAN = (*(task(f"t{index}") for index in range(4)), task("end", "t0"))
LIMITS = [Limits(namespace=3), Limits(cluster=5), Limits(run=2, namespace=3, cluster=5)]


def runs_of_three(world: Tenants) -> set[Key]:
    return {world.apply(f"ns{number % 3}", f"run{number}", *FAN) for number in range(15)}


def assert_within(world: Tenants, limits: Limits) -> None:
    """No limit was exceeded at any moment."""
    most = limits.cluster or 3 * (limits.namespace or 0)
    assert world.most[""] <= most
    for name in ("ns0", "ns1", "ns2"):
        assert world.most[name] <= (limits.namespace or most)


@pytest.mark.parametrize("limits", LIMITS)
def test_limits_hold_with_sixteen_workers_and_everything_comes_to_its_end(limits: Limits) -> None:
    world = Tenants(limits)
    keys = runs_of_three(world)
    world.run_until(lambda: world.ended >= keys)
    assert_within(world, limits)
    assert world.most[""] == (limits.cluster or 9)  # and it is used to the full
    world.close()


@pytest.mark.parametrize("limits", LIMITS)
def test_limits_hold_over_restarts_and_what_waits_goes_on(limits: Limits) -> None:
    world = Tenants(limits, seed=1)
    keys = runs_of_three(world)
    for step in range(4):
        world.run_for(1.3)
        world.process.suffer(Fault("crash" if step % 2 else "stop", "a", seconds=0.2))
    world.run_until(lambda: world.ended >= keys)
    assert_within(world, limits)
    world.close()


@pytest.mark.parametrize("limits", LIMITS)
def test_limits_hold_where_requests_and_answers_get_lost(limits: Limits) -> None:
    world = Tenants(limits)
    keys = runs_of_three(world)
    for number in range(40):
        fault = Fault("lose", "a", at=0.05 + number * 0.31, when=("before", "after")[number % 2])
        world.loop.call_later(fault.at or 0.0, world.process.suffer, fault)
    world.run_until(lambda: world.ended >= keys)
    assert_within(world, limits)
    world.close()


def first_starts(world: Tenants, runs: int) -> list[float]:
    """How long each of some runs takes from its creation to its first start, one by one."""
    latencies = []
    for number in range(runs):
        begun = world.loop.time()
        world.run_until_started(world.apply("small", f"small{number}", task("a")))
        latencies.append(world.loop.time() - begun)
        world.run_for(0.0173)
    return latencies


def p95(latencies: Sequence[float]) -> float:
    return sorted(latencies)[int(len(latencies) * 0.95)]


def hog(world: Tenants, runs: int) -> None:
    for number in range(runs):
        world.apply("hog", f"r{number:04}", task("a"))


@pytest.mark.parametrize("limits", [NO_LIMITS, Limits(namespace=50)])
def test_a_neighbour_with_5000_runs_does_not_double_the_time_to_a_start(limits: Limits) -> None:
    alone = Tenants(limits, steady=True)
    alone.run_for(1)
    usual = first_starts(alone, 20)
    alone.close()

    world = Tenants(limits, steady=True)
    world.run_for(1)
    hog(world, 5000)
    world.run_for(0.1)
    busy = first_starts(world, 20)
    assert len(world.ended) < 5000  # the hog was at it all the time
    assert p95(busy) < 2 * p95(usual)
    world.close()


def test_a_tenant_that_wants_one_pod_gets_it_before_a_hog_gets_many_more() -> None:
    world = Tenants(Limits(cluster=8), steady=True)
    world.run_for(1)
    hog(world, 200)
    world.run_until(lambda: len(world.ended) > 20)
    for number in range(5):
        before = len(world.started)
        world.run_until_started(world.apply("small", f"s{number}", task("a")))
        since = world.started[before:]
        # Those whose plans were in hand when it came; of what was freed then, it got the first.
        assert since.index(("small", f"s{number}")) <= 8
    world.close()


def test_one_that_can_not_be_worked_on_keeps_no_slot_from_those_behind_it() -> None:
    world = Tenants(Limits(cluster=1), {"long": Ending(seconds=3)}, steady=True)
    first = world.apply("a", "first", task("long"))
    world.run_until_started(first)
    poisoned = world.apply("b", "poisoned", task("a"))
    world.run_until(lambda: world.waits(poisoned) == ["ClusterLimit"])
    last = world.apply("c", "last", task("a"))
    world.run_until(lambda: world.waits(last) == ["ClusterLimit"])
    stored = world.get(poisoned) or {}
    stored["status"]["tasks"] = [{"name": "a", "phase": "Nonsense"}]
    world.server.storage.put(OBSERVATORIES, poisoned, stored)
    world.run_until(lambda: world.ended >= {first, last})
    world.close()


def test_pods_of_a_deleted_run_count_until_they_have_ended() -> None:
    limits = Limits(cluster=2)
    world = Tenants(limits, {"long": Ending(seconds=60)}, steady=True)
    for number in range(6):
        key = world.apply("a", f"r{number}", task("long"), task("other"))
        world.run_for(0.5)
        world.apply("b", f"r{number}", task("a"))
        world.delete(key)
    world.run_until(lambda: world.ended >= {Key("b", f"r{number}") for number in range(6)})
    assert world.most[""] == limits.cluster
    world.close()


def test_finally_of_a_deleted_run_gets_its_turn_in_a_full_cluster() -> None:
    world = Tenants(Limits(cluster=2), {"clean": Ending(seconds=0.5)}, steady=True)
    key = world.apply("a", "held", task("a"), **{"finally": [task("clean")]})
    for number in range(40):
        world.apply("b", f"r{number:02}", task("a"), task("b", "a"))
    world.run_until_started(key)
    world.delete(key)
    before = len(world.started)
    world.run_until(lambda: world.get(key) is None)
    since = world.started[before:]
    assert ("a", "held") in since
    assert since.index(("a", "held")) <= 4
    world.close()
