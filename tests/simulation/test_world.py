"""Whole histories: the corpus, determinism, and that every fault does what it says."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from observatory.api.names import OBSERVATORIES
from observatory.kube.errors import Conflict
from observatory.simulation.acts import KEY
from observatory.simulation.apiserver import Request
from observatory.simulation.line import Line
from observatory.simulation.scenario import Ending, Fault, Scenario
from observatory.simulation.wire import Wire
from observatory.simulation.world import Outcome, _World, play
from tests.simulation.generate import scenario
from tests.simulation.systematic import workflows

HISTORIES = sorted((Path(__file__).parents[1] / "histories").glob("*.json"))
CHAIN = Scenario(
    {"tasks": [{"name": "a", "image": "i"}, {"name": "b", "image": "i", "dependencies": ["a"]}]}
)


def story(made: Scenario) -> tuple[Outcome, list[str]]:
    told: list[str] = []
    outcome = play(made, lambda seconds, who, what: told.append(f"{seconds:.3f} {who}: {what}"))
    return outcome, told


def with_faults(*faults: Fault, **changes: Any) -> Scenario:  # noqa: ANN401
    return replace(CHAIN, faults=faults, **changes)


@pytest.mark.parametrize("file", HISTORIES, ids=lambda file: file.stem)
def test_what_was_found_once_stays_mended(file: Path) -> None:
    assert play(Scenario.load(file.read_bytes())).violations == []


@pytest.mark.parametrize("made", list(workflows()), ids=lambda made: made.about)
def test_without_a_fault_every_workflow_comes_to_its_end(made: Scenario) -> None:
    assert play(made).violations == []


@pytest.mark.parametrize("seed", range(0, 60, 7))
def test_the_same_scenario_gives_the_same_history(seed: int) -> None:
    made = scenario(seed)
    assert story(made) == story(Scenario.load(made.dump()))


def test_another_seed_gives_other_latencies() -> None:
    assert story(CHAIN) != story(replace(CHAIN, seed=1))


def test_telling_changes_nothing() -> None:
    made = scenario(11)
    assert play(made) == story(made)[0]


def test_nothing_keeps_a_history_alive_that_has_ended() -> None:
    losses = (Fault("lose", "a", write=write, when="after") for write in (2, 5))
    cuts = (Fault("cut", "a", at=at / 4, value=how) for at, how in enumerate(["reset", "gone"]))
    world = _World(with_faults(*losses, *cuts), None)
    assert world.play().reached == 4
    left = weakref.ref(world)
    del world
    gc.collect()
    assert left() is None


WHAT_THEY_DO = [
    (Fault("crash", "a", write=3, when="before", seconds=2), "a: is killed"),
    (Fault("stop", "a", at=0.5, seconds=1), "a: is told to stop"),
    (Fault("skew", "a", at=0.1, value=-86_400), "status: Succeeded 2/2"),
    (Fault("refuse", "a", at=0.0, seconds=5, value=503), "fault: refuse a 503 for 5 s"),
    (Fault("strip-pod", at=0.5, what="a"), "task a Running -> Failed: PodLost"),
    (Fault("evict-pod", at=0.5, what="a"), "task a Running -> Pending: Backoff"),
    (Fault("force-delete-pod", at=0.5, what="a"), "task a Running -> Failed"),
    (Fault("delete-pod", at=0.5, what="a"), "task a Running -> Failed"),
    (Fault("edit", at=0.5, value={"tasks": [{"name": "z", "image": "i"}]}), "run 2 of revision"),
    (Fault("delete", at=0.5), "Observatory night is gone"),
    (Fault("delete", at=0.5, what="held"), "task b Pending -> Skipped: Cancelled"),
    (Fault("squat", at=0.5, what="b"), "(409 AlreadyExists)"),
    (Fault("recreate", at=0.5), "Observatory night created"),
    (Fault("touch", "a", write=3, when="before", value=1), "server: refuses write 3"),
    (Fault("quota", at=0.0, value=0), "exceeded quota"),
    (Fault("deny", at=0.0, value=True), "denied request"),
    (Fault("flip-pod", at=1.2, what="a"), "Succeeded -> Failed"),
]


@pytest.mark.parametrize(("fault", "line"), WHAT_THEY_DO, ids=lambda each: getattr(each, "do", ""))
def test_a_fault_does_what_it_says_and_breaks_no_promise(fault: Fault, line: str) -> None:
    outcome, told = story(with_faults(fault))
    assert outcome.violations == []
    assert outcome.reached == 1
    assert line in "\n".join(told)


@pytest.mark.parametrize("operators", [1, 2])
def test_a_deprovisioned_requester_gets_no_run_and_each_fire_time_says_so(operators: int) -> None:
    outcome, told = story(
        Scenario(
            {"schedule": "*/1 * * * *", "tasks": [{"name": "a", "image": "i"}]},
            operators=operators,
            faults=(
                Fault("deprovision", at=70.0, value=True),
                Fault("deprovision", at=190.0, value=False),
                *([Fault("crash", "b", at=121.0, seconds=1.0)] if operators > 1 else []),
            ),
            seconds=310.0,
        )
    )
    assert outcome.violations == []
    made = [line for line in told if "Observatory night-" in line and line.endswith("created")]
    assert [line.partition("night-20260101")[2][:4] for line in made] == ["0001", "0004", "0005"]
    assert "No run for 2026-01-01T00:02Z to 2026-01-01T00:03Z: alice asked" in "\n".join(told)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_request_is_sent_again_and_a_lost_answer_makes_no_second_pod(when: str) -> None:
    outcome, told = story(with_faults(Fault("lose", "a", write=2, when=when)))
    assert outcome.violations == []
    asked = [line for line in told if "create pods night-a-" in line]
    made = [line for line in told if "(a, attempt 1) created" in line]
    assert len(made) == 1
    assert (len(asked) > 1) is (when == "before")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("pause", "a", at=0.5, seconds=60),
        Fault("hold", "a", at=0.5, seconds=60, what="pods"),
        Fault("stall", at=0.5, seconds=60),
        Fault("partition", "a", at=0.5, seconds=60, what="all"),
        Fault("delay", "a", write=3, when="after", seconds=60),
        Fault("delay", "a", write=3, when="before", seconds=60),
    ],
    ids=lambda fault: f"{fault.do} {fault.when}",
)
def test_what_stands_still_goes_on_when_it_may(fault: Fault) -> None:
    outcome, _ = story(with_faults(fault))
    assert outcome.violations == []
    assert outcome.seconds > 60


@pytest.mark.parametrize("how", ["end", "reset", "expired", "gone", "empty"])
def test_a_watch_that_ends_in_any_way_is_begun_again(how: str) -> None:
    cuts = tuple(Fault("cut", "a", at=at / 4, value=how) for at in range(12))
    outcome, _ = story(with_faults(*cuts, Fault("compact", at=0.6)))
    assert (outcome.violations, outcome.reached) == ([], 13)


def test_a_container_may_take_longer_than_anything_is_waited_for() -> None:
    assert play(replace(CHAIN, endings={"a": Ending(seconds=900)})).violations == []


@pytest.mark.parametrize("edit", [{"tasks": [1]}, {"tasks": None}, {"schedule": "@daily"}])
def test_an_edit_into_what_cannot_run_breaks_no_promise(edit: dict[str, object]) -> None:
    for at in (0.0, 0.5, 5.0):
        outcome = play(with_faults(Fault("edit", at=at, value=edit)))
        assert (outcome.violations, outcome.reached) == ([], 1)


@pytest.mark.parametrize("seconds", [0.0, 5.0])
def test_a_listing_of_the_past_is_believed_and_harms_nothing(seconds: float) -> None:
    crash = Fault("crash", "a", at=1.5, seconds=0.2)
    rewind = Fault("rewind", "a", at=1.0, what="observatories", value=9, seconds=seconds)
    for faults, refused in (((crash,), False), ((rewind, crash), seconds > 0)):
        outcome, told = story(with_faults(*faults))
        assert outcome.violations == []
        stale = [line for line in told if "the object has been modified" in line]
        assert bool(stale) is refused


def test_a_watch_that_goes_on_is_no_listing_of_the_past() -> None:
    rewind = Fault("rewind", "a", at=0.4, what="pods", value=9)
    world = _World(with_faults(rewind, Fault("cut", "a", at=0.5, value="reset")), None)
    world._loop.call_later(1.0, lambda: lines.append(world._processes["a"].wire.line))
    lines: list[Line] = []
    assert world.play().violations == []
    assert lines[0].rewinds == {"pods": (9, 0.0)}


def test_a_partition_takes_answers_and_watches_too_and_outlives_the_process() -> None:
    partition = Fault("partition", "a", write=2, when="after", what="all", seconds=30)
    crash = Fault("crash", "a", at=5.0, seconds=0.2)
    outcome, told = story(with_faults(partition, crash))
    assert outcome.violations == []
    recorded = [line for line in told if "task a Pending -> Running" in line]
    made = [line for line in told if "(a, attempt 1) created" in line]
    assert [float(line.split()[0]) > 30 for line in made + recorded] == [False, True]


def test_a_leader_that_stands_still_is_followed_by_the_other_one() -> None:
    lost = []
    for name in ("a", "b"):
        pause = Fault("pause", name, at=0.4, seconds=30)
        outcome, told = story(with_faults(pause, operators=2, leader_election=True))
        assert outcome.violations == []
        lost += [name for line in told if f" {name}: lost the lease" in line]
        other = "b" if name == "a" else "a"
        assert any(f" {other}: sends write" in line for line in told)
    assert len(lost) == 1, "one of them led, and so one of them lost the lease"


def test_what_does_not_end_as_it_must_is_found() -> None:
    """The oracle is asked about another ending than the containers had."""
    from observatory.simulation.acts import Acts  # noqa: PLC0415
    from observatory.simulation.apiserver import ApiServer  # noqa: PLC0415
    from observatory.simulation.oracle import wrong_end  # noqa: PLC0415
    from observatory.simulation.process import EPOCH  # noqa: PLC0415

    acts = Acts(ApiServer(lambda: EPOCH), CHAIN.spec)
    rows = [{"name": "a", "phase": "Succeeded"}, {"name": "b", "phase": "Succeeded"}]
    status = {"phase": "Succeeded", "completionTime": "t", "tasks": rows}
    stored = {"metadata": {"name": "night"}, "spec": CHAIN.spec, "status": status}

    def found(made: Scenario = CHAIN, **changes: object) -> list[str]:
        obj = {**stored, "status": {**status, **changes}}
        return [text[:2] for text in wrong_end(made, obj, [], acts)]

    assert found() == []
    assert found(replace(CHAIN, endings={"b": Ending(exit_code=1)})) == ["I6"]
    assert found(phase="Failed") == ["I6"]
    assert found(tasks=rows[:1]) == ["I6"]
    skipped = [{"name": "a", "phase": "Failed"}, {"name": "b", "phase": "Succeeded"}]
    assert found(tasks=skipped, phase="Failed") == ["I6", "I6"]
    assert wrong_end(CHAIN, {**stored, "status": {}}, [], acts)[0].startswith("I5")
    assert wrong_end(CHAIN, None, [], acts)[0].startswith("I5")
    acts.deleted = True
    assert wrong_end(CHAIN, {**stored, "status": {"run": 1}}, [], acts)[0].startswith("I5")
    assert wrong_end(CHAIN, {**stored, "status": {}}, [], acts) == []
    pod = {"metadata": {"name": "p"}}
    assert wrong_end(CHAIN, None, [pod], acts)[0].startswith("I8")


def test_a_found_history_is_shortened_to_what_matters() -> None:
    from tests.simulation.__main__ import shortened  # noqa: PLC0415

    made = with_faults(Fault("compact", at=1.0), Fault("delete", at=0.5), Fault("stall", at=2.0))
    short = shortened(made, lambda each: any(fault.do == "delete" for fault in each.faults))
    assert [fault.do for fault in short.faults] == ["delete"]
    assert [task["name"] for task in short.spec["tasks"]] == ["a"]


@pytest.mark.parametrize(("disturbed", "found"), [(False, ["I14"]), (True, [])])
def test_a_write_that_is_refused_though_nothing_is_amiss_was_in_vain(
    *, disturbed: bool, found: list[str]
) -> None:
    world = _World(with_faults(Fault("touch", at=0.5)) if disturbed else CHAIN, None)
    world.served(cast("Wire", SimpleNamespace(name="a")), 0, Conflict(409, "Conflict", "stale"))
    assert [text[:3] for text in world.play().violations] == found


@pytest.mark.parametrize("how", ["a write", "a request in vain"])
def test_what_never_rests_is_found(how: str) -> None:
    world = _World(CHAIN, None)
    wire = cast("Wire", SimpleNamespace(name="a", dead=False))

    def again(number: int) -> None:
        if how == "a write":
            world._acts.do(Fault("touch", at=0.0, value=number))
        else:
            world.sent(wire, Request("patch", OBSERVATORIES, KEY), 0)
        world._loop.call_later(12, again, number + 1)

    world._loop.call_later(12, again, 0)
    assert [text[:3] for text in world.play().violations] == ["I13"]
