"""Cases in which others act: users, nodes, administrators, and writers who should not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from observatory.api.names import LABEL_OBSERVATORY
from tests.faults.case import Case, Expect
from tests.faults.plan import Fault, On
from tests.faults.site import DENIED, DENY
from tests.faults.workloads import (
    CHAIN,
    DIAMOND,
    EDITED,
    FAN_OUT,
    PAIR,
    SLOW_CHAIN,
    SLOWER_CHAIN,
    chain,
)
from tests.integration.workflows import task

JsonObject = dict[str, Any]
_RUNNING = {"pod": "b", "is": "running"}
_HOLD_GATE = Fault(On(verb="patch", resource="pods", name="-b-1-"), "delay", seconds=1.5)
"""Holds back the un-gating of the Pod of task b, which is the first patch of it."""


def others() -> Iterator[Case]:
    """F17, F22, F25 to F28."""
    yield from _leases()
    yield from _pods_deleted()
    yield from _phases_flipped()
    yield from _observatories_changed()
    yield from _statuses_tampered()
    yield from _refused()


def _step(when: JsonObject, **do: object) -> JsonObject:
    return {"when": when, "do": {name.replace("_", "-"): value for name, value in do.items()}}


def _leases() -> Iterator[Case]:
    elected = replace(chain(), spec={"tasks": SLOW_CHAIN}, operators=2, elect=True, patience=40.0)
    stolen = {"holderIdentity": "somebody-else", "leaseDurationSeconds": 3}
    absurd = {"acquireTime": "1970-01-01T00:00:00.000000Z", "leaseDurationSeconds": 1}
    future = {"renewTime": "2999-01-01T00:00:00.000000Z", "leaseTransitions": 2**31 - 2}
    nobody = {"holderIdentity": "", "leaseDurationSeconds": None}
    for name, patch in (
        ("deleted", None), ("stolen", stolen), ("absurd", absurd), ("future", future),
        ("nobody", nobody),
    ):  # fmt: skip
        yield replace(elected, name=f"F17-lease-{name}", steps=(_step(_RUNNING, lease=patch),))


def _pods_deleted() -> Iterator[Case]:
    for state in ("gated", "released", "running", "ended", "let-go"):
        for force in (False, True):
            step = {"when": {"pod": "b", "is": state}, "do": {"delete-pod": "b", "force": force}}
            faults = (_HOLD_GATE,) if state == "gated" else ()
            yield Case(
                f"F22-pod-deleted-{state}{'-by-force' if force else ''}",
                {"tasks": SLOW_CHAIN}, faults, (step,), expect=Expect(disturbed=("b",)),
            )  # fmt: skip
    for state in ("gated", "released", "running", "ended"):
        strip = _step({"pod": "b", "is": state}, strip_pod="b")
        faults = (_HOLD_GATE,) if state == "gated" else ()
        unseen = Fault(On(write=6), "hold", watch="pods", seconds=1.5)
        for name, wrong in (("", faults), ("-unseen", (*faults, unseen))):
            yield Case(
                f"F22-pod-lost-{state}{name}", {"tasks": SLOW_CHAIN}, wrong, (strip,),
                expect=Expect(disturbed=("b",)),
            )  # fmt: skip
    # Deleted while nothing is seen of it, or while its finalizer is being taken away.
    step = _step({"pod": "b", "is": "ended"}, delete_pod="b")
    for k in (5, 7, 9, 11):
        stale = Fault(On(write=k), "hold", watch="pods", seconds=1.5)
        yield Case(
            f"F22-pod-deleted-unseen-{k}", {"tasks": SLOW_CHAIN}, (stale,), (step,),
            expect=Expect(disturbed=("a", "b", "c")),
        )  # fmt: skip


def _phases_flipped() -> Iterator[Case]:
    moments: dict[str, JsonObject] = {
        "recorded": {"task": "b", "phase": "Succeeded"},
        "let-go": {"pod": "b", "is": "let-go"},
    }
    for moment, when in moments.items():
        for phase in ("Failed", "Pending", "Running", "Unknown"):
            flip = {"when": when, "do": {"status-of-pod": "b", "set": {"phase": phase}}}
            yield Case(f"F25-flip-{moment}-{phase.lower()}", {"tasks": SLOW_CHAIN}, steps=(flip,))
    ended = {"pod": "b", "is": "ended"}  # and perhaps not seen yet
    flip = {"when": ended, "do": {"status-of-pod": "b", "set": {"phase": "Failed"}}}
    disturbed = Expect(disturbed=("b",))
    yield Case("F25-flip-ended-failed", {"tasks": SLOW_CHAIN}, steps=(flip,), expect=disturbed)
    ends: list[tuple[str, JsonObject]] = [
        ("evicted", {"phase": "Failed", "reason": "Evicted", "containerStatuses": None}),
        ("unknown-end", {"phase": "Succeeded", "containerStatuses": None}),
        ("out-of-cpu", {"phase": "Failed", "reason": "OutOfcpu", "message": "no room"}),
    ]
    for name, status in ends:
        step = {"when": _RUNNING, "do": {"status-of-pod": "b", "set": status}}
        held = [task("a"), task("b", "a", hold=True), task("c", "b")]
        spec = {"tasks": held, "retry": {"disruptionLimit": 0}}
        yield Case(f"F23-{name}", spec, steps=(step,), expect=Expect(failed=("b",)))


def _observatories_changed() -> Iterator[Case]:
    for policy in ("Foreground", "Background", "Orphan"):
        for k in (2, 3, 4):
            delay = Fault(On(write=k), "delay", seconds=1.0)
            yield Case(
                f"F26-delete-{policy.lower()}-{k}", {"tasks": SLOW_CHAIN}, (delay,),
                (_step({"after": 0.4}, delete=policy),),
                expect=Expect(gone=True, kept=policy == "Orphan"), patience=30.0,
            )  # fmt: skip
    for k in (2, 4, 6, 8):
        kill = Fault(On(write=k), "kill", "after")
        delay = Fault(On(write=k), "delay", seconds=1.0)
        late = (delay,) if k <= 4 else (kill, delay)
        for name, faults in (("", ()), ("-killed", (kill,)), ("-late", late)):
            yield Case(
                f"F26-namespace-deleted-{k}{name}", {"tasks": SLOW_CHAIN}, faults,
                (_step({"after": 0.1 * k}, delete_namespace=True),),
                expect=Expect(gone=True, denied=True), patience=120.0,
            )  # fmt: skip
    for policy in ("Foreground", "Background"):
        again = _step({}, create={"tasks": EDITED})
        yield Case(
            f"F26-created-again-{policy.lower()}", {"tasks": SLOW_CHAIN},
            steps=(_step(_RUNNING, delete=policy), again),
        )  # fmt: skip
        stale = Fault(On(write=5), "hold", watch="observatories", seconds=2.0)
        yield Case(
            f"F26-created-again-unseen-{policy.lower()}", {"tasks": SLOW_CHAIN}, (stale,),
            (_step(_RUNNING, delete=policy), again),
        )  # fmt: skip
    for when in ("gated", "running", "ended"):
        edit = _step({"pod": "b", "is": when}, merge={"spec": {"tasks": EDITED}})
        faults = (_HOLD_GATE,) if when == "gated" else ()
        yield Case(
            f"F26-edited-{when}", {"tasks": SLOW_CHAIN}, faults, (edit,), expect=Expect(run=2)
        )
        # Its last task runs so long that it is edited back before the run has ended.
        spec = {"tasks": SLOWER_CHAIN}
        back = _step({"after": 0.1}, merge={"spec": spec})
        yield Case(f"F26-edited-and-back-{when}", spec, faults, (edit, back))
    labels = {"metadata": {"labels": {LABEL_OBSERVATORY: None}}}
    owners = {"metadata": {"ownerReferences": None}}
    for name, patch in (("label-lost", labels), ("owner-lost", owners)):
        step = {"when": _RUNNING, "do": {"patch-pod": "b", "merge": patch}}
        yield Case(
            f"F26-{name}", {"tasks": SLOW_CHAIN}, steps=(step,),
            expect=Expect(disturbed=("b",), kept=True),
        )  # fmt: skip


def _statuses_tampered() -> Iterator[Case]:
    running = {"name": "b", "phase": "Pending", "attempt": 0}
    regressed = [{"name": "a", "phase": "Succeeded", "attempt": 1}, running]
    # What has started by a status that is gone is never started again: somebody has to look.
    conflict = Expect(phase="Running", message="NameConflict", kept=True)
    wishes: list[tuple[str, JsonObject, Expect]] = [
        ("emptied", {"tasks": None, "run": None, "revision": None, "startTime": None}, conflict),
        ("regressed", {"tasks": [*regressed, {"name": "c", "phase": "Pending"}]}, conflict),
        ("rows-gone", {"tasks": None}, conflict),
        ("message", {"message": "all is well", "progress": "9/9"}, Expect()),
    ]
    for name, patch, expect in wishes:
        yield Case(
            f"F27-{name}", {"tasks": SLOW_CHAIN}, steps=(_step(_RUNNING, tamper=patch),),
            expect=expect, patience=30.0,
        )  # fmt: skip


def _refused() -> Iterator[Case]:
    for pods in (0, 1, 2):
        quota = {
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"},
            "spec": {"hard": {"count/pods": str(pods)}},
        }  # fmt: skip
        lift = _step({"after": 3.0}, remove="resourcequotas/small")
        for name, tasks in (("pair", PAIR), ("diamond", DIAMOND), ("fan-out", FAN_OUT)):
            yield Case(
                f"F28-quota-{pods}-{name}", {"tasks": tasks}, before=(quota,), steps=(lift,),
                expect=Expect(denied=True), heal=4.0,
            )  # fmt: skip
    limits = {
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"},
        "spec": {"limits": [{"type": "Container", "default": {"memory": "64Mi"}}]},
    }  # fmt: skip
    yield Case("F28-limit-range", {"tasks": CHAIN}, before=(limits,))
    invalid = [task("a"), task("b", "nobody")]
    yield Case("F28-invalid", {"tasks": invalid}, expect=Expect(phase="Pending"))
    mended = _step({"after": 1.0}, merge={"spec": {"tasks": CHAIN}})
    yield Case("F28-invalid-then-mended", {"tasks": invalid}, steps=(mended,))
    for how in ("stranger", "gated", "copy"):
        squat = {"when": {"pod": "b", "is": "running"}, "do": {"squat": "c", "as": how}}
        leave = _step({"after": 3.0}, leave=True)
        yield Case(f"F28-name-taken-{how}", {"tasks": SLOW_CHAIN}, steps=(squat, leave))
    for name in DENIED:
        lift = _step({"after": 3.0}, labels={DENY: None})
        again = _step({"after": 1.5}, labels={DENY: name})
        twice = _step({"after": 1.5}, labels={DENY: None})
        for label, steps in (("", (lift,)), ("-on-and-off", (lift, again, twice))):
            yield Case(
                f"F28-denied-{name}{label}", {"tasks": SLOW_CHAIN}, labels={DENY: name},
                steps=steps, expect=Expect(denied=True), heal=8.0,
            )  # fmt: skip
