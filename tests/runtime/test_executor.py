from __future__ import annotations

import asyncio
from contextlib import nullcontext

import pytest

from observatory.api.names import CONTROLLER_REVISIONS, OBSERVATORIES, PODS, Key
from observatory.api.status import Status
from observatory.api.types import JsonObject
from observatory.core.desired import desire
from observatory.core.model import Desired, Identity, Observed, Plan, PodRef, Start
from observatory.core.plan import plan
from observatory.kube.errors import KubeError, LeaseLost, TooLarge
from observatory.runtime.executor import Execution, Executor, slow_start
from observatory.simulation.apiserver import Request
from tests.runtime.faults import BROKEN, CUT, DENIED, NO_WEBHOOK, QUOTA, REFUSED, failing
from tests.runtime.world import NAMESPACE, World, observatory, task

KEY = Key(NAMESPACE, "night")


class Desk:
    """An executor, and one Observatory that wants tasks without dependencies."""

    def __init__(self, tasks: int) -> None:
        self.world = World()
        self.stored = self.world.apply(
            observatory("night", *(task(f"t{index}") for index in range(tasks)))
        )
        self.desired: Desired = desire(self.stored)
        self.wrote: list[str] = []
        self.executor = Executor(
            self.world.server, lambda _uid, resource, _version: self.wrote.append(resource.plural)
        )

    def begin(self, *, version: str | None = None) -> Execution:
        made = plan(self.desired, Observed(Status(), ()), self.world.now)
        return self.execute(made, version=version)

    def execute(self, made: Plan, *, version: str | None = None) -> Execution:
        return asyncio.run(
            self.executor.execute(
                made,
                self.desired,
                Status(),
                version or self.stored["metadata"]["resourceVersion"],
                self.world.now,
            )
        )

    def count(self, verb: str, plural: str) -> int:
        return sum(
            (request.verb, request.resource.plural) == (verb, plural)
            for request in self.world.server.requests
        )


@pytest.mark.parametrize(("starts", "sizes"), [(0, []), (1, [1]), (3, [1, 2]), (10, [1, 2, 4, 3])])
def test_batches_double(starts: int, sizes: list[int]) -> None:
    attempts = [Start(Identity(1, "r", f"t{index}", 1), f"p{index}") for index in range(starts)]

    batches = list(slow_start(attempts))

    assert [len(batch) for batch in batches] == sizes
    assert [start for batch in batches for start in batch] == attempts


def test_one_put_records_all_starts() -> None:
    desk = Desk(20)

    execution = desk.begin()

    assert desk.count("create", "pods") == 20
    assert desk.count("update", "observatories") == 1
    assert desk.count("patch", "pods") == 20
    assert execution.status is not None
    assert execution.version == desk.world.get("night")["metadata"]["resourceVersion"]
    assert set(desk.wrote) == {"pods", "observatories"}


def test_a_plan_that_changes_nothing_writes_nothing() -> None:
    desk = Desk(1)

    execution = desk.execute(Plan(draft=Status()))

    assert (desk.world.server.requests, execution.status) == ([], Status())


def test_where_everything_is_refused_few_are_tried() -> None:
    desk = Desk(100)
    desk.world.server.before = failing(QUOTA, "create", PODS, times=100)

    execution = desk.begin()

    assert desk.count("create", "pods") == 3
    assert execution.requeue_at is not None
    (waiting,) = desk.world.status("night")["waitingFor"]
    assert (waiting["reason"], waiting["tasks"]) == ("QuotaExceeded", 100)


@pytest.mark.parametrize("error", [DENIED, NO_WEBHOOK])
def test_pods_that_are_refused_for_themselves_keep_no_other_back(error: KubeError) -> None:
    desk = Desk(20)
    desk.world.server.before = failing(error, "create", PODS, times=7)

    execution = desk.begin()

    assert execution.status is not None
    assert sum(row.pod_uid is not None for row in execution.status.tasks) == 13


@pytest.mark.parametrize("error", [DENIED, NO_WEBHOOK])
def test_where_each_is_refused_for_itself_a_few_more_are_tried(error: KubeError) -> None:
    desk = Desk(100)
    desk.world.server.before = failing(error, "create", PODS, times=100)

    desk.begin()

    assert desk.count("create", "pods") == 1 + 2 + 4 + 8
    waiting = {item["reason"]: item["tasks"] for item in desk.world.status("night")["waitingFor"]}
    assert waiting["StartPending"] == 85


def test_where_nothing_is_heard_few_are_tried_and_say_that_they_wait_for_their_turn() -> None:
    desk = Desk(100)
    desk.world.server.before = failing(CUT, "create", PODS, times=100)

    desk.begin()

    assert desk.count("create", "pods") == 3
    (waiting,) = desk.world.status("night")["waitingFor"]
    assert (waiting["reason"], waiting["tasks"]) == ("StartPending", 100)


@pytest.mark.parametrize("error", [QUOTA, REFUSED, CUT])
def test_one_start_that_fails_keeps_no_other_back(error: KubeError) -> None:
    desk = Desk(20)
    desk.world.server.before = failing(error, "create", PODS)

    execution = desk.begin()

    assert execution.status is not None
    running = [row for row in execution.status.tasks if row.pod_uid]
    assert len(running) == 19
    assert execution.errors == ([CUT] if error is CUT else [])


