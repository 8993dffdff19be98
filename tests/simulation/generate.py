"""Random scenarios: everything follows from the seed."""

from __future__ import annotations

import random  # noqa: TID251 -- seeded: a scenario follows from its seed
from collections.abc import Callable
from dataclasses import replace

from observatory.api.types import JsonObject
from observatory.simulation.scenario import CUTS, Ending, Fault, Scenario
from tests.simulation.schedules import scheduled

SMALL, LARGE = 2, 6
"""Tasks: two thirds of the workflows are small."""
WRITES = 8
"""Faults meet the first so many writes of an operator, for each task and for the run itself."""
SECONDS = 12.0
"""Or the first so many seconds."""
LOSSES = ("lose", "delay")
STATUSES = (429, 500, 502, 503, 504, 401, 403, 409)
_SCHEDULED = 7
RULES = ("AllDone", "AllFailed", "AnySucceeded", "AnyFailed", "NoneFailed")
RESOURCES = ("pods", "observatories")


def scenario(seed: int) -> Scenario:
    """The scenario of a seed; each eighth has a schedule."""
    if seed % 8 == _SCHEDULED:
        return scheduled(seed)
    rng = random.Random(seed)  # noqa: S311
    names = [f"t{number}" for number in range(_size(rng))]
    spec: JsonObject = {"tasks": tasks(names, rng)}
    if rng.random() < 0.3:
        spec["maxConcurrent"] = rng.randint(1, 2)
    last = _failures(spec, rng) if rng.random() < 0.6 else []
    operators = rng.choice([1, 2, 2])
    made = Scenario(
        spec=spec,
        endings={name: _ending(rng) for name in (*names, *last)},
        operators=operators,
        leader_election=operators == 2 and rng.random() < 0.5,
        seed=seed,
        about=f"random, seed {seed}",
    )
    who = ["a", "b"][:operators]
    faults = tuple(_fault(rng, who, names) for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 5])))
    return replace(made, faults=faults)


def _failures(spec: JsonObject, rng: random.Random) -> list[str]:
    """Add to the spec what it says about failures; the names of the tasks of `finally`."""
    if rng.random() < 0.6:
        backoff = {"initialSeconds": rng.choice([0, 1, 3]), "maxSeconds": 5}
        spec["retry"] = {"limit": rng.randint(0, 2), "backoff": backoff}
        spec["retry"]["disruptionLimit"] = rng.choice([0, 1, 20])
    for task in spec["tasks"]:
        _branch(task, rng)
    if rng.random() < 0.2:
        spec["failurePolicy"] = rng.choice(["StopScheduling", "CancelRunning"])
    if rng.random() < 0.1:
        spec["activeDeadlineSeconds"] = rng.randint(1, 20)
    if rng.random() < 0.3:
        spec["podRetention"] = rng.choice(["All", "Failed", "None"])
    if rng.random() < 0.5:
        return []
    names = ["f0", "f1"][: rng.randint(1, 2)]
    spec["finally"] = tasks(names, rng)
    if rng.random() < 0.3:
        spec["finallyDeadlineSeconds"] = rng.randint(1, 20)
    return names


def _branch(task: JsonObject, rng: random.Random) -> None:
    """Add to a task what it says about failures."""
    if "dependencies" in task and rng.random() < 0.4:
        task["triggerRule"] = rng.choice(RULES)
    if rng.random() < 0.2:
        task["onFailure"] = "Ignore"
    if rng.random() < 0.1:
        task["activeDeadlineSeconds"] = rng.randint(1, 12)
    elif rng.random() < 0.1:
        task["startingDeadlineSeconds"] = rng.randint(1, 60)


def _size(rng: random.Random) -> int:
    return rng.randint(1, SMALL) if rng.random() < 2 / 3 else rng.randint(SMALL + 1, LARGE)


def tasks(names: list[str], rng: random.Random, image: str = "i:1") -> list[JsonObject]:
    """Tasks with up to two dependencies each on earlier ones."""
    made: list[JsonObject] = []
    for index, name in enumerate(names):
        needs = rng.sample(names[:index], rng.randint(0, min(index, 2)))
        made.append({"name": name, "image": image} | ({"dependencies": needs} if needs else {}))
    return made


