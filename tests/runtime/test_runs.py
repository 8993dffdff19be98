"""The reconciler and the runs of schedules, against a server in memory."""

from __future__ import annotations

from datetime import timedelta

import pytest

from observatory.api.names import (
    ANNOTATION_ADMITTED,
    ANNOTATION_RETRY,
    FINALIZER,
    GATE,
    OBSERVATORIES,
    PODS,
    Key,
)
from observatory.api.types import JsonObject
from observatory.core.owners import owner_reference
from observatory.kube.api import PatchKind
from observatory.kube.errors import Conflict, KubeError, TransportError
from observatory.simulation.apiserver import Request
from tests.runtime.faults import BROKEN, CUT, DENIED, failing, failing_write
from tests.runtime.world import KEY, NAMESPACE, Controller, World, observatory, task

SCHEDULE = {"schedule": "*/5 * * * *"}
WRITES = 11


def world_with(**spec: object) -> World:
    """A world of one schedule, which the operator knows."""
    world = World()
    world.apply(observatory("night", task("a"), **SCHEDULE, **spec))
    settle(world)
    return world


def names(world: World) -> list[str]:
    return [key.name for key, _ in world.server.storage.items(OBSERVATORIES, NAMESPACE)]


def runs(world: World) -> list[JsonObject]:
    items = world.server.storage.items(OBSERVATORIES, NAMESPACE)
    return [item for key, item in items if key != KEY]


def settle(world: World, rounds: int = 40) -> None:
    """Everybody has their turn until nothing changes; what fails comes back."""
    for _ in range(rounds):
        before, failures = world.server.storage.version, len(world.errors)
        for name in names(world):
            try:
                world.step(name)
            except KubeError as error:
                world.errors.append(error)
            except SystemExit:
                world.controller = Controller(world)
        world.kubelet.run_pods()
        world.server.collect_garbage()
        if (world.server.storage.version, len(world.errors)) == (before, failures):
            return
    raise AssertionError(f"no rest after {rounds} rounds")


def fire(world: World, minutes: int = 5) -> None:
    world.now += timedelta(minutes=minutes)
    settle(world)


def test_a_run_begins_at_its_time_and_its_end_is_recorded() -> None:
    world = world_with()
    assert runs(world) == []
    fire(world)

    (run,) = runs(world)
    assert run["status"]["phase"] == "Succeeded"
    assert run["metadata"].get("finalizers", []) == []
    status = world.status("night")
    assert [each["phase"] for each in status["runHistory"]] == ["Succeeded"]
    assert "activeRuns" not in status
    (pod,) = world.pods()
    env = pod["spec"]["containers"][0]["env"]
    assert {"name": "OBSERVATORY_SCHEDULED_TIME", "value": "2026-01-01T00:05:00Z"} in env


@pytest.mark.parametrize("fault", [CUT, BROKEN])
@pytest.mark.parametrize("number", range(WRITES))
@pytest.mark.parametrize("lost", ["request", "answer"])
def test_with_any_write_lost_there_is_one_run(number: int, fault: KubeError, lost: str) -> None:
    world = world_with(concurrencyPolicy="Forbid")
    hook = failing_write(fault, number)
    if lost == "request":
        world.server.before = hook
    else:
        world.server.after = hook
    fire(world)

    assert [run["status"]["phase"] for run in runs(world)] == ["Succeeded"]
    assert len(world.status("night")["runHistory"]) == 1
    assert len(world.pods()) == 1


@pytest.mark.parametrize("number", range(WRITES))
def test_killed_at_any_write_another_operator_goes_on(number: int) -> None:
    world = world_with(concurrencyPolicy="Forbid")
    world.server.after = failing_write(SystemExit(), number)
    killed = world.controller
    fire(world)
    settle(world)

    assert world.controller is not killed
    assert [run["status"]["phase"] for run in runs(world)] == ["Succeeded"]
    assert len(world.status("night")["runHistory"]) == 1


def test_two_operators_make_one_run() -> None:
    world = world_with()
    other = Controller(world)
    other.sync()
    world.controller.sync()
    world.now += timedelta(minutes=5)
    for controller in (world.controller, other):
        controller.reconcile("night")
    settle(world)

    assert len(runs(world)) == 1
    assert len(world.status("night")["runHistory"]) == 1


def test_a_run_does_nothing_before_it_is_admitted() -> None:
    world = world_with()
    world.now += timedelta(minutes=5)
    world.server.before = failing(CUT, "update", OBSERVATORIES)
    with pytest.raises(TransportError):
        world.step("night")
    (run,) = runs(world)
    name = run["metadata"]["name"]
    assert ANNOTATION_ADMITTED not in run["metadata"]["annotations"]

    world.step(name)
    assert "status" not in world.get(name)
    world.now += timedelta(seconds=11)
    world.step(name)
    waits = "Waits for the Observatory that it is a run of to let it begin"
    assert world.status(name)["message"] == waits
    assert world.pods() == []


def test_somebody_elses_observatory_with_the_name_of_a_run_is_a_conflict() -> None:
    world = world_with()
    world.now += timedelta(minutes=5)
    made: list[str] = []

    def squat(request: Request) -> None:
        if request.verb == "create" and request.resource == OBSERVATORIES and not made:
            assert isinstance(request.body, dict)
            made.append(request.body["metadata"]["name"])
            world.apply(observatory(made[0], task("x"), suspend=True))

    world.server.before = squat
    settle(world)
    (waiting,) = world.status("night")["queuedRuns"]
    assert waiting["reason"] == "NameConflict"
    assert made[0] in waiting["message"]
    world.server.delete_now(OBSERVATORIES, Key(NAMESPACE, made[0]))
    world.now += timedelta(seconds=10)
    settle(world)
    assert len(world.status("night")["runHistory"]) == 1


