"""The start protocol end to end, against a server in memory."""

from __future__ import annotations

from collections import Counter

from tests.runtime.world import World, observatory, task


def chain() -> dict[str, object]:
    return observatory("night", task("a"), task("b", "a"), task("c", "b"))


def test_a_chain_runs_in_order_to_succeeded() -> None:
    world = World()
    world.apply(chain())

    world.run("night")

    status = world.status("night")
    assert status["phase"] == "Succeeded"
    assert status["progress"] == "3/3"
    assert {row["exitCode"] for row in status["tasks"]} == {0}
    assert set(world.kubelet.starts.values()) == {1}
    assert len(world.kubelet.starts) == 3


def test_a_chain_of_three_takes_fourteen_writes_and_then_none() -> None:
    world = World()
    world.apply(chain())

    world.run("night")

    assert Counter(world.writes()) == {
        "create controllerrevisions": 1,
        "create pods": 3,
        "patch pods": 6,
        "update observatories/status": 4,
    }
    before = len(world.writes())
    world.step("night")
    assert len(world.writes()) == before
