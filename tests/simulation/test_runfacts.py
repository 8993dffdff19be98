"""Each promise about runs is broken by one small history and kept by its right twin."""

from __future__ import annotations

from copy import deepcopy

import pytest

from observatory.api.names import OBSERVATORIES, Key
from observatory.api.types import JsonObject
from observatory.simulation.runfacts import RunFacts
from observatory.simulation.storage import Entry

GROUP = "workflow.seventh-horizon.io"
TRACKED = [f"{GROUP}/tracking"]


class History:
    """Writes one after the other, and what the checker found in them."""

    def __init__(self, policy: str = "Forbid") -> None:
        self.checker = RunFacts()
        self.version = 0
        self.stored: dict[str, JsonObject] = {}
        self.spec = {"schedule": "*/1 * * * *", "concurrencyPolicy": policy}
        self.parent({})

    def write(self, name: str, body: JsonObject | None) -> None:
        self.version += 1
        old = self.stored.pop(name, None)
        if body is not None:
            self.stored[name] = deepcopy(body)
        self.checker.see(Entry(self.version, OBSERVATORIES, Key("n", name), old, body))

    def parent(self, status: JsonObject | None, **metadata: object) -> None:
        made = {"uid": "p", "creationTimestamp": "2026-01-01T00:00:00Z", **metadata}
        body = None if status is None else {"metadata": made, "spec": self.spec, "status": status}
        self.write("parent", body)

    def records(self, *runs: str, **fields: object) -> None:
        """The parent's status has these runs on: `uid@minute`."""
        active = [active_of(run) for run in runs]
        self.parent({"activeRuns": active, "latestRun": len(active), **fields})

    def run(self, uid: str, status: JsonObject | None, **metadata: object) -> None:
        if status is None:
            self.write(uid, None)
            return
        made: JsonObject = {
            "name": uid,
            "uid": uid,
            "labels": {f"{GROUP}/trigger": "Schedule"},
            "annotations": {f"{GROUP}/run-number": "1", f"{GROUP}/admitted": "start"},
            "finalizers": TRACKED,
            "ownerReferences": [{"controller": True, "kind": "Observatory", "uid": "p"}],
        }
        self.write(uid, {"metadata": {**made, **metadata}, "spec": {}, "status": status})

    def found(self) -> list[str]:
        return [violation.invariant for violation in self.checker.violations]

    def at_rest(self) -> list[str]:
        self.checker.see_rest(self.version, self.stored.values())
        return self.found()


def active_of(run: str) -> JsonObject:
    uid, _, minute = run.partition("@")
    time = f"2026-01-01T00:0{minute}:00Z"
    number = int(minute)
    return {
        "uid": uid,
        "number": number,
        "schedule": "default",
        "time": time,
        "trigger": "Schedule",
    }


def test_a_run_begins_that_is_recorded_and_admitted() -> None:
    history = History()
    history.run("a", {}, annotations={f"{GROUP}/run-number": "1"})
    history.records("a@1")
    history.run("a", {})
    history.run("a", {"run": 1})
    assert history.found() == []


@pytest.mark.parametrize("missing", ["record", "admission"])
def test_a_run_that_begins_without(missing: str) -> None:
    history = History()
    more: JsonObject = {"annotations": {}} if missing == "admission" else {}
    history.run("a", {}, **more)
    if missing == "admission":
        history.records("a@1")
    history.run("a", {"run": 1}, **more)
    assert history.found() == ["I10"]


def test_one_time_with_two_runs() -> None:
    history = History("Allow")
    history.records("a@1")
    history.records("b@1")
    assert history.found() == ["I10", "I10"]  # the number and the time


@pytest.mark.parametrize(("policy", "found"), [("Allow", []), ("Forbid", ["I11"])])
def test_two_runs_in_one_status(policy: str, found: list[str]) -> None:
    history = History(policy)
    history.records("a@1", "b@2")
    assert history.found() == found


@pytest.mark.parametrize(("ended", "found"), [(True, []), (False, ["I11"])])
def test_a_run_that_begins_while_another_one_is_on(ended: bool, found: list[str]) -> None:  # noqa: FBT001
    history = History("Replace")
    history.records("a@1")
    history.run("a", {"run": 1})
    if ended:
        history.run("a", {"run": 1, "completionTime": "2026-01-01T00:01:30Z"})
    history.records("b@2")
    history.run("b", {"run": 1})
    assert history.found() == found


@pytest.mark.parametrize(("recorded", "found"), [(True, []), (False, ["I6"])])
def test_a_run_is_let_go_when_its_end_is_stored(recorded: bool, found: list[str]) -> None:  # noqa: FBT001
    history = History()
    history.records("a@1")
    history.run("a", {"run": 1})
    ended = {"run": 1, "completionTime": "2026-01-01T00:01:30Z"}
    history.run("a", ended)
    if recorded:
        history.records()
    history.run("a", ended, finalizers=[])
    assert history.found() == found


HANDLED = {
    "schedules": [{"name": "default", "handledTime": "2026-01-01T00:03:00Z"}],
    "latestRun": 3,
}


@pytest.mark.parametrize(
    ("skipped", "found"),
    [
        ([], ["I10", "I10"]),
        ([{"time": "2026-01-01T00:02:00Z", "reason": "Missed"}], ["I10"]),
        (
            [{"time": "2026-01-01T00:02:00Z", "until": "2026-01-01T00:03:00Z", "reason": "Missed"}],
            [],
        ),
    ],
)
def test_each_time_has_a_run_or_a_reason(skipped: list[JsonObject], found: list[str]) -> None:
    history = History()
    history.records("a@1")
    history.records(skippedRuns=skipped, **HANDLED)
    assert history.at_rest() == found


def test_a_reason_that_the_policy_does_not_know() -> None:
    history = History("Allow")
    skipped = [{"time": "2026-01-01T00:02:00Z", "reason": "RunInProgress"}]
    history.records(skippedRuns=skipped)
    assert history.found() == ["I10"]


@pytest.mark.parametrize(
    "status", [{"run": 1, "completionTime": "2026-01-01T00:01:30Z"}, {}], ids=["ended", "unbegun"]
)
def test_what_is_held_for_ever(status: JsonObject) -> None:
    history = History()
    history.run("a", status, annotations={f"{GROUP}/run-number": "1"})
    history.parent({"latestRun": 1})
    assert "I8" in history.at_rest()


def test_what_outlives_its_parent() -> None:
    history = History()
    history.run("a", {})
    history.parent(None)
    assert history.at_rest() == ["I8"]
