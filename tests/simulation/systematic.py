"""Every single fault at every single write, for a few workflows: nothing here is random."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from observatory.simulation.scenario import CUTS, Ending, Fault, Scenario
from observatory.simulation.world import play

MORE = 2
"""Writes that faults may add to those of the undisturbed workflow, and that are met too."""


def workflows() -> Iterator[Scenario]:
    """Small workflows, each with what makes it special, worked on in three ways."""
    chain = [_task("a"), _task("b", "a"), _task("c", "b")]
    diamond = [_task("a"), _task("b", "a"), _task("c", "a"), _task("d", "b", "c")]
    fan = [_task(f"f{number}") for number in range(4)]
    fails = {"b": Ending(exit_code=3)}
    slow = {"a": Ending(seconds=5.0)}
    edited = (Fault("edit", at=0.5, value={"tasks": [_task("z", image="i:2"), *chain]}),)
    removed = (Fault("delete", at=1.5),)
    cancelled = (Fault("delete", at=1.5, what="held"),)
    every_minute = {"schedule": "*/1 * * * *", "concurrencyPolicy": "Replace", "tasks": chain[:1]}
    long = {"a": Ending(seconds=70.0)}
    for about, made in (
        ("chain", Scenario({"tasks": chain})),
        ("diamond", Scenario({"tasks": diamond, "maxConcurrent": 2}, fails)),
        ("fan-out", Scenario({"tasks": fan, "maxConcurrent": 1})),
        ("edited in mid-run", Scenario({"tasks": chain}, slow, faults=edited)),
        ("deleted in mid-run", Scenario({"tasks": diamond}, slow, faults=removed)),
        ("cancelled in mid-run", Scenario({"tasks": diamond}, slow, faults=cancelled)),
    ):
        for operators, election in ((1, False), (2, False), (2, True)):
            how = ("one operator", "two operators", "leader election")[operators - 1 + election]
            yield replace(
                made, about=f"{about}, {how}", operators=operators, leader_election=election
            )
    replaced = Scenario(every_minute, long, seconds=125.0, operators=2)
    yield replace(replaced, about="a run that replaces another, two operators")


def single_faults() -> Iterator[Fault]:
    """One of each kind of fault of a process, a request or a watch; the write is to be named."""
    for when in ("before", "after"):
        yield Fault("crash", when=when, seconds=0.5)
        yield Fault("lose", when=when)
        yield Fault("pause", when=when, seconds=9.0)
    yield Fault("stop", seconds=0.5)
    yield Fault("partition", what="all", seconds=5.0)
    yield Fault("partition", what="leases", seconds=9.0)
    yield Fault("delay", when="before", seconds=8.0)
    yield Fault("refuse", value=500, seconds=0.5)
    yield Fault("refuse", value=429, seconds=2.0)
    yield Fault("touch", when="before", value=1)
    yield Fault("hold", what="pods", seconds=12.0)
    yield Fault("hold", what="observatories", seconds=12.0)
    for how in CUTS:
        yield Fault("cut", value=how)


def scenarios() -> Iterator[Scenario]:
    """Every workflow undisturbed, and with every fault at every write."""
    for index, workflow in enumerate(workflows()):
        yield workflow
        last = workflow.spec["tasks"][-1]["name"]
        for who, writes in _written(index).items():
            for write in range(1, writes + MORE + 1):
                for fault in (*single_faults(), Fault("squat", what=last)):
                    met = replace(fault, who=who, write=write)
                    yield replace(
                        workflow,
                        faults=(*workflow.faults, met),
                        seed=0 if workflow.leader_election else write,  # it decides who leads
                        about=f"{workflow.about}: {met.do} {met.when} write {write} of {who}",
                    )


@cache
def _written(index: int) -> dict[str, int]:
    """How often the operators of a workflow write, undisturbed, whose faults matter.

    Without leader election one is as good as the other; with it, only the leader writes.
    """
    writes: Counter[str] = Counter()
    workflow = list(workflows())[index]
    play(workflow, lambda _, who, what: writes.update([who] if "sends write" in what else ()))
    return dict(writes) if workflow.leader_election else {"a": writes["a"]}


def _task(name: str, *needs: str, image: str = "i:1") -> dict[str, object]:
    task: dict[str, object] = {"name": name, "image": image}
    return task | ({"dependencies": list(needs)} if needs else {})
