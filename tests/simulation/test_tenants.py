"""Limits and fair shares between namespaces: a real operator, thousands of runs, virtual time."""

from __future__ import annotations

import pytest

from observatory.api.limits import Limits
from observatory.api.names import Key
from observatory.simulation.scenario import Fault
from tests.simulation.tenants import Tenants, task

FAN = (*(task(f"t{index}") for index in range(4)), task("end", "t0"))
LIMITS = [Limits(namespace=3), Limits(cluster=5), Limits(run=2, namespace=3, cluster=5)]


def runs_of_three(world: Tenants) -> set[Key]:
    return {world.apply(f"ns{number % 3}", f"run{number}", *FAN) for number in range(15)}


def assert_within(world: Tenants, limits: Limits) -> None:
    """No limit was exceeded at any moment, and the tightest was used to the full."""
    most = limits.cluster or 3 * (limits.namespace or 0)
    assert world.most[""] == most
    for name in ("ns0", "ns1", "ns2"):
        assert world.most[name] <= (limits.namespace or most)


@pytest.mark.parametrize("limits", LIMITS)
def test_limits_hold_with_sixteen_workers_and_everything_comes_to_its_end(limits: Limits) -> None:
    world = Tenants(limits)
    keys = runs_of_three(world)
    world.run_until(lambda: world.ended >= keys)
    assert_within(world, limits)
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