def test_a_refused_run_is_told_and_comes_back() -> None:
    world = world_with()
    world.now += timedelta(minutes=5)
    world.server.before = failing(DENIED, "create", OBSERVATORIES)
    result = world.step("night")
    (waiting,) = world.status("night")["queuedRuns"]
    assert waiting["reason"] == "AdmissionDenied"
    assert result.requeue_after is not None
    assert result.requeue_after <= 10


def running(world: World) -> str:
    """A run whose task doesn't end by itself; its name."""
    world.exit_codes = {"a": None}
    fire(world)
    (run,) = runs(world)
    return str(run["metadata"]["name"])


def end_pods(world: World) -> None:
    world.exit_codes = {}
    settle(world)


def test_a_parent_that_is_deleted_takes_its_runs_along() -> None:
    world = world_with()
    running(world)
    world.server.delete_now(OBSERVATORIES, KEY)
    end_pods(world)

    assert (names(world), world.pods()) == ([], [])


def test_a_run_that_is_left_behind_goes_on_and_is_let_go_at_its_end() -> None:
    world = world_with()
    name = running(world)
    stored = world.get(name)
    del stored["metadata"]["ownerReferences"]
    world.server.replace_now(OBSERVATORIES, Key(NAMESPACE, name), stored)
    world.server.delete_now(OBSERVATORIES, KEY)
    settle(world)
    assert world.get(name)["metadata"]["finalizers"] == [FINALIZER]
    end_pods(world)

    assert world.status(name)["phase"] == "Succeeded"
    assert world.get(name)["metadata"].get("finalizers", []) == []


def test_a_deleted_run_is_over_when_its_pods_are_gone_and_only_then_the_next_begins() -> None:
    world = world_with(concurrencyPolicy="Queue")
    name = running(world)
    fire(world)
    assert [each["number"] for each in world.status("night")["queuedRuns"]] == [2]
    world.server.delete_now(OBSERVATORIES, Key(NAMESPACE, name))
    for each in names(world):
        world.step(each)
    assert [each["number"] for each in world.status("night")["activeRuns"]] == [1]
    end_pods(world)

    history = world.status("night")["runHistory"]
    assert [(each["number"], each["phase"]) for each in history] == [
        (1, "Failed"),
        (2, "Succeeded"),
    ]


def test_a_run_that_is_retried_waits_for_its_parent_and_is_one_run_more() -> None:
    world = world_with(concurrencyPolicy="Forbid")
    world.exit_codes = {"a": 3}
    fire(world)
    (run,) = runs(world)
    key = Key(NAMESPACE, run["metadata"]["name"])
    run["metadata"]["annotations"][ANNOTATION_RETRY] = "r1"
    world.server.replace_now(OBSERVATORIES, key, run)
    world.step(key.name)
    assert world.status(key.name)["run"] == 1  # its parent has not let it
    world.exit_codes = {}
    settle(world)

    assert (world.status(key.name)["run"], world.status(key.name)["phase"]) == (2, "Succeeded")
    history = world.status("night")["runHistory"]
    assert [(each["number"], each["phase"]) for each in history] == [
        (1, "Failed"),
        (1, "Succeeded"),
    ]
    assert world.get(key.name)["metadata"].get("finalizers", []) == []


def test_with_a_ttl_a_run_goes_when_its_end_is_recorded_and_never_comes_back() -> None:
    world = world_with(ttlSecondsAfterFinished=0)
    fire(world)

    assert runs(world) == []
    assert [each["phase"] for each in world.status("night")["runHistory"]] == ["Succeeded"]
    settle(world)
    assert world.status("night")["latestRun"] == 1


def test_one_that_ran_by_itself_and_is_given_a_schedule_holds_no_pod() -> None:
    world = World()
    world.apply(observatory("night", task("a")))
    world.step("night")
    while not (pod := world.pods()[0])["status"].get("containerStatuses") or (
        "terminated" not in pod["status"]["containerStatuses"][0]["state"]
    ):
        world.kubelet.run_pods()
    world.server.before = failing(CUT, "patch", PODS)
    with pytest.raises(TransportError):
        world.step("night")
    assert world.pods()[0]["metadata"]["finalizers"] == [FINALIZER]
    world.edit("night", **SCHEDULE)
    settle(world)

    (pod,) = world.pods()
    assert pod["metadata"].get("finalizers", []) == []
    assert GATE not in str(pod["spec"].get("schedulingGates"))
    fire(world)
    assert len(runs(world)) == 1


def test_a_late_patch_takes_nothing_back() -> None:
    world = world_with()
    world.exit_codes = {"a": 3}
    fire(world)
    (run,) = runs(world)
    stale = {**run["metadata"], "finalizers": []}
    patch = {"metadata": {"resourceVersion": stale["resourceVersion"], "finalizers": []}}
    run["metadata"]["annotations"][ANNOTATION_RETRY] = "r1"
    key = Key(NAMESPACE, run["metadata"]["name"])
    world.server.replace_now(OBSERVATORIES, key, run)
    world.step("night")
    assert world.get(key.name)["metadata"]["finalizers"] == [FINALIZER]
    with pytest.raises(Conflict):
        world.server.patch_now(OBSERVATORIES, key, patch, kind=PatchKind.MERGE)


def test_a_run_of_a_namesake_keeps_nobody_back() -> None:
    world = World()
    world.apply(observatory("night", task("a")))
    body = observatory("left-over", task("x"))
    owner = owner_reference("night", "uid-of-its-predecessor")
    body["metadata"] |= {"finalizers": [FINALIZER], "ownerReferences": [owner]}
    world.apply(body)
    world.run("night")
    assert world.status("night")["phase"] == "Succeeded"
