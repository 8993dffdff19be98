"""The cases: workloads times faults, from tables.

F1, F2    a crash before and after a write     F13       error answers, all or some
F3, F4    a lost answer, a lost request        F14       slow and broken answers
F5        two faults at once                   F15       a leader cut off, in part or whole
F6        a watch that stands still            F16       a paused process
F7        a list of the past                   F17       a lease that others write
F8        events that are never seen           F18       two operators that both work
F9        a watch that ends in every way       F19       the control plane itself
F10       an expired watch                     F22 - F25 Pods deleted, lost, evicted, changed
F11       a conflict                           F26       Observatories and namespaces changed
F12       a busy server                        F27       statuses of somebody else
F29       an end that was asked for            F28       quotas, policies, names taken
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tests.faults.actors import others
from tests.faults.case import Case, Expect
from tests.faults.plan import Fault, On
from tests.faults.workloads import FAN_OUT, SLOW_CHAIN, WORKLOADS

JsonObject = dict[str, Any]
LEASE_TWICE = 6.0
"""Twice the lease of the cases."""
LONG_REST = 12.0
"""Longer than any back-off or wait of the operator's that a run at rest could still have."""
_STATUS = On(verb="update", resource="observatories")
_STREAMS = ("pods", "observatories")
_CUTS = ("cut", "fin", "cut_reset", "cut_line", "error410")


def named(case: Case, *words: object, **changes: Any) -> Case:  # noqa: ANN401 -- any field
    """A case with another name, and whatever else."""
    name = "-".join((case.name, *(str(word).replace("_", "-") for word in words)))
    return replace(case, name=name, **changes)


def _with(
    case: Case,
    *faults: Fault,
    label: Sequence[object],
    **changes: Any,  # noqa: ANN401 -- any field of a case
) -> Case:
    return named(case, *label, faults=faults, **changes)


def at_each_write(case: Case, writes: int, step: int = 1) -> Iterator[Case]:
    """F1 to F4: a crash before and after each write, its answer lost, the write lost."""
    for k in range(1, writes + 1, step):
        on = On(write=k)
        yield _with(case, Fault(on, "kill"), label=("F1-kill-before", k))
        yield _with(case, Fault(on, "kill", "after"), label=("F2-kill-after", k))
        yield _with(case, Fault(on, "drop_answer", "after"), label=("F3-answer-lost", k))
        yield _with(case, Fault(on, "drop_request"), label=("F4-request-lost", k))


