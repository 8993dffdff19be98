"""The workflows that cases are made of, each with what happens to it in a life without faults."""

from __future__ import annotations

from typing import Any

from tests.faults.case import Case, Expect
from tests.integration.workflows import task

JsonObject = dict[str, Any]
_SLOW = "700ms"
"""Long enough for somebody to step in while the task runs."""

CHAIN = [task("a"), task("b", "a"), task("c", "b")]
DIAMOND = [
    task("a"),
    task("b", "a"),
    task("c", "a", exit_code=3),
    task("d", "a"),
    task("e", "b", "d"),
    task("f", "c", "e"),
]
FAN_OUT = [task("a"), *(task(f"b{number}", "a") for number in range(8))]
FAN_OUT.append(task("z", *(f"b{number}" for number in range(8))))
SLOW_CHAIN = [task("a"), task("b", "a", duration=_SLOW), task("c", "b")]
SLOWER_CHAIN = [*SLOW_CHAIN[:2], task("c", "b", duration="3s")]
EDITED = [task("a"), task("d", "a"), task("e", "a", exit_code=1)]
PAIR = [task("a", duration=_SLOW), task("b"), task("c", "a", "b")]
_MID_RUN = {"pod": "b", "is": "running"}


def chain() -> Case:
    """Three tasks in a row."""
    return Case("chain", {"tasks": CHAIN})


def diamond() -> Case:
    """Six tasks, two at once, of which one fails and one is skipped."""
    return Case("diamond", {"tasks": DIAMOND, "maxConcurrent": 2})


def fan_out() -> Case:
    """One, eight at once, one."""
    return Case("fan-out", {"tasks": FAN_OUT, "maxConcurrent": 5})


def deleted() -> Case:
    """A chain that is deleted while its second task runs."""
    steps = ({"when": _MID_RUN, "do": {"delete": "Background"}},)
    return Case("delete", {"tasks": SLOW_CHAIN}, steps=steps, expect=Expect(gone=True))


def edited() -> Case:
    """A chain whose tasks are edited while its second task runs: two runs."""
    steps = ({"when": _MID_RUN, "do": {"merge": {"spec": {"tasks": EDITED}}}},)
    return Case("edit", {"tasks": SLOW_CHAIN}, steps=steps, expect=Expect(run=2))


def suspended() -> Case:
    """A chain that is suspended while its second task runs, and resumed when that has ended."""
    steps = (
        {"when": _MID_RUN, "do": {"merge": {"spec": {"suspend": True}}}},
        {"when": {"task": "b", "phase": "Succeeded"}, "do": {"nothing": True}},
        {"when": {"after": 0.5}, "do": {"merge": {"spec": {"suspend": False}}}},
    )
    return Case("suspend", {"tasks": SLOW_CHAIN}, steps=steps)


def limited() -> Case:
    """A fan-out whose limit is lowered and raised while it runs."""
    steps = (
        {"when": {"pod": "b0", "is": "released"}, "do": {"merge": {"spec": {"maxConcurrent": 1}}}},
        {"when": {"pod": "b1", "is": "let-go"}, "do": {"merge": {"spec": {"maxConcurrent": 4}}}},
    )
    return Case("limit", {"tasks": FAN_OUT, "maxConcurrent": 2}, steps=steps)


def scheduled() -> Case:
    """A schedule that is asked for a run, and for another one while that runs: it has to wait."""
    spec = {"schedule": "0 0 29 2 *", "concurrencyPolicy": "Queue", "tasks": [PAIR[0]]}
    ask = "workflow.seventh-horizon.io/run-now"
    steps = tuple(
        {"when": when, "do": {"merge": {"metadata": {"annotations": {ask: nonce}}}}}
        for nonce, when in (("n1", {"known": True}), ("n2", {"begun": 1}))
    )
    return Case("runs", spec, steps=steps, expect=Expect(runs=2))


WORKLOADS = {
    case.name: case
    for case in (
        *(chain(), diamond(), fan_out(), deleted(), edited(), suspended(), limited()),
        scheduled(),
    )
}