@pytest.mark.parametrize("version", ["1", None])
def test_after_a_conflict_nothing_is_released(version: str | None) -> None:
    desk = Desk(3)
    if version is None:
        desk.world.server.delete_now(OBSERVATORIES, KEY)

    execution = desk.begin(version=version or "1")

    assert execution.conflict
    assert execution.status is None
    assert desk.count("patch", "pods") == 0


def test_a_put_without_an_answer_releases_nothing() -> None:
    desk = Desk(3)
    desk.world.server.after = failing(CUT, "update", OBSERVATORIES)

    with pytest.raises(type(CUT)):
        desk.begin()

    assert desk.count("patch", "pods") == 0


@pytest.mark.parametrize("lost", [False, True])
def test_before_its_end_is_stored_no_pod_is_let_go_and_none_deleted(*, lost: bool) -> None:
    desk = Desk(1)
    made = Plan(
        draft=Status(message="ended"),
        finish=(PodRef("ended", "uid-1"),),
        delete=(PodRef("left", "uid-2"),),
    )
    if lost:
        desk.world.server.before = failing(CUT, "update", OBSERVATORIES)

    with pytest.raises(type(CUT)) if lost else nullcontext():
        desk.execute(made, version="1")

    assert desk.count("update", "observatories") == 1
    assert desk.count("patch", "pods") == desk.count("delete", "pods") == 0


@pytest.mark.parametrize("newer", [False, True])
def test_forsaken_pods_go_only_while_the_object_is_the_one_planned_from(*, newer: bool) -> None:
    desk = Desk(1)
    if newer:
        desk.begin()

    desk.execute(Plan(draft=Status(), discard=(PodRef("forsaken", "uid-1"),)))

    assert desk.count("delete", "pods") == (0 if newer else 1)


def test_where_forsaken_pods_cannot_be_looked_into_what_was_stored_is_told_all_the_same() -> None:
    desk = Desk(1)
    desk.world.server.before = failing(BROKEN, "get", OBSERVATORIES)

    made = Plan(draft=Status(message="edited back"), discard=(PodRef("forsaken", "uid-1"),))
    execution = desk.execute(made)

    assert execution.status == made.draft
    assert execution.errors == [BROKEN]
    assert desk.count("delete", "pods") == 0


def test_without_its_revision_no_pod_is_made() -> None:
    desk = Desk(3)
    desk.world.server.before = failing(BROKEN, "create", CONTROLLER_REVISIONS)

    with pytest.raises(type(BROKEN)):
        desk.begin()

    assert desk.count("create", "pods") == 0


def test_a_status_that_is_too_large_is_stored_in_its_shortest_form() -> None:
    desk = Desk(2)
    full = TooLarge(500, "", "etcdserver: request is too large")
    desk.world.server.before = failing(full, "update", OBSERVATORIES)

    execution = desk.begin()

    assert desk.count("update", "observatories") == 2
    assert execution.status is not None
    assert desk.world.phases("night") == {"t0": "Running", "t1": "Running"}


@pytest.mark.parametrize("refusals", [2, 4])
def test_a_status_that_is_too_large_in_any_form_is_told_and_releases_nothing(refusals: int) -> None:
    desk = Desk(2)
    full = TooLarge(413, "RequestEntityTooLarge", "limit is 3145728")
    desk.world.server.before = failing(full, "update", OBSERVATORIES, times=refusals)

    execution = desk.begin()

    assert execution.too_large
    assert execution.version == desk.world.get("night")["metadata"]["resourceVersion"]
    assert desk.world.phases("night") == {}
    told = "StatusTooLarge: Spec and status" in str(desk.world.status("night"))
    assert told is (refusals == 2)
    assert desk.count("patch", "pods") == 0


def test_a_release_that_fails_is_told_and_keeps_no_other_back() -> None:
    desk = Desk(5)
    desk.world.server.before = failing(CUT, "patch", PODS)

    execution = desk.begin()

    assert execution.errors == [CUT]
    assert execution.status is not None
    gated = [pod for pod in desk.world.pods() if pod["spec"]["schedulingGates"]]
    assert len(gated) == 1


def test_once_the_lease_is_lost_nothing_else_is_done() -> None:
    desk = Desk(3)

    def guard(request: Request) -> None:
        if request.resource == PODS:
            raise LeaseLost("not held")

    desk.world.server.before = guard
    with pytest.raises(LeaseLost):
        desk.begin()

    assert desk.count("update", "observatories") == 0


def test_the_put_names_the_object_and_the_version_that_was_planned_from() -> None:
    desk = Desk(1)
    bodies: list[JsonObject] = []

    def note(request: Request) -> None:
        if request.subresource == "status" and isinstance(request.body, dict):
            bodies.append(request.body["metadata"])

    desk.world.server.before = note
    desk.begin()

    metadata = desk.stored["metadata"]
    assert bodies == [
        {key: metadata[key] for key in ("namespace", "name", "uid", "resourceVersion")}
    ]
