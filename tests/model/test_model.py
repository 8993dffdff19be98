from __future__ import annotations

from dataclasses import replace

import pytest

from tests.model.__main__ import is_as_it_must_be, main, verdict
from tests.model.cases import DEAD_END, SAFE, WRONG, Case
from tests.model.explore import Explorer
from tests.model.protocols import Planner, Protocol
from tests.model.state import FAILED, NEVER, RUNNING, TWICE, Object, Row, Scope, Seen


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_a_wrong_protocol_is_found_out_by_what_it_breaks(case: Case) -> None:
    found = case.explorer().explore()
    assert verdict(found) == case.breaks
    assert found.trace


@pytest.mark.parametrize("case", [one for one in SAFE if not one.large], ids=lambda one: one.name)
def test_the_protocol_is_safe_with_one_controller(case: Case) -> None:
    alone = replace(case.scope, controllers=1, uids=2)
    explorer = Explorer(alone, case.protocol)
    assert verdict(explorer.explore()) == ""
    for place, attempt in enumerate(alone.attempts):
        outcomes = {world.ledger[place] for world in explorer.worlds}
        assert {NEVER, RUNNING, *alone.exits} <= outcomes, f"{attempt} is never started"


@pytest.mark.parametrize("scope", [Scope(), Scope(cancel=True), Scope(delete=True)])
def test_one_attempt_is_safe_with_two_controllers(scope: Scope) -> None:
    assert verdict(Explorer(scope, Protocol()).explore()) == ""


def test_a_planted_violation_is_found_by_a_shortest_trace() -> None:
    found = Explorer(Scope(), Protocol(gated=False), invariants=frozenset({TWICE})).explore()
    assert found.violation == TWICE
    assert [step for step in found.trace if "a node starts" in step] == [
        "a node starts Pod of task A attempt 1, uid 1",
        "a node starts Pod of task A attempt 1, uid 2",
    ]
    assert found.trace[-1] == "a node starts Pod of task A attempt 1, uid 2"


def test_a_planted_dead_end_is_found() -> None:
    found = Explorer(Scope(), Protocol(deletes_strays=False)).explore()
    assert found.dead_ends > 0
    assert found.violation == ""
    assert "POST" in found.trace[-1]


def test_what_is_not_looked_for_is_not_reported() -> None:
    found = Explorer(Scope(), Protocol(gated=False), invariants=frozenset()).explore()
    assert found.violation == ""


def test_the_explorer_tells_a_safe_protocol_that_must_be_unsafe() -> None:
    case = Case("right", "nothing is wrong with it", Scope(), Protocol(), TWICE)
    assert not is_as_it_must_be(case, case.explorer().explore())


def test_a_dead_end_is_no_safe_protocol() -> None:
    case = Case("stuck", "strays are left", Scope(), Protocol(deletes_strays=False))
    found = case.explorer().explore()
    assert not is_as_it_must_be(case, found)
    assert verdict(found) == DEAD_END


def test_the_last_line_sums_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["count-pods", "no-gate"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("model: 0 safe and 2 unsafe as they must be, ")
    assert ", 0 violations, " in last


def test_a_case_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such"]) == 2
    assert "unknown: no-such; there are: attempt, " in capsys.readouterr().err


def test_the_model_never_makes_an_attempt_again_that_a_status_has_closed() -> None:
    planner = Planner(Scope(tries=2), Protocol())
    failed = planner.ended(Row(RUNNING, 1, uid=1), FAILED)
    item = Object(deleting=False, revision_wanted=1, run=1, revision=1, rows=(failed,))
    gated = Seen(uid=2, gated=True, tracked=True, deleting=False, outcome=None)
    work = planner.plan(item, (gated, None))
    assert work is not None
    assert [(request.verb, request.place) for request in work.before] == [("create", 1)]
    assert [(request.verb, request.uid) for request in work.after] == [("delete", 2)]
