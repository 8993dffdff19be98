"""The start protocol end to end, against a server in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from observatory.api.names import (
    CONTROLLER_REVISIONS,
    FINALIZER,
    GATE,
    LABEL_OBSERVATORY,
    LABEL_TASK,
    NAMESPACES,
    OBSERVATORIES,
    PODS,
    Key,
)
from observatory.api.types import JsonObject
from observatory.kube.errors import KubeError, TransportError
from observatory.runtime.reconciler import CONFLICT_PATIENCE, LAG_PATIENCE, TerminalError
from tests.fakes.apiserver import Request
from tests.runtime.faults import (
    BROKEN,
    BUSY,
    CUT,
    DENIED,
    NO_RIGHT,
    QUOTA,
    REFUSED,
    failing,
    failing_write,
)
from tests.runtime.world import NAMESPACE, Controller, World, observatory, task

KEY = Key(NAMESPACE, "night")
CHAIN = (task("a"), task("b", "a"), task("c", "b"))
CHAIN_WRITES = 14


def world_of(*tasks: JsonObject, **spec: object) -> World:
    world = World()
    world.apply(observatory("night", *(tasks or CHAIN), **spec))
    return world


def assert_succeeded(world: World) -> None:
    """The run is at its right end, nothing started twice, nothing is held, nothing is written."""
    assert world.status("night")["phase"] == "Succeeded"
    assert len(world.kubelet.starts) == len(world.status("night")["tasks"])
    assert set(world.kubelet.starts.values()) == {1}
    assert_at_rest(world)


def assert_at_rest(world: World) -> None:
    assert world.held() == []
    before = len(world.writes())
    world.step("night", Controller(world))
    world.now += timedelta(hours=1)
    world.step("night", Controller(world))
    assert world.writes()[before:] == []


def started(world: World, *, running: bool = True) -> World:
    """The first task is recorded, and its container runs or not yet."""
    world.exit_codes["a"] = None
    for _ in range(3 if running else 1):
        world.round("night") if running else world.step("night")
    return world


# --- without faults


def test_a_chain_of_three_takes_fourteen_writes_and_then_none() -> None:
    world = world_of()

    world.run("night")

    assert world.status("night")["progress"] == "3/3"
    assert Counter(world.writes()) == {
        "create controllerrevisions": 1,
        "create pods": 3,
        "patch pods": 6,
        "update observatories/status": 4,
    }
    assert_succeeded(world)


def test_a_pod_is_created_then_recorded_then_released() -> None:
    world = world_of(task("a"))
    trace = []

    def note(request: Request) -> None:
        recorded = bool(world.status("night").get("tasks"))
        trace.append((f"{request.verb} {request.resource.plural}", recorded))

    world.server.before = note
    world.step("night")

    assert trace == [
        ("create controllerrevisions", False),
        ("create pods", False),
        ("update observatories", False),
        ("patch pods", True),
    ]


def test_a_failure_skips_what_depends_on_it_and_is_told() -> None:
    world = world_of(*CHAIN, task("d"))
    world.exit_codes["a"] = 3

    world.run("night")

    assert world.phases("night") == {
        "a": "Failed", "b": "Skipped", "c": "Skipped", "d": "Succeeded",
    }  # fmt: skip
    assert world.status("night")["failure"]["exitCode"] == 3
    reasons = [event.reason for event in world.controller.events]
    assert reasons == ["RunStarted", "TaskFailed", "RunFailed"]
    assert_at_rest(world)


def test_no_more_run_at_once_than_allowed() -> None:
    world = world_of(*(task(name) for name in "abcdef"), maxConcurrent=2)
    most = 0
    for _ in range(30):
        world.round("night")
        most = max(most, list(world.phases("night").values()).count("Running"))

    assert most == 2
    assert_succeeded(world)


def test_suspended_in_mid_run_it_starts_nothing_until_it_is_resumed() -> None:
    world = started(world_of())
    world.edit("night", suspend=True)
    world.exit_codes.clear()
    world.run("night")
    assert world.phases("night") == {"a": "Succeeded", "b": "Pending", "c": "Pending"}
    assert world.row("night", "b")["reason"] == "Suspended"

    world.edit("night", suspend=False)
    world.run("night")

    assert_succeeded(world)


@pytest.mark.parametrize("field", [{"maxConcurrent": "two"}, {"suspend": "no"}])
def test_a_limit_that_cannot_be_read_holds_the_run_until_it_is_mended(field: JsonObject) -> None:
    world = started(world_of())
    world.edit("night", **field)
    world.exit_codes.clear()
    world.run("night")
    assert world.phases("night")["b"] == "Pending"

    world.edit("night", **dict.fromkeys(field))
    world.run("night")

    assert_succeeded(world)


# --- requests that fail


@pytest.mark.parametrize("number", range(CHAIN_WRITES))
@pytest.mark.parametrize("fault", [CUT, BUSY, BROKEN])
def test_a_lost_request_is_made_good(number: int, fault: KubeError) -> None:
    world = world_of()
    world.server.before = failing_write(fault, number)

    world.run("night")

    assert world.errors == [fault]
    assert_succeeded(world)


@pytest.mark.parametrize("number", range(CHAIN_WRITES))
@pytest.mark.parametrize("fault", [CUT, BROKEN])
def test_a_lost_answer_is_made_good(number: int, fault: KubeError) -> None:
    world = world_of()
    world.server.after = failing_write(fault, number)

    world.run("night")

    assert world.errors == [fault]
    assert_succeeded(world)


class Crash(Exception):  # noqa: N818 -- what happens to a process
    """The process is gone."""


@pytest.mark.parametrize("number", range(CHAIN_WRITES))
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_around_any_write_is_made_good_by_the_next_process(
    number: int, moment: str
) -> None:
    world = world_of()
    setattr(world.server, moment, failing_write(Crash(), number))
    with pytest.raises(Crash):
        world.run("night")

    world.controller = Controller(world)
    world.run("night")

    assert_succeeded(world)


def test_a_conflict_ends_the_plan_and_releases_nothing() -> None:
    world = world_of()

    def edit_first(request: Request) -> None:
        if request.subresource == "status":
            world.server.before = lambda _: None
            world.edit("night", maxConcurrent=1)

    world.server.before = edit_first
    result = world.step("night")

    assert result.requeue_after == CONFLICT_PATIENCE
    assert world.pod_of("a")["spec"]["schedulingGates"] == [{"name": GATE}]
    assert world.status("night") == {}
    world.run("night")
    assert_succeeded(world)


def test_tasks_edited_before_the_run_was_stored_are_not_mistaken_for_the_old_ones() -> None:
    world = world_of(task("a", image="i:old"))

    def edit_first(request: Request) -> None:
        if request.subresource == "status":
            world.server.before = lambda _: None
            world.edit("night", tasks=[task("a", image="i:new")])

    world.server.before = edit_first
    world.run("night")

    assert world.pod_of("a")["spec"]["containers"][0]["image"] == "i:new"
    assert_succeeded(world)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(QUOTA, "QuotaExceeded"), (DENIED, "AdmissionDenied"), (NO_RIGHT, "Forbidden")],
)
def test_a_refused_pod_is_waited_for_and_tried_again(error: KubeError, reason: str) -> None:
    world = world_of()
    world.server.before = failing(error, "create", PODS)

    result = world.step("night")

    assert result.requeue_after == 5
    assert world.row("night", "a")["reason"] == reason
    assert world.status("night")["waitingFor"][0]["reason"] == reason
    assert reason in world.status("night")["message"]
    world.run("night")
    assert_succeeded(world)


def test_a_pod_that_is_invalid_fails_its_task() -> None:
    world = world_of()
    world.server.before = failing(REFUSED, "create", PODS)

    world.run("night")

    assert world.phases("night") == {"a": "Failed", "b": "Skipped", "c": "Skipped"}
    assert world.status("night")["failure"]["reason"] == "InvalidPod"
    assert_at_rest(world)


def test_a_run_whose_revision_is_refused_says_why_and_writes_it_once() -> None:
    world = world_of()
    world.server.before = failing(QUOTA, "create", CONTROLLER_REVISIONS, times=3)
    for _ in range(3):
        world.round("night")

    assert world.status("night")["message"].startswith("QuotaExceeded: ")
    assert world.status("night")["phase"] == "Pending"
    assert world.writes().count("update observatories/status") == 1
    world.run("night")
    assert_succeeded(world)


# --- Pods that change under our hands


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
        assert row["reason"] == ("Error" if state == "running" else "PodDeleted")
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


# --- edits


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


# --- deletion


def hold_deletion(world: World, finalizer: str) -> None:
    stored = world.get("night")
    stored["metadata"]["finalizers"] = [finalizer]
    world.server.storage.put(OBSERVATORIES, KEY, stored)
    world.server.delete_now(OBSERVATORIES, KEY)


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


def test_a_pod_in_a_namespace_that_is_being_deleted_is_no_failure_of_its_task() -> None:
    world = world_of(task("a"), task("b", "a"))
    for _ in range(3):
        world.round("night")
    world.server.delete_now(NAMESPACES, Key("", NAMESPACE))

    world.step("night")

    assert world.row("night", "b")["reason"] == "NamespaceTerminating"


# --- status and caches


TAMPERED: list[JsonObject] = [
    {"phase": "Odd"},
    {"run": 1, "phase": "Running"},
    {"tasks": [{"name": "a", "phase": "Running"}]},
    {"tasks": [{"phase": "Running"}]},
    {"tasks": "none"},
    {"startTime": "yesterday"},
    {"conditions": [{}]},
]


@pytest.mark.parametrize("status", TAMPERED, ids=str)
def test_a_status_of_somebody_else_is_told_and_harms_nobody(status: JsonObject) -> None:
    world = world_of(task("a"))
    stored = world.get("night") | {"status": status}
    world.server.storage.put(OBSERVATORIES, KEY, stored)
    world.apply(observatory("other", task("a")))

    with pytest.raises(TerminalError, match="status"):
        world.step("night")

    assert [event.reason for event in world.controller.events] == ["StatusInvalid"]
    world.run("other")
    assert world.status("other")["phase"] == "Succeeded"


def test_with_a_status_of_somebody_else_it_can_be_deleted() -> None:
    world = started(world_of(task("a")))
    stored = world.get("night") | {"status": {"phase": "Odd"}}
    world.server.storage.put(OBSERVATORIES, KEY, stored)
    hold_deletion(world, "foregroundDeletion")

    world.run("night")

    assert world.pods() == []


def test_behind_its_own_writes_the_cache_is_waited_for() -> None:
    world = world_of()
    world.step("night")
    requests = len(world.server.requests)

    result = world.controller.reconcile("night")

    assert result.requeue_after == LAG_PATIENCE.total_seconds()
    assert len(world.server.requests) == requests


def test_a_cache_that_stays_behind_is_not_waited_for_for_ever() -> None:
    world = world_of()
    world.step("night")
    world.controller.reconcile("night")
    world.now += LAG_PATIENCE

    result = world.controller.reconcile("night")

    assert result.requeue_after == CONFLICT_PATIENCE  # the write that it costs is refused
    world.run("night")
    assert_succeeded(world)


def test_a_soft_wait_is_told_after_ten_seconds_and_a_hard_one_at_once() -> None:
    world = world_of(task("a"))
    world.step("night")
    result = world.step("night")
    assert result.requeue_after == 10
    assert "reason" not in world.row("night", "a")

    world.now += timedelta(seconds=10)
    world.step("night")
    assert world.row("night", "a")["reason"] == "Scheduling"

    def pull_fails(pod: JsonObject) -> None:
        waiting = {"reason": "ErrImagePull", "message": "not found"}
        pod["spec"]["nodeName"] = "node"
        pod["status"]["containerStatuses"] = [{"name": "task", "state": {"waiting": waiting}}]

    world.change_pod("a", pull_fails)
    world.step("night")
    assert world.status("night")["message"] == "ImagePull: a: not found"

    world.run("night")
    assert "reason" not in world.row("night", "a")
    assert_succeeded(world)


def test_what_is_known_of_an_observatory_that_is_gone_is_forgotten() -> None:
    world = world_of()
    world.run("night")
    world.server.delete_now(OBSERVATORIES, KEY)
    world.run("night")

    reconciler = world.controller.reconciler
    assert (len(reconciler._known), len(reconciler._consistency)) == (0, 0)


def test_a_paused_operator_that_wakes_up_late_changes_nothing() -> None:
    world = world_of()
    asleep = Controller(world)
    asleep.sync()
    world.run("night")
    done = world.get("night")

    asleep.reconcile("night")

    assert world.get("night") == done
    assert set(world.kubelet.starts.values()) == {1}