def pairs(cases: Mapping[str, Case], writes: Mapping[str, int], seed: int) -> Iterator[Case]:
    """F5: two faults in one run, drawn from a seed, without end."""
    rng = random.Random(seed)  # noqa: S311 -- reproducible
    names = sorted(cases)
    kinds = (
        lambda k: Fault(On(write=k), "kill"),
        lambda k: Fault(On(write=k), "kill", "after"),
        lambda k: Fault(On(write=k), "drop_answer", "after"),
        lambda k: Fault(On(write=k), "drop_request"),
        lambda k: Fault(On(write=k), "reset", "after"),
        lambda k: Fault(On(write=k), "truncate", "after"),
        lambda k: Fault(On(write=k), "delay", "after", seconds=1.5),
        lambda k: Fault(On(write=k), "status", status=rng.choice([429, 500, 503, 504])),
        lambda k: Fault(On(write=k), "hold", watch="pods", seconds=rng.choice([0.3, 1.5])),
        lambda k: Fault(On(write=k), "hold", watch="observatories", seconds=rng.choice([0.3, 1.5])),
        lambda k: Fault(On(write=k), rng.choice(_CUTS), watch=rng.choice(["", *_STREAMS])),
        lambda k: Fault(On(verb="update", nth=max(1, k // 3)), "touch"),
        lambda k: Fault(_rewatch("pods", nth=2, initial=True), "rewind", back=k),
    )
    for number in range(10**9):
        case = cases[rng.choice(names)]
        limit = writes[case.name]
        drawn = [rng.choice(kinds)(rng.randint(1, limit)) for _ in range(2)]
        operators = 2 if rng.random() < 0.2 else 1
        yield _with(case, *drawn, label=(f"F5-seed-{seed}", number), operators=operators)


def _rewatch(resource: str, *, nth: int = 1, initial: bool | None = False) -> On:
    return On(verb="watch", resource=resource, nth=nth, initial=initial)


def streams(case: Case, ks: Sequence[int]) -> Iterator[Case]:
    """F6 to F10: watches that stand still, lag, end in every way, or have expired."""
    for k in ks:
        for watch in (*_STREAMS, ""):
            for seconds in (0.4, 3.0):
                fault = Fault(On(write=k), "hold", watch=watch, seconds=seconds)
                label = ("F6-hold", watch or "both", k, f"{seconds:g}s")
                yield _with(case, fault, label=label)
            until_idle = Fault(On(write=k), "hold", watch=watch)
            yield _with(case, until_idle, label=("F6-hold", watch or "both", k, "idle"), heal=5.0)
        for resource in _STREAMS:
            for back in (2, 5):
                crash = Fault(On(write=k), "kill")
                rewind = Fault(_rewatch(resource, nth=2, initial=True), "rewind", back=back)
                stale = Fault(_rewatch(resource, nth=2, initial=True), "hold", lines=3, seconds=2)
                label = ("F7-rewind", resource, k, f"back-{back}")
                yield _with(case, crash, rewind, label=label)
                yield _with(case, crash, rewind, stale, label=(*label, "stale"))
            hold = Fault(On(write=k), "hold", watch=resource, seconds=1.0)
            expire = Fault(On(write=k + 1), "error410", watch=resource)
            yield _with(case, hold, expire, label=("F8-skipped", resource, k))
        for how in _CUTS:
            for watch in _STREAMS:
                fault = Fault(On(write=k), how, watch=watch)
                yield _with(case, fault, label=("F9", how, watch, k))
    yield from _stream_ends(case)


def _stream_ends(case: Case) -> Iterator[Case]:
    for resource in _STREAMS:
        for lines in (1, 2, 3):
            for how in _CUTS:
                on = On(verb="watch", resource=resource)
                fault = Fault(on, how, lines=lines, times=5)
                yield _with(case, fault, label=("F9-every", lines, how, resource))
        cut = Fault(On(write=9), "cut", watch=resource)
        gone = Fault(_rewatch(resource), "status", status=410, times=2)
        yield _with(case, cut, gone, label=("F10-http-410", resource))
        late = Fault(On(write=4), "error410", watch=resource, seconds=1.3)
        lost = Fault(On(write=3), "hold", watch=resource)
        yield _with(case, lost, late, label=("F10-late", resource))
        empty = Fault(_rewatch(resource), "cut", times=3)
        yield _with(case, cut, empty, label=("F10-empty", resource))
        refused = Fault(On(verb="watch", resource=resource), "status", status=400, times=3)
        yield _with(case, refused, label=("F10-no-watch-list", resource))
        busy = Fault(On(verb="watch", resource=resource), "status", status=429, retry_after=1)
        yield _with(case, busy, label=("F12-watch-429", resource))


def silent(case: Case) -> Iterator[Case]:
    """F9: half-open connections. Nobody but the operator's own patience can find out."""
    for watch in (*_STREAMS, ""):
        fault = Fault(On(write=3), "silent", watch=watch)
        yield _with(case, fault, label=("F9-silent", watch or "both"), patience=150.0)


def answers(case: Case, updates: int) -> Iterator[Case]:
    """F11 to F14: conflicts, busy servers, errors, slow and broken answers."""
    for k in range(1, updates + 1):
        on = replace(_STATUS, nth=k)
        yield _with(case, Fault(on, "touch"), label=("F11-conflict", k))
        yield _with(case, Fault(on, "touch", times=4), label=("F11-conflicts", k))
        yield _with(case, Fault(on, "status", status=409), label=("F11-injected-409", k))
    anything = On(resource="!leases")
    for status, window, share in (
        (429, 3.0, 1.0), (429, 5.0, 0.5), (500, 3.0, 1.0), (500, 6.0, 0.3), (503, 3.0, 1.0),
        (504, 4.0, 0.5), (401, 3.0, 1.0), (502, 3.0, 0.7),
    ):  # fmt: skip
        for k in (1, 4, 9):
            retry = 1 if status in {429, 503} else None
            on = replace(anything, nth=k)
            fault = Fault(
                on, "status", status=status, window=window, share=share, retry_after=retry
            )
            yield _with(case, fault, label=(f"F13-{status}", f"{share:g}", k))
    for seconds in (0.05, 0.4, 1.5):
        for when in ("before", "after"):
            fault = Fault(On(), "delay", when, seconds=seconds, window=6.0, share=0.6)
            yield _with(case, fault, label=("F14-latency", when, seconds))
    for k in (3, 6, 9):
        yield _with(case, Fault(On(write=k), "slow", "after", seconds=2), label=("F14-slow", k))
        yield _with(case, Fault(On(write=k), "truncate", "after"), label=("F14-truncated", k))
        yield _with(case, Fault(On(write=k), "reset"), label=("F3-reset-before", k))
        yield _with(case, Fault(On(write=k), "reset", "after"), label=("F3-reset-after", k))
        hang = Fault(On(write=k), "hang", window=2.0)
        yield _with(case, hang, label=("F4-hang", k))


def storms(case: Case, ks: Sequence[int]) -> Iterator[Case]:
    """F1, F3, F4, F29: not once, but again and again; and ends that were asked for."""
    for k in ks:
        for when in ("before", "after"):
            kill = Fault(On(write=k), "kill", when, times=4)
            yield _with(case, kill, label=("F1-kills", when, k))
            end = Fault(On(write=k), "terminate", when)
            yield _with(case, end, label=("F29-terminate", when, k))
        answers_ = Fault(On(write=k), "drop_answer", "after", times=5)
        yield _with(case, answers_, label=("F3-answers-lost", k))
        yield _with(case, Fault(On(write=k), "drop_request", times=5), label=("F4-lost", k))
    flaky = On(resource="!leases")
    for share in (0.2, 0.5):
        lose = Fault(flaky, "drop_request", window=8.0, share=share)
        mute = Fault(flaky, "drop_answer", "after", window=8.0, share=share / 2)
        yield _with(case, lose, label=("F4-flaky", share))
        yield _with(case, mute, label=("F3-flaky", share))
        yield _with(case, lose, mute, label=("F5-flaky", share), operators=2)


def leaders(case: Case, ks: Sequence[int]) -> Iterator[Case]:
    """F15, F16, F18: two operators that elect a leader, and two that both work."""
    elected = replace(case, operators=2, elect=True, heal=14.0)
    for k in ks:
        for when in ("before", "after"):
            stop = Fault(On(write=k), "stop", when, seconds=LEASE_TWICE)
            yield _with(elected, stop, label=("F16-stop", when, k))
            kill = Fault(On(write=k), "kill", when)
            yield _with(elected, kill, label=("F1-leader-killed", when, k))
        both = replace(case, operators=2)
        stop = Fault(On(write=k), "stop", seconds=3.0)
        yield _with(both, stop, label=("F16-stop-unled", k))
        delay = Fault(On(write=k), "delay", seconds=2.0)
        yield _with(both, delay, label=("F18-late-write", k))
        hold = Fault(On(write=k), "hold", watch="pods", seconds=2.0)
        yield _with(both, hold, label=("F18-stale-pods", k))
        stale = Fault(On(write=k), "hold", watch="observatories", seconds=2.0)
        yield _with(both, stale, label=("F18-stale-observatories", k))
    lease = On(resource="leases", operator=0, nth=2)
    others_only = On(resource="!leases", operator=0, nth=6)
    everything = On(operator=0, nth=8)
    for name, on in (("lease", lease), ("others", others_only), ("all", everything)):
        for do in ("hang", "drop_request"):
            fault = Fault(on, do, window=LEASE_TWICE)
            yield _with(elected, fault, label=("F15-partition", name, do))
    for status in (409, 500, 429):
        refused = Fault(lease, "status", status=status, window=LEASE_TWICE)
        yield _with(elected, refused, label=("F15-lease", status))


def without_faults() -> Iterator[Case]:
    """What the others are compared with."""
    for case in WORKLOADS.values():
        yield replace(case, quiet=LONG_REST)
        yield named(case, "F18-two", operators=2)


def suite(writes: Mapping[str, int]) -> list[Case]:
    """The cases that everybody runs; `writes` is how many a workload takes without faults."""
    cases: list[Case] = []
    for name, case in WORKLOADS.items():
        cases += at_each_write(case, writes[name], 3 if name in {"fan-out", "limit"} else 2)
    chain, diamond = WORKLOADS["chain"], WORKLOADS["diamond"]
    cases += streams(diamond, (3, 9))
    cases += answers(diamond, 3)
    cases += storms(diamond, (2, 5, 11))
    cases += leaders(chain, (2, 3, 6))
    cases += leaders(WORKLOADS["delete"], (5,))
    cases += leaders(WORKLOADS["runs"], (3, 12))
    cases += others()
    return cases


def soak(writes: Mapping[str, int], seed: int) -> Iterator[Case]:
    """Every single fault in an order that follows from the seed, between pairs without end."""
    singles = list(_singles(writes))
    random.Random(seed).shuffle(singles)  # noqa: S311 -- reproducible
    drawn = pairs(WORKLOADS, writes, seed)
    for number, case in enumerate(singles):
        yield case
        if number % 2:
            yield next(drawn)
    yield from drawn


def _singles(writes: Mapping[str, int]) -> Iterator[Case]:
    for name, case in WORKLOADS.items():
        yield from at_each_write(case, writes[name])
        yield from streams(case, range(2, writes[name], 5))
        yield from answers(case, 6)
        yield from leaders(case, range(2, writes[name], 3))
        yield from silent(case)
        yield from storms(case, range(2, writes[name], 4))
    yield from others()


def disruptions() -> Iterator[Case]:
    """F19: the control plane itself. One at a time, and nothing beside them."""
    running = {"pod": "b", "is": "running"}
    fan = {"pod": "b3", "is": "released"}
    expect = Expect(denied=True)  # a new API server knows no roles for its first moment
    acts: tuple[list[Any], ...] = (
        ["kill", "kube-apiserver"],
        ["kill", "etcd"],
        ["kill", "etcd", "kube-apiserver"],
        ["compact"],
        ["compact", "kube-apiserver"],
        ["pause", "etcd", 4],
        ["pause", "kube-apiserver", 4],
    )
    for act in acts:
        words = "-".join(map(str, act)).replace("kube-", "")
        for name, tasks, when in (("chain", SLOW_CHAIN, running), ("fan-out", FAN_OUT, fan)):
            step = {"when": when, "do": {"cluster": act}}
            yield Case(
                f"{name}-F19-{words}", {"tasks": tasks}, steps=(step,), heal=30.0, patience=120.0,
                expect=expect,
            )  # fmt: skip
    led = replace(WORKLOADS["fan-out"], operators=2, elect=True, heal=30.0, patience=120.0)
    led = replace(led, expect=expect)
    step = {"when": fan, "do": {"cluster": ["pause", "kube-apiserver", 6]}}
    yield named(led, "F19-election", steps=(step,))
