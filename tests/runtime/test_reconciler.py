"""The start protocol end to end, against a server in memory."""

from __future__ import annotations

import gc
from collections import Counter
from datetime import timedelta

import pytest

from observatory.api.names import (
    FINALIZER,
    OBSERVATORIES,
    PODS,
    Key,
)
from observatory.api.types import JsonObject
from observatory.core.model import Program
from observatory.runtime.reconciler import LAG_PATIENCE, TerminalError
from observatory.simulation.apiserver import Request
from tests.runtime.world import (
    CHAIN,
    KEY,
    NAMESPACE,
    Controller,
    World,
    assert_at_rest,
    assert_succeeded,
    observatory,
    started,
    task,
    world_of,
)


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

    assert result.requeue_after == LAG_PATIENCE.total_seconds()
    assert world.writes()[-1] == "update observatories/status"  # the write that it costs is refused
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
    world = started(world_of(task("a"), task("b")))
    world.edit("night", tasks=[task("c")])
    world.step("night")  # its cache lacks what it has just written
    world.server.delete_now(OBSERVATORIES, KEY)

    world.run("night")

    assert world.pods() == []
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


def derived(name: str) -> int:
    """How many programs of this Observatory are in memory."""
    gc.collect()
    found = [item for item in gc.get_objects() if isinstance(item, Program)]
    return sum(item.revision.startswith(f"{name}-") for item in found)


def test_of_a_run_at_rest_nothing_is_kept_that_can_be_derived_anew() -> None:
    world = World()
    world.apply(observatory("rested", *CHAIN))
    world.step("rested")
    assert derived("rested") == 1

    world.run("rested")

    assert world.status("rested")["phase"] == "Succeeded"
    assert derived("rested") == 0


def test_at_rest_it_still_lets_go_of_pods_and_runs_again_when_it_is_edited() -> None:
    world = world_of(task("a"))
    world.run("night")
    pod = world.pod_of("a")
    pod["metadata"]["finalizers"] = [FINALIZER]
    world.server.storage.put(PODS, Key(NAMESPACE, pod["metadata"]["name"]), pod)
    world.run("night")
    assert world.held() == []

    world.edit("night", tasks=[task("b")])
    world.run("night")

    assert (world.status("night")["run"], world.phases("night")) == (2, {"b": "Succeeded"})
    assert_at_rest(world)
