"""The start protocol when Observatories, their Pods' owners and namespaces are deleted."""

from __future__ import annotations

import pytest

from observatory.api.names import (
    CONTROLLER_REVISIONS,
    FINALIZER,
    NAMESPACES,
    OBSERVATORIES,
    PODS,
    Key,
)
from observatory.api.types import JsonObject
from observatory.kube.errors import Forbidden, TransportError
from observatory.simulation.apiserver import Request
from tests.runtime.faults import (
    CUT,
    failing,
    failing_write,
)
from tests.runtime.world import (
    CHAIN,
    KEY,
    NAMESPACE,
    Controller,
    World,
    assert_at_rest,
    observatory,
    started,
    task,
    world_of,
)


def strip_owner(pod: JsonObject) -> None:
    del pod["metadata"]["ownerReferences"]


def hold_deletion(world: World, finalizer: str) -> None:
    stored = world.get("night")
    stored["metadata"]["finalizers"] = [finalizer]
    world.server.storage.put(OBSERVATORIES, KEY, stored)
    world.server.delete_now(OBSERVATORIES, KEY)


def revision_of(world: World) -> Key:
    [(key, _)] = world.server.storage.items(CONTROLLER_REVISIONS, NAMESPACE)
    return key


def test_deleted_in_the_foreground_the_run_ends_only_when_its_pods_are_gone() -> None:
    world = started(world_of(*CHAIN, task("d")))
    hold_deletion(world, "foregroundDeletion")
    world.step("night")
    assert "completionTime" not in world.status("night")
    assert "deletionTimestamp" in world.pod_of("a")["metadata"]

    world.run("night")

    assert world.status("night")["phase"] == "Failed"
    assert world.phases("night")["b"] == "Skipped"
    assert len(world.kubelet.starts) == 2
    assert_at_rest(world)


def test_deleted_in_the_background_nothing_is_left_and_nothing_starts() -> None:
    world = started(world_of(*CHAIN, task("d")))
    world.server.delete_now(OBSERVATORIES, KEY)

    world.run("night")

    assert world.pods() == []
    assert len(world.kubelet.starts) == 2
    assert_at_rest(world)


def test_a_gated_pod_of_a_deleted_observatory_is_deleted_without_the_garbage_collector() -> None:
    world = world_of(task("a"))
    world.server.before = failing(CUT, "update", OBSERVATORIES)
    world.round("night")
    world.server.delete_now(OBSERVATORIES, KEY)

    world.step("night")
    world.step("night")

    assert world.pods() == []


def test_a_pod_of_an_owner_whose_name_nothing_can_have_is_let_go() -> None:
    world = world_of(task("a"))
    world.server.before = failing(CUT, "update", OBSERVATORIES)
    world.round("night")
    world.server.delete_now(OBSERVATORIES, KEY)
    world.server.before = failing(ValueError("the name is empty"), "get", OBSERVATORIES)

    world.step("night")
    world.step("night")

    assert world.pods() == []


def test_a_cache_that_does_not_know_the_observatory_yet_sweeps_nothing() -> None:
    world = world_of(task("a"))
    world.server.before = failing(CUT, "update", OBSERVATORIES)
    world.round("night")
    behind = Controller(world)
    behind.sync(observatories=False)

    behind.reconcile("night")

    assert "deletionTimestamp" not in world.pod_of("a")["metadata"]


def test_made_again_under_the_same_name_it_runs_anew_and_its_predecessor_is_swept() -> None:
    world = started(world_of())
    world.server.delete_now(OBSERVATORIES, KEY)
    world.exit_codes.clear()
    world.apply(observatory("night", *CHAIN))

    world.run("night")

    assert world.status("night")["phase"] == "Succeeded"
    assert len(world.pods()) == 3
    assert_at_rest(world)


@pytest.mark.parametrize("verb", ["get", "delete"])
def test_what_a_predecessor_left_and_cannot_be_deleted_keeps_no_run_back(verb: str) -> None:
    world = world_of(task("a"), task("b"))
    world.server.before = failing(CUT, "update", OBSERVATORIES)
    world.round("night")
    left = {pod["metadata"]["name"] for pod in world.pods()}
    world.server.delete_now(OBSERVATORIES, KEY)
    world.apply(observatory("night", task("c")))

    def refuse(request: Request) -> None:
        stray = request.key.name in left or request.resource == OBSERVATORIES
        if request.verb == verb and stray:
            raise CUT

    world.server.before = refuse
    for _ in range(9):
        with pytest.raises(type(CUT)):
            world.step("night")
        world.kubelet.run_pods()

    assert world.status("night")["phase"] == "Succeeded"
    tried = {each.key.name for each in world.server.requests if each.verb == "delete"}
    assert tried == (left if verb == "delete" else set())


def test_deleted_without_its_pods_what_runs_goes_on_and_is_let_go_at_its_end() -> None:
    world = started(world_of(task("a"), task("b"), task("c", "b")))
    hold_deletion(world, "orphan")
    world.step("night")
    assert "deletionTimestamp" not in world.pod_of("a")["metadata"]
    for name in ("a", "b"):
        world.change_pod(name, strip_owner)
    world.server.storage.remove(OBSERVATORIES, KEY)

    world.run("night")
    assert world.pod_of("a")["metadata"]["finalizers"] == [FINALIZER]  # it still runs
    world.exit_codes.clear()
    world.run("night")

    assert len(world.pods()) == 2
    assert_at_rest(world)


def test_a_namespace_that_is_deleted_is_left_empty() -> None:
    world = started(world_of(*CHAIN, task("d")))
    world.server.delete_now(NAMESPACES, Key("", NAMESPACE))

    for _ in range(9):
        world.round("night")

    assert world.pods() == []
    assert world.server.storage.get(NAMESPACES, Key("", NAMESPACE)) is None


def test_a_namespace_that_is_deleted_before_its_first_run_is_recorded_is_left_empty() -> None:
    world = world_of(task("a"))
    world.server.before = failing_write(CUT, 2)  # the status: the Pod is there, gated
    with pytest.raises(TransportError):
        world.step("night")
    pod = world.pod_of("a")
    assert pod["spec"]["schedulingGates"]
    world.server.delete_now(NAMESPACES, Key("", NAMESPACE))
    world.server.delete_now(PODS, Key(NAMESPACE, pod["metadata"]["name"]))
    world.server.storage.remove(CONTROLLER_REVISIONS, revision_of(world))

    with pytest.raises(Forbidden):  # no revision can be stored any more, so no run begins
        world.step("night")

    assert world.pods() == []


def test_a_pod_in_a_namespace_that_is_being_deleted_is_no_failure_of_its_task() -> None:
    world = world_of(task("a"), task("b", "a"))
    for _ in range(3):
        world.round("night")
    world.server.delete_now(NAMESPACES, Key("", NAMESPACE))

    world.step("night")

    assert world.row("night", "b")["reason"] == "NamespaceTerminating"


def test_with_a_status_of_somebody_else_it_can_be_deleted() -> None:
    world = started(world_of(task("a")))
    stored = world.get("night") | {"status": {"phase": "Odd"}}
    world.server.storage.put(OBSERVATORIES, KEY, stored)
    hold_deletion(world, "foregroundDeletion")

    world.run("night")

    assert world.pods() == []
