from __future__ import annotations

import asyncio

import pytest

from observatory.api.names import CONTROLLER_REVISIONS, Key
from observatory.api.types import JsonObject
from observatory.core.desired import desire
from observatory.core.model import Desired, Program
from observatory.core.revision import HISTORY_LIMIT
from observatory.kube.errors import AlreadyExists
from observatory.runtime.revisions import Revisions
from tests.runtime.world import NAMESPACE, World, observatory, task


class Desk:
    def __init__(self) -> None:
        self.world = World()
        self.revisions = Revisions(self.world.server)
        self.desired = self.edited("v1", self.world.apply(observatory("night", task("a"))))

    def edited(self, tag: str, stored: JsonObject | None = None) -> Desired:
        obj = stored or self.world.get("night")
        return desire(obj | {"spec": {"tasks": [task("a", image=f"i:{tag}")]}})

    def keep(self, tag: str, run: int) -> Program:
        desired = self.edited(tag)
        assert desired.program is not None
        asyncio.run(self.revisions.keep(desired, desired.program, run))
        return desired.program

    def load(self, name: str) -> Program | None:
        return asyncio.run(self.revisions.load(self.desired, name))

    def stored(self) -> dict[str, int]:
        found = self.world.server.storage.items(CONTROLLER_REVISIONS, NAMESPACE)
        return {key.name: item["revision"] for key, item in found}


def test_what_is_kept_can_be_loaded() -> None:
    desk = Desk()

    program = desk.keep("v1", 1)

    assert desk.load(program.revision) == program


def test_kept_again_it_takes_the_number_of_its_run() -> None:
    desk = Desk()
    desk.keep("v1", 1)

    program = desk.keep("v1", 3)

    assert desk.stored() == {program.revision: 3}


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"ownerReferences": [{"uid": "somebody"}]}},
        {"metadata": {"ownerReferences": None}},
        {"data": {"spec": {"tasks": [task("a", image="i:v2")]}}},
        {"data": None},
    ],
)
def test_one_that_is_not_its_own_is_refused_and_left_alone(change: JsonObject) -> None:
    desk = Desk()
    name = desk.keep("v1", 1).revision
    key = Key(NAMESPACE, name)
    stored = desk.world.server.get_now(CONTROLLER_REVISIONS, key)
    foreign = stored | change | {"metadata": stored["metadata"] | change.get("metadata", {})}
    foreign = desk.world.server.storage.put(CONTROLLER_REVISIONS, key, foreign)

    with pytest.raises(AlreadyExists, match=f'"{name}" exists and does not hold .* delete it'):
        desk.keep("v1", 2)

    assert desk.world.server.get_now(CONTROLLER_REVISIONS, key) == foreign


def test_kept_again_for_the_same_run_nothing_is_written() -> None:
    desk = Desk()
    desk.keep("v1", 1)

    desk.keep("v1", 1)

    assert "patch" not in {request.verb for request in desk.world.server.requests}


def test_the_last_ones_are_kept() -> None:
    desk = Desk()
    kept = [desk.keep(f"v{run}", run).revision for run in range(1, HISTORY_LIMIT + 4)]

    assert desk.stored().keys() == set(kept[-HISTORY_LIMIT:])


def test_those_of_others_are_not_pruned() -> None:
    desk = Desk()
    other = desk.keep("v1", 1).revision
    stored = desk.world.server.get_now(CONTROLLER_REVISIONS, Key(NAMESPACE, other))
    stored["metadata"]["ownerReferences"][0]["uid"] = "somebody"
    desk.world.server.storage.put(CONTROLLER_REVISIONS, Key(NAMESPACE, other), stored)

    for run in range(2, HISTORY_LIMIT + 4):
        desk.keep(f"v{run}", run)

    assert other in desk.stored()


def test_one_that_is_gone_is_none() -> None:
    assert Desk().load("night-gone") is None


@pytest.mark.parametrize(
    "change",
    [
        {"data": None},
        {"data": {"spec": {"tasks": "x"}}},
        {"data": {"spec": {"tasks": [task("a", "b"), task("b", "a")]}}},
        {"metadata": {"name": "x", "namespace": NAMESPACE}},
    ],
)
def test_one_of_somebody_else_is_none(change: JsonObject) -> None:
    desk = Desk()
    name = desk.keep("v1", 1).revision
    key = Key(NAMESPACE, name)
    stored = desk.world.server.get_now(CONTROLLER_REVISIONS, key)
    desk.world.server.storage.put(CONTROLLER_REVISIONS, key, stored | change)

    assert desk.load(name) is None


@pytest.mark.parametrize(
    "change",
    [{"revision": "x"}, {"revision": None}, {"metadata": {"ownerReferences": 5}},
     {"metadata": {"ownerReferences": ["x"]}}],
)  # fmt: skip
def test_one_whose_number_or_owners_cannot_be_read_keeps_no_run_back(change: JsonObject) -> None:
    desk = Desk()
    name = desk.keep("v1", 1).revision
    odd = desk.world.server.get_now(CONTROLLER_REVISIONS, Key(NAMESPACE, name))
    metadata = odd["metadata"] | {"name": "odd"} | change.get("metadata", {})
    desk.world.server.storage.put(
        CONTROLLER_REVISIONS, Key(NAMESPACE, "odd"), odd | change | {"metadata": metadata}
    )

    program = desk.keep("v2", HISTORY_LIMIT + 1)

    assert desk.load(program.revision) == program
