"""The start protocol while requests fail, answers are lost and processes die."""

from __future__ import annotations

from datetime import timedelta

import pytest

from observatory.api.names import (
    CONTROLLER_REVISIONS,
    GATE,
    OBSERVATORIES,
    PODS,
    Key,
)
from observatory.api.status import Status
from observatory.core.desired import desire
from observatory.core.fit import fitted
from observatory.kube.errors import KubeError, TooLarge
from observatory.runtime.reconciler import LAG_PATIENCE, TerminalError
from observatory.simulation.apiserver import Request
from tests.core.builders import program
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
from tests.runtime.world import (
    KEY,
    NAMESPACE,
    Controller,
    assert_at_rest,
    assert_succeeded,
    started,
    task,
    world_of,
)

CHAIN_WRITES = 14


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

    assert result.requeue_after == LAG_PATIENCE.total_seconds()
    assert world.pod_of("a")["spec"]["schedulingGates"] == [{"name": GATE}]
    assert world.status("night") == {}
    world.run("night")
    assert_succeeded(world)


def test_after_a_conflict_nothing_is_asked_until_the_cache_has_what_it_conflicted_with() -> None:
    world = world_of()
    world.controller.sync()
    world.edit("night", maxConcurrent=1)
    world.controller.reconcile("night")
    asked = len(world.server.requests)

    for _ in range(9):
        world.now += timedelta(seconds=1)
        world.controller.reconcile("night")

    assert len(world.server.requests) == asked
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


@pytest.mark.parametrize(
    ("error", "reason"), [(QUOTA, "QuotaExceeded"), (REFUSED, "InvalidRevision")]
)
def test_a_run_whose_revision_is_refused_says_why_and_writes_it_once(
    error: KubeError, reason: str
) -> None:
    world = world_of()
    world.server.before = failing(error, "create", CONTROLLER_REVISIONS, times=3)
    for _ in range(3):
        world.round("night")

    assert world.status("night")["message"].startswith(f"{reason}: ")
    assert world.status("night")["phase"] == "Pending"
    assert world.writes().count("update observatories/status") == 1
    world.run("night")
    assert_succeeded(world)


def test_a_status_that_no_longer_fits_keeps_its_rows_says_so_once_and_goes_on_when_it_fits() -> (
    None
):
    world = world_of(task("a"), task("b", "a"))
    world.step("night")
    rows = world.status("night")["tasks"]

    def full(request: Request) -> None:
        body = request.body if request.subresource == "status" else None
        if isinstance(body, dict) and body["status"]["tasks"] != rows:
            raise TooLarge(500, "", "etcdserver: request is too large")

    world.server.before = full
    for _ in range(3):
        world.kubelet.run_pods()
    for _ in range(3):
        with pytest.raises(TerminalError, match="split the workflow"):
            world.step("night")

    valid, *_ = world.status("night")["conditions"]
    assert (valid["status"], valid["reason"]) == ("False", "StatusTooLarge")
    assert world.status("night")["tasks"] == rows
    events = [event.reason for event in world.controller.events]
    assert events == ["RunStarted", "StatusTooLarge"]
    assert world.writes().count("update observatories/status") == 1 + 1 + 3 * 2
    world.server.before = lambda _: None
    world.run("night")
    assert_succeeded(world)


@pytest.mark.parametrize("vanished", [False, True])
def test_the_next_process_goes_on_from_a_status_in_its_shortest_form(*, vanished: bool) -> None:
    world = started(world_of())
    stored = world.get("night")
    stored["status"] = fitted(Status.from_wire(stored["status"]), desire(stored), budget=0)
    world.server.storage.put(OBSERVATORIES, KEY, stored)
    if vanished:
        pod = world.pod_of("a")
        world.server.storage.remove(PODS, Key(NAMESPACE, pod["metadata"]["name"]))
    world.exit_codes.clear()

    world.controller = Controller(world)
    world.run("night")

    if vanished:
        assert world.row("night", "a")["reason"] == "PodLost"
    else:
        assert_succeeded(world)


def test_a_pod_that_the_cache_lacks_is_looked_for_by_the_name_that_it_must_have() -> None:
    world = started(world_of())
    stored = world.get("night")
    stored["status"] = fitted(Status.from_wire(stored["status"]), desire(stored), budget=0)
    world.server.storage.put(OBSERVATORIES, KEY, stored)
    behind = Controller(world)
    behind.sync(pods=False)

    behind.reconcile("night")

    asked = world.server.requests[-1]
    assert (asked.verb, asked.key.name) == ("get", world.pod_of("a")["metadata"]["name"])
    assert world.phases("night")["a"] == "Running"


def test_a_run_whose_revision_has_the_name_of_a_foreign_one_says_so_and_starts_nothing() -> None:
    world = world_of()
    name = program(desire(world.get("night"))).revision
    foreign = {"metadata": {"name": name}, "data": {"of": "somebody else"}, "revision": 7}
    foreign = world.server.create_now(CONTROLLER_REVISIONS, NAMESPACE, foreign)

    for _ in range(3):
        world.round("night")

    assert world.status("night")["message"].startswith(f'NameConflict: ControllerRevision "{name}"')
    assert (world.pods(), world.writes().count("update observatories/status")) == ([], 1)
    assert world.server.get_now(CONTROLLER_REVISIONS, Key(NAMESPACE, name)) == foreign
    world.server.delete_now(CONTROLLER_REVISIONS, Key(NAMESPACE, name))
    world.run("night")
    assert_succeeded(world)
