"""Whatever the API server hands out: it is refused by its decoder, or the planner can work with it.

What passed a decoder and then broke the planner would come back with back-off for ever, and nobody
would be told which field it is.
"""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given

from observatory.api.names import CONTROLLER_REVISIONS, OBSERVATORIES, PODS, Key
from observatory.api.status import Status, StatusError
from observatory.api.types import JsonObject
from observatory.core.desired import desire
from observatory.core.fit import fitted, restored
from observatory.core.model import Answers, Desired, Observed, Pod, PodRef, Program, Refused
from observatory.core.plan import plan
from observatory.core.pods import UNREADABLE, observe
from observatory.core.revision import program_of, stored_program
from observatory.core.settle import settle
from observatory.core.tell import tell
from observatory.runtime.cache import Cache, trim
from tests.fuzz.mutations import JSON, as_on_the_wire, examples, mutated, values
from tests.runtime.world import CHAIN, NAMESPACE, World, task, world_of

NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def _worlds() -> list[World]:
    """A run at each of its stages, one that failed and one that waits."""
    worlds = []
    for rounds in range(8):
        world = world_of(*CHAIN, task("d", env=[{"name": "A", "value": "1"}], command=["x"]))
        world.exit_codes |= {"d": 3}
        for _ in range(rounds):
            world.round("night")
        worlds.append(world)
    worlds.append(world_of(task("a"), maxConcurrent=1, suspend=True, schedule="@daily"))
    worlds[-1].round("night")
    return worlds


WORLDS = _worlds()
OBSERVATORIES_SEEN = [
    item for world in WORLDS for _, item in world.server.storage.items(OBSERVATORIES, None)
]
PODS_SEEN = [item for world in WORLDS for _, item in world.server.storage.items(PODS, None)]
REVISIONS_SEEN = [
    item for world in WORLDS for _, item in world.server.storage.items(CONTROLLER_REVISIONS, None)
]
STATUSES_SEEN = [item["status"] for item in OBSERVATORIES_SEEN if item.get("status")]
TYPICAL = copy.deepcopy(OBSERVATORIES_SEEN[3])


def worked_on(observatory: JsonObject, pods: list[Pod], pinned: Program | None = None) -> None:
    """Plan, as the reconciler does, with every answer that there is; StatusError passes."""
    desired = desire(observatory)
    status = restored(Status.from_wire(observatory.get("status") or {}), desired)
    for program in [pinned] if pinned else [desired.program, None]:
        step(desired, Observed(status, tuple(pods), program))


def step(desired: Desired, observed: Observed) -> None:
    made = plan(desired, observed, NOW)
    for answers in (
        Answers({start.attempt.task: PodRef("p", "u") for start in made.starts}, {}),
        Answers({}, {start.attempt.task: Refused("Forbidden", "no") for start in made.starts}),
        Answers({}, {}, frozenset(ref.uid for ref in made.verify)),
    ):
        after = settle(made, answers, desired, NOW)
        tell(observed.status, after, desired)
        wire = fitted(after, desired)
        Status.from_wire(as_on_the_wire(wire))  # what is written can be read


def test_a_run_at_any_stage_can_be_worked_on() -> None:
    assert len(PODS_SEEN) > 10
    for observatory in OBSERVATORIES_SEEN:
        worked_on(observatory, [observe(pod) for pod in PODS_SEEN])


@examples(200)
@given(mutated([item["spec"] for item in OBSERVATORIES_SEEN]) | values)
def test_any_spec_is_judged_and_a_run_in_progress_can_go_on(spec: JSON) -> None:
    observatory = as_on_the_wire({**TYPICAL, "spec": spec})
    desired = desire(observatory)
    assert (desired.program is None) == bool(desired.errors)
    worked_on(observatory, [])


@examples(250)
@given(mutated(STATUSES_SEEN, changes=2) | values)
def test_a_status_is_refused_or_can_be_worked_on(status: JSON) -> None:
    observatory = as_on_the_wire({**TYPICAL, "status": status})
    told = "status"
    try:
        worked_on(observatory, [observe(pod) for pod in PODS_SEEN[:4]])
    except StatusError as error:
        told = str(error)
    assert told.startswith("status")
    assert told.isprintable()
    assert len(told) < 1000


@examples(200)
@given(mutated(OBSERVATORIES_SEEN) | values)
def test_an_observatory_is_skipped_or_can_be_worked_on(raw: JSON) -> None:
    raw = as_on_the_wire(raw)
    store = Cache([]).scope(NAMESPACE).observatories
    try:
        trimmed = trim(raw)
        store.check(trimmed)
    except UNREADABLE:
        return
    try:
        worked_on(trimmed, [])
    except StatusError:
        return


@examples(250)
@given(mutated(PODS_SEEN, changes=2) | values)
def test_a_pod_is_skipped_or_can_be_worked_on(raw: JSON) -> None:
    store = Cache([]).scope(NAMESPACE).pods
    try:
        pod = observe(as_on_the_wire(raw))
        store.check(pod)
    except UNREADABLE:
        return
    for world in WORLDS[1:5]:
        store.upsert(pod)
        worked_on(world.get("night"), [pod])


@examples(200)
@given(mutated(REVISIONS_SEEN) | mutated([{**item, "data": {}} for item in REVISIONS_SEEN]))
def test_a_revision_is_refused_or_can_be_worked_on(raw: JSON) -> None:
    try:
        program = stored_program(as_on_the_wire(raw))
    except UNREADABLE:
        return
    status = {**TYPICAL["status"], "revision": "night-bcdfghjk"}
    worked_on({**TYPICAL, "status": status}, [], pinned=program)


def test_nothing_of_a_stored_revision_is_needed_but_what_is_stored() -> None:
    world = WORLDS[3]
    (revision,) = (item for _, item in world.server.storage.items(CONTROLLER_REVISIONS, None))
    observatory = world.get("night")
    key = Key(NAMESPACE, "night")
    uid = observatory["metadata"]["uid"]
    assert stored_program(revision) == program_of(key, uid, observatory["spec"])


@pytest.mark.parametrize("days", [-1, 0, 3_000_000])
def test_times_at_both_ends_of_the_calendar_can_be_worked_on(days: int) -> None:
    then = datetime.max.replace(tzinfo=UTC) if days > 0 else NOW + timedelta(days=days)
    observatory = copy.deepcopy(TYPICAL)
    observatory["status"]["startTime"] = f"{then:%Y-%m-%dT%H:%M:%SZ}"
    worked_on(observatory, [])
