"""Scenarios as files: what is written can be read, and what can't be read is told in one line."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.simulation.scenario import ACTIONS, Ending, Fault, Scenario, ScenarioError
from observatory.simulation.world import play
from tests.simulation.generate import scenario
from tests.simulation.systematic import scenarios, workflows

GOOD: dict[str, Any] = {"spec": {"tasks": [{"name": "a", "image": "i"}]}}
CRASH: dict[str, Any] = {"do": "crash", "who": "a", "at": 1}


@given(st.integers(0, 10**9))
def test_every_random_scenario_can_be_written_and_read(seed: int) -> None:
    made = scenario(seed)
    assert Scenario.load(made.dump()) == made


def test_every_systematic_scenario_can_be_written_and_read() -> None:
    for index, made in enumerate(scenarios()):
        if index % 100 == 0:
            assert Scenario.load(made.dump()) == made


def written(workflow: Scenario) -> set[tuple[str, int]]:
    """The writes of an undisturbed workflow: whose, and its how many-th."""
    writes: set[tuple[str, int]] = set()

    def tell(_: float, who: str, what: str) -> None:
        if what.startswith("sends write "):
            writes.add((who, int(what.split()[2].rstrip(":"))))

    play(workflow, tell)
    return writes


def test_the_systematic_faults_meet_every_write_of_every_workflow() -> None:
    made = list(scenarios())
    for workflow in workflows():
        met = {
            (each.faults[-1].who, each.faults[-1].write)
            for each in made
            if each.about.startswith(f"{workflow.about}: crash")
        }
        writes = {(who, write) for who, write in written(workflow) if (who, 1) in met}
        assert writes
        assert writes <= met, workflow.about


def test_random_scenarios_have_every_fault() -> None:
    made = {fault.do for seed in range(600) for fault in scenario(seed).faults}
    assert made == set(ACTIONS)


def test_a_fault_at_the_very_beginning_is_written() -> None:
    made = Scenario(GOOD["spec"], {"a": Ending(0.0)}, faults=(Fault("compact", at=0.0),))
    assert Scenario.load(made.dump()) == made


def test_what_is_left_out_is_as_simple_as_can_be() -> None:
    assert Scenario.load(orjson.dumps(GOOD)) == Scenario(GOOD["spec"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spec": None}, "spec: Required value: the spec of an Observatory"),
        ({"spec": {"tasks": []}}, "spec.tasks: "),
        ({"operators": 3}, "operators: Unsupported value: 3: 1 or 2"),
        ({"operators": "1"}, "operators: Invalid value: must be a whole number"),
        ({"seed": 1.5}, "seed: Invalid value: must be a whole number"),
        ({"leaderElection": 1}, "leaderElection: Invalid value: must be true or false"),
        ({"about": 1}, "about: Invalid value: must be text"),
        ({"endings": []}, None),
        ({"endings": {"a": {"exit": 1}}}, "endings.a.exit: unknown field; known are seconds, "),
        ({"endings": {"a": {"seconds": -1}}}, "endings.a.seconds: Invalid value: must be seconds"),
        ({"faults": {"do": "crash"}}, "endings must be an object, faults must be an array"),
        ({"faults": ["crash"]}, "faults[0]: Invalid value: must be an object"),
        ({"faults": [{**CRASH, "do": "burn"}]}, "faults[0].do: Unsupported value: burn: one of "),
        ({"faults": [{"do": "crash"}]}, "faults[0]: give either `at`, in seconds, or `write`"),
        ({"faults": [{**CRASH, "write": 1}]}, "faults[0]: give either `at`"),
        ({"faults": [{**CRASH, "who": "c"}]}, "faults[0].who: Unsupported value: 'c': a or b"),
        ({"faults": [{**CRASH, "who": "b"}]}, "operators: Invalid value: 1: a fault is about b"),
        ({"faults": [{"do": "crash", "at": 1}]}, "faults[0].who: Required value: which operator"),
        ({"faults": [{"do": "stall", "write": 1}]}, "faults[0].who: Required value: which operat"),
        ({"faults": [{"do": "stall", "write": 0}]}, "faults[0].write: Invalid value: must be a n"),
        ({"faults": [{**CRASH, "do": "hold"}]}, "faults[0].what: Unsupported value: '': one of po"),
        ({"faults": [{"do": "delete", "at": 1, "what": "x"}]}, "faults[0].what: Unsupported value"),
        ({"faults": [{"do": "evict-pod", "at": 1}]}, "faults[0].what: Required value: the name of"),
        ({"spec": {**GOOD["spec"], "schedule": "@daily"}}, "seconds: Required value: for how"),
        ({"seconds": -1}, "seconds: Invalid value: must be seconds from 0 to"),
        ({"faults": [{**CRASH, "when": "now"}]}, "faults[0].when: Unsupported value: 'now'"),
        ({"faults": [{**CRASH, "seconds": 1e9}]}, "faults[0].seconds: Invalid value: must be "),
        ({"faults": [{**CRASH, "at": True}]}, "faults[0].at: Invalid value: must be seconds"),
        ({"nonsense": 1}, "nonsense: unknown field; known are about, seed, operators, "),
    ],
)
def test_each_mistake_is_told_with_its_field(change: dict[str, Any], message: str | None) -> None:
    content = orjson.dumps({**GOOD, **change})
    if message is None:
        assert Scenario.load(orjson.dumps({**GOOD, "endings": {}})).endings == {}
        return
    with pytest.raises(ScenarioError) as caught:
        Scenario.load(content)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("do", "value"),
    [
        ("refuse", 200), ("refuse", None), ("refuse", "500"), ("refuse", True), ("rewind", 0),
        ("quota", -1), ("quota", "1"), ("cut", "off"), ("cut", None), ("deny", 1), ("edit", []),
        ("deprovision", None),
        ("skew", 1e12), ("skew", -1e300), ("skew", True),
    ],
)  # fmt: skip
def test_a_value_that_an_action_cannot_take_is_refused(do: str, value: object) -> None:
    wire = {**GOOD, "faults": [{**CRASH, "do": do, "what": "pods", "value": value}]}
    with pytest.raises(ScenarioError, match=rf"faults\[0\]\.value: Invalid value: {do} needs"):
        Scenario.load(orjson.dumps(wire))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"1", b"null"])
def test_what_is_no_scenario_at_all_is_refused(content: bytes) -> None:
    with pytest.raises(ScenarioError):
        Scenario.load(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.integers(0, 10**6), st.data())
def test_no_change_of_a_file_is_more_than_a_scenario_error(seed: int, data: st.DataObject) -> None:
    wire = orjson.loads(scenario(seed).dump())
    at: Any = wire
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):
            at = at[key]
            continue
        at[key] = data.draw(JSON)
        break
    try:
        content = orjson.dumps(wire)
    except TypeError:  # an integer that JSON libraries do not write
        return
    with suppress(ScenarioError):
        read = Scenario.load(content)
        assert Scenario.load(read.dump()) == read
