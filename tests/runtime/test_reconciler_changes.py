"""The start protocol while people edit and spoil what it works on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from observatory.api.names import (
    CONTROLLER_REVISIONS,
    LABEL_OBSERVATORY,
    LABEL_TASK,
    OBSERVATORIES,
    PODS,
    Key,
)
from observatory.api.types import JsonObject
from observatory.kube.errors import TransportError
from tests.runtime.faults import (
    CUT,
    failing,
)
from tests.runtime.world import (
    NAMESPACE,
    Controller,
    World,
    assert_at_rest,
    assert_succeeded,
    started,
    task,
    world_of,
)


def lose_gate(pod: JsonObject) -> None:
    pod["spec"]["schedulingGates"] = []


@pytest.mark.parametrize("state", ["gated", "pending", "running", "terminal"])
def test_a_pod_deleted_by_hand_ends_its_attempt_and_is_not_made_again(state: str) -> None:
    world = world_of(task("a"))
    if state == "gated":
        world.server.before = failing(CUT, "patch", PODS)  # recorded, not released
    world.exit_codes["a"] = 0 if state == "terminal" else None
    for _ in range({"gated": 1, "pending": 1, "running": 3, "terminal": 4}[state]):
        world.controller.sync()
        try:
            world.controller.reconcile("night")
        except TransportError:
            break
        if state != "pending":
            world.kubelet.run_pods()

    world.delete_pod("a")
    world.run("night")

    row = world.row("night", "a")
    if state == "terminal":
        assert row["phase"] == "Succeeded"
    else:
        assert row["phase"] == "Failed"
        assert row["reason"] == "PodDeleted"
    assert sum(world.kubelet.starts.values()) <= 1
    assert world.writes().count("create pods") == 1
    assert_at_rest(world)


def test_a_pod_that_vanishes_with_its_finalizer_is_lost() -> None:
    world = started(world_of(task("a")))
    world.change_pod("a", lambda pod: pod["metadata"].update(finalizers=[]))
    world.server.storage.remove(PODS, Key(NAMESPACE, world.pod_of("a")["metadata"]["name"]))

    world.run("night")

    assert world.row("night", "a")["reason"] == "PodLost"
    assert world.writes().count("create pods") == 1
    assert_at_rest(world)


def test_a_pod_that_only_the_cache_lacks_is_not_lost() -> None:
    world = started(world_of(task("a")))
    behind = Controller(world)
    behind.sync(pods=False)

    behind.reconcile("night")

    assert world.row("night", "a")["phase"] == "Running"


@pytest.mark.parametrize("phase", ["Failed", "Running"])
def test_an_end_that_is_stored_is_final_whatever_the_pod_says_later(phase: str) -> None:
    world = world_of(task("a"), task("b"))
    world.exit_codes["b"] = None
    for _ in range(4):
        world.round("night")
    assert world.row("night", "a")["phase"] == "Succeeded"

    world.change_pod("a", lambda pod: pod["status"].update(phase=phase))
    world.round("night")

    assert world.row("night", "a")["phase"] == "Succeeded"


def strip_owner(pod: JsonObject) -> None:
    del pod["metadata"]["ownerReferences"]


def strip_labels(pod: JsonObject) -> None:
    pod["metadata"]["labels"] = {}


def spoil_labels(pod: JsonObject) -> None:
    pod["metadata"]["labels"] |= {LABEL_TASK: "x", LABEL_OBSERVATORY: "y"}


@pytest.mark.parametrize(
    "spoil",
    [(strip_owner,), (strip_labels,), (spoil_labels,), (strip_owner, strip_labels),
     (strip_owner, spoil_labels)],
)  # fmt: skip
def test_a_recorded_pod_counts_whatever_is_done_to_its_labels(
    spoil: tuple[Callable[[JsonObject], None], ...],
) -> None:
    world = started(world_of(task("a"), task("b")))
    for change in spoil:
        world.change_pod("a", change)
    world.run("night")

    world.exit_codes.clear()
    world.run("night")
    world.run("night")

    assert world.phases("night") == {"a": "Succeeded", "b": "Succeeded"}
    assert world.held() == []


def test_a_pod_that_is_not_ours_is_a_conflict_that_harms_only_its_task() -> None:
    world = world_of(task("a"), task("b"), task("c"))
    world.server.before = failing(CUT, "create", PODS, times=9)
    world.round("night")
    name = next(request.key.name for request in world.server.requests if request.resource == PODS)
    foreign: JsonObject = {
        "metadata": {"name": name, "labels": {}},
        "spec": {"containers": [{"name": "x", "image": "evil"}]},
    }
    world.server.before = lambda _: None
    world.server.create_now(PODS, NAMESPACE, foreign)

    for _ in range(9):
        world.round("night")

    assert world.phases("night") == {"a": "Pending", "b": "Succeeded", "c": "Succeeded"}
    assert world.row("night", "a")["reason"] == "NameConflict"
    world.server.delete_now(PODS, Key(NAMESPACE, name))
    world.kubelet.run_pods()
    world.kubelet.run_pods()
    world.run("night")
    assert world.phases("night")["a"] == "Succeeded"


def test_a_pod_whose_gate_was_removed_by_hand_is_not_adopted() -> None:
    world = world_of(task("a"))
    world.server.before = failing(CUT, "update", OBSERVATORIES)
    world.round("night")  # the Pod is there, and no status knows it

    world.change_pod("a", lose_gate)
    for _ in range(4):
        world.round("night")
    assert world.row("night", "a")["reason"] == "NameConflict"

    world.delete_pod("a")
    world.run("night")
    assert world.row("night", "a")["phase"] == "Succeeded"
    assert world.held() == []


def test_a_status_from_a_name_conflict_lets_go_of_no_pod_that_a_newer_one_records() -> None:
    world = world_of(task("a"))
    world.server.before = failing(CUT, "update", OBSERVATORIES)
    world.round("night")
    world.change_pod("a", lose_gate)
    world.round("night")
    assert world.row("night", "a")["reason"] == "NameConflict"
    paused = Controller(world)
    paused.sync()
    world.delete_pod("a")
    while world.row("night", "a")["phase"] != "Running":
        world.round("night")
    world.kubelet.run_until_idle()  # it succeeds, unseen
    world.delete_pod("a")

    paused.sync(observatories=False)
    paused.reconcile("night")

    world.run("night")
    assert world.row("night", "a")["phase"] == "Succeeded"
    assert world.held() == []


def forsaken() -> World:
    """The tasks were edited, and edited back before a status recorded the run that this began."""
    world = world_of(task("a"))
    world.run("night")
    edit_a(world, "i:2")
    world.server.before = failing(CUT, "update", OBSERVATORIES)
    world.round("night")
    edit_a(world, "busybox:1.36")
    assert len(world.held()) == 1
    return world


def test_what_was_created_for_a_run_that_does_not_begin_is_gone_after_a_minute() -> None:
    world = forsaken()
    result = world.step("night")
    assert len(world.held()) == 1
    assert result.requeue_after is not None
    world.now += timedelta(seconds=result.requeue_after)
    world.run("night")
    assert world.held() == []
    assert world.status("night")["run"] == 1


def test_it_is_kept_where_the_observatory_has_changed_since() -> None:
    world = forsaken()
    behind = Controller(world)
    behind.sync()
    edit_a(world, "i:2")
    world.now += timedelta(minutes=2)
    behind.reconcile("night")
    assert len(world.held()) == 1
    world.run("night")
    assert world.status("night")["run"] == 2
    assert world.row("night", "a")["phase"] == "Succeeded"


def edit_a(world: World, image: str) -> None:
    world.edit("night", tasks=[task("a", image=image)])


def edit_image(world: World, image: str) -> None:
    world.edit("night", tasks=[task("a", image=image), task("b", "a", image=image)])


def images(world: World) -> list[str]:
    pods = sorted(world.pods(), key=lambda pod: int(pod["metadata"]["uid"].rpartition("-")[2]))
    return [pod["spec"]["containers"][0]["image"] for pod in pods]


def test_a_run_finishes_as_pinned_and_the_edit_runs_next() -> None:
    world = world_of(task("a", image="i:1"), task("b", "a", image="i:1"))
    started(world)
    edit_image(world, "i:2")
    world.exit_codes.clear()

    world.run("night")

    assert images(world) == ["i:1", "i:1", "i:2", "i:2"]
    assert world.status("night")["run"] == 2
    assert_at_rest(world)


def test_an_edit_that_is_taken_back_in_mid_run_makes_no_run() -> None:
    world = world_of(task("a", image="i:1"), task("b", "a", image="i:1"))
    started(world)
    edit_image(world, "i:2")
    world.round("night")
    edit_image(world, "i:1")
    world.exit_codes.clear()

    world.run("night")

    assert world.status("night")["run"] == 1
    assert_succeeded(world)


def test_back_to_earlier_tasks_is_a_new_run_of_the_earlier_revision() -> None:
    world = world_of(task("a", image="i:1"), task("b", "a", image="i:1"))
    world.run("night")
    first = world.status("night")["revision"]
    for image in ("i:2", "i:1"):
        edit_image(world, image)
        world.run("night")

    assert world.status("night")["run"] == 3
    assert world.status("night")["revision"] == first
    assert world.server.get_now(CONTROLLER_REVISIONS, Key(NAMESPACE, first))["revision"] == 3
    assert images(world) == ["i:1"] * 2 + ["i:2"] * 2 + ["i:1"] * 2
    assert_at_rest(world)


def test_an_edit_that_is_invalid_lets_the_run_finish_and_is_told() -> None:
    world = started(world_of())
    world.edit("night", tasks=[task("a", "nobody")])
    world.exit_codes.clear()
    # Another process, which has only the stored revision to go by.
    world.controller = Controller(world)

    world.run("night")

    assert world.status("night")["phase"] == "Succeeded"
    assert "nobody" in world.status("night")["message"]
    assert "Invalid" in [event.reason for event in world.controller.events]
    assert_succeeded(world)


def test_a_run_whose_revision_was_deleted_lets_what_runs_end_and_fails() -> None:
    world = started(world_of())
    world.server.delete_now(CONTROLLER_REVISIONS, Key(NAMESPACE, world.status("night")["revision"]))
    world.edit("night", tasks=[task("a", "nobody")])
    world.exit_codes.clear()
    world.controller = Controller(world)

    world.run("night")

    assert world.phases("night") == {"a": "Succeeded", "b": "Failed", "c": "Failed"}
    assert world.status("night")["failure"]["reason"] == "RevisionLost"
    assert_at_rest(world)
