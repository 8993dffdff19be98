"""Random scenarios of Observatories with a schedule: everything follows from the seed."""

from __future__ import annotations

import random  # noqa: TID251 -- seeded: a scenario follows from its seed
from dataclasses import replace

from observatory.api.types import JsonObject
from observatory.simulation.scenario import CUTS, Ending, Fault, Scenario

POLICIES = ("Allow", "Forbid", "Replace", "Queue")
STATUSES = (429, 500, 503, 409)
WRITES = 60
"""Faults meet the first so many writes of an operator, or come at any moment."""


def scheduled(seed: int) -> Scenario:
    """The scenario of a seed."""
    rng = random.Random(seed)  # noqa: S311
    spec: JsonObject = {
        "schedule": rng.choice(["*/1 * * * *", "*/1 * * * *", "*/2 * * * *"]),
        "tasks": [{"name": "t0", "image": "i:1"}],
        "concurrencyPolicy": rng.choice(POLICIES),
    }
    policy = rng.choice(["None", "Latest", "Latest", "All"])
    spec["catchUp"] = {"policy": policy} | ({"limit": rng.randint(1, 5)} if policy == "All" else {})
    if rng.random() < 0.2:
        spec["startingDeadlineSeconds"] = rng.choice([10, 45, 100])
    if rng.random() < 0.2:
        spec["jitterSeconds"] = 40
    if rng.random() < 0.2:
        spec["ttlSecondsAfterFinished"] = rng.choice([0, 30])
    if rng.random() < 0.2:
        spec["finally"] = [{"name": "f0", "image": "i:1"}]
    if rng.random() < 0.2:
        spec["successfulRunsHistoryLimit"] = rng.randint(0, 1)
    operators = rng.choice([1, 2, 2])
    seconds = float(rng.choice([150, 250, 400]))
    code = rng.choice([0, 0, 0, 1])
    made = Scenario(
        spec=spec,
        endings={"t0": Ending(rng.choice([0.1, 1.0, 30.0, 70.0, 200.0]), code), "f0": Ending(5.0)},
        operators=operators,
        leader_election=operators == 2 and rng.random() < 0.3,
        seed=seed,
        seconds=seconds,
        about=f"random schedule, seed {seed}",
    )
    who = ["a", "b"][:operators]
    faults = tuple(_fault(rng, who, seconds) for _ in range(rng.choice([0, 1, 2, 2, 3, 5])))
    if rng.random() < 0.3:  # somebody is recorded, and asked about, whether denied or not
        for denied in (True, False, True)[: rng.randint(1, 3)]:
            at = round(rng.uniform(0, seconds), 3)
            faults += (Fault("deprovision", at=at, value=denied),)
    return replace(made, faults=faults)


def _fault(rng: random.Random, who: list[str], seconds: float) -> Fault:
    make = rng.choices([_process, _request, _watch, _person], weights=[4, 3, 2, 4])[0]
    fault = replace(make(rng), who=rng.choice(who))
    if fault.do in ("lose", "delay") or rng.random() < 0.4:
        when = rng.choice(["before", "after"])
        return replace(fault, write=rng.randint(1, WRITES), when=when)
    return replace(fault, at=round(rng.uniform(0, seconds), 3))


def _process(rng: random.Random) -> Fault:
    do = rng.choice(["crash", "crash", "crash", "pause", "stop", "partition", "skew", "skew"])
    if do == "skew":
        return Fault(do, value=rng.choice([-86_400, -300, -61, 61, 300, 86_400]))
    what = rng.choice(["leases", "others", "all"]) if do == "partition" else ""
    return Fault(do, what=what, seconds=rng.choice([0.1, 1.0, 9.0, 65.0, 130.0]))


def _request(rng: random.Random) -> Fault:
    do = rng.choice(["lose", "lose", "lose", "delay", "refuse"])
    if do == "refuse":
        return Fault(do, value=rng.choice(STATUSES), seconds=rng.choice([0.01, 0.5, 5.0]))
    return Fault(do, seconds=rng.choice([0.01, 0.2, 2.0, 20.0]) if do == "delay" else 0.0)


def _watch(rng: random.Random) -> Fault:
    do = rng.choice(["cut", "hold", "hold", "rewind", "compact"])
    what = "observatories"
    match do:
        case "cut":
            return Fault(do, value=rng.choice(CUTS))
        case "hold":
            return Fault(do, what=what, seconds=rng.choice([0.5, 3.0, 12.0, 70.0]))
        case "rewind":
            stale = rng.choice([0.0, 3.0, 12.0])
            return Fault(do, what=what, value=rng.randint(1, 12), seconds=stale)
        case _:
            return Fault(do)


def _person(rng: random.Random) -> Fault:
    acts = [
        Fault("edit", value={"suspend": rng.random() < 0.5}),
        Fault("ask", what=rng.choice(["run-now", "run-now", "stop", "terminate"])),
        Fault("ask-run", what=rng.choice(["retry", "retry", "stop", "terminate"])),
        Fault("delete-run"),
        Fault(rng.choice(["delete", "recreate"]), what=rng.choice(["", "held"])),
        Fault("delete-pod", what="t0"),
        Fault("quota", value=rng.choice([0, 1])),
    ]
    return rng.choices(acts, weights=[2, 4, 4, 3, 1, 1, 1])[0]