def _ending(rng: random.Random) -> Ending:
    code = rng.choice([0] * 7 + [1, 3, 137])
    return Ending(
        seconds=rng.choice([0.0, 0.1, 1.0, 3.0, 15.0]),
        exit_code=code,
        reason="OOMKilled" if code == 137 else None,
        fails=rng.choice([None, None, 1, 2]) if code else None,
    )


def _fault(rng: random.Random, who: list[str], names: list[str]) -> Fault:
    make = rng.choices([_process, _request, _watch, _person], weights=[4, 3, 3, 4])[0]
    fault = make(rng, names)
    fault = replace(fault, who=rng.choice(who))
    if fault.do == "squat":
        return replace(fault, at=round(rng.uniform(0, SECONDS / 4), 3))
    if fault.do in LOSSES or rng.random() < 0.6:
        when = rng.choice(["before", "after"])
        return replace(fault, write=rng.randint(1, WRITES * (1 + len(names))), when=when)
    return replace(fault, at=round(rng.uniform(0, SECONDS), 3))


def _process(rng: random.Random, _: list[str]) -> Fault:
    do = rng.choice(
        ["crash", "crash", "crash", "pause", "pause", "stop", "stall", "partition", "skew"]
    )
    if do == "skew":
        return Fault(do, value=rng.choice([-86_400, -300, 300, 86_400]))
    what = rng.choice(["leases", "others", "all"]) if do == "partition" else ""
    return Fault(do, what=what, seconds=rng.choice([0.1, 1.0, 4.0, 9.0, 30.0]))


def _request(rng: random.Random, _: list[str]) -> Fault:
    do = rng.choice(["lose", "lose", "lose", "delay", "refuse"])
    if do == "refuse":
        return Fault(do, value=rng.choice(STATUSES), seconds=rng.choice([0.01, 0.5, 5.0]))
    return Fault(do, seconds=rng.choice([0.01, 0.2, 2.0, 20.0]) if do == "delay" else 0.0)


def _watch(rng: random.Random, _: list[str]) -> Fault:
    do = rng.choice(["cut", "cut", "hold", "hold", "rewind", "compact"])
    match do:
        case "cut":
            return Fault(do, value=rng.choice(CUTS))
        case "hold":
            return Fault(do, what=rng.choice(RESOURCES), seconds=rng.choice([0.5, 3.0, 12.0, 40.0]))
        case "rewind":
            stale = rng.choice([0.0, 0.5, 3.0, 12.0])
            return Fault(do, what=rng.choice(RESOURCES), value=rng.randint(1, 12), seconds=stale)
        case _:
            return Fault(do)


def _person(rng: random.Random, names: list[str]) -> Fault:
    acts: list[Callable[[], Fault]] = [
        lambda: Fault(
            rng.choice(["delete-pod", "force-delete-pod", "strip-pod", "evict-pod", "flip-pod"]),
            what=rng.choice(names),
        ),
        lambda: Fault("edit", value={"suspend": rng.random() < 0.5}),
        lambda: Fault("edit", value={"maxConcurrent": rng.randint(1, 3)}),
        lambda: Fault("edit", value={"tasks": tasks(names, rng, f"i:{rng.randint(1, 2)}")}),
        lambda: Fault("touch", value=rng.randint(0, 99)),
        lambda: Fault("ask", what=rng.choice(["retry", "stop", "terminate"])),
        lambda: Fault(rng.choice(["delete", "recreate"]), what=rng.choice(["", "held"])),
        lambda: Fault("quota", value=rng.choice([0, 1, None])),
        lambda: Fault("deny", value=rng.random() < 0.7),
        lambda: Fault("squat", what=names[-1]),  # which is the most likely to have to wait
    ]
    return rng.choices(acts, weights=[6, 1, 1, 3, 2, 4, 3, 1, 1, 2])[0]()
