"""What a run is held to by the operator's flags: it is refused, or it waits and says what for."""

from __future__ import annotations

from observatory.api.limits import Limits
from observatory.api.status import Status
from tests.runtime.world import CHAIN, Controller, task, world_of


def valid(status: dict[str, object]) -> tuple[str, str]:
    conditions = Status.from_wire(status).conditions
    (found,) = (each for each in conditions if each.type == "Valid")
    return found.status, found.message


def test_a_run_of_too_many_tasks_is_refused_in_its_status_and_starts_nothing() -> None:
    world = world_of(*CHAIN)
    world.controller = Controller(world, limits=Limits(tasks=2))
    world.run("night")

    status = world.status("night")
    state, message = valid(status)
    assert (state, status["phase"], world.pods()) == ("False", "Pending", [])
    assert "spec.tasks: Too many: 3: this operator lets a run have at most 2 tasks" in message
    assert message in status["message"]

    world.edit("night", tasks=[task("a"), task("b", "a")])
    world.run("night")
    assert world.status("night")["phase"] == "Succeeded"


def test_a_run_that_is_on_goes_on_where_fewer_tasks_are_allowed_since() -> None:
    world = world_of(*CHAIN)
    for _ in range(3):
        world.round("night")
    assert world.status("night")["phase"] == "Running"
    world.controller = Controller(world, limits=Limits(tasks=1))
    world.run("night")

    assert set(world.phases("night").values()) == {"Succeeded"}
    assert valid(world.status("night"))[0] == "False"
