"""Each invariant is broken by one small history and kept by its right twin."""

from __future__ import annotations

from copy import deepcopy

import pytest

from observatory.api.names import CONTROLLER_REVISIONS, OBSERVATORIES, PODS, Key, Resource
from observatory.api.types import JsonObject
from observatory.simulation.invariants import Invariants
from observatory.simulation.storage import Entry

GROUP = "workflow.seventh-horizon.io"
UID = "uid-of-night"


class History:
    """Writes one after the other, and what the checker found in them."""

    def __init__(self, excused: tuple[str, ...] = ()) -> None:
        self.checker = Invariants(excused)
        self.version = 0
        self.stored: dict[tuple[Resource, str], JsonObject] = {}
        tasks = [{"name": "a"}, {"name": "b", "dependencies": ["a"]}, {"name": "c"}]
        self.spec: JsonObject = {"tasks": tasks}
        self.write(CONTROLLER_REVISIONS, "night-1", {"data": {"spec": {"tasks": tasks}}})
        self.observatory({})

    def write(self, resource: Resource, name: str, body: JsonObject | None) -> None:
        self.version += 1
        old = self.stored.get((resource, name))
        if body is None:
            del self.stored[resource, name]
        else:
            self.stored[resource, name] = deepcopy(body)
        self.checker.see(Entry(self.version, resource, Key("n", name), old, body))

    def observatory(self, status: JsonObject | None, **metadata: object) -> None:
        if status is None:
            self.write(OBSERVATORIES, "night", None)
            return
        body = {"metadata": {"uid": UID, **metadata}, "spec": self.spec, "status": status}
        self.write(OBSERVATORIES, "night", deepcopy(body))

    def status(self, *rows: JsonObject, run: int = 1, **fields: object) -> None:
        self.observatory({"run": run, "revision": "night-1", "tasks": list(rows), **fields})

    def pod(self, uid: str, task: str = "a", **changes: object) -> JsonObject:
        """Create the Pod of an attempt as the protocol has it, or with some fields changed."""
        labels = {"task": task, "run": str(changes.pop("run", 1)), "attempt": "1"}
        body: JsonObject = {
            "metadata": {
                "name": uid,
                "uid": uid,
                "labels": {f"{GROUP}/{key}": value for key, value in labels.items()},
                "ownerReferences": [{"controller": True, "kind": "Observatory", "uid": UID}],
                "finalizers": changes.pop("finalizers", [f"{GROUP}/tracking"]),
            },
            "spec": {"schedulingGates": changes.pop("gates", [{"name": f"{GROUP}/start"}])},
            "status": {"phase": "Pending"},
        }
        self.write(PODS, uid, body)
        return body

    def change(self, uid: str, **changes: object) -> None:
        """Change a Pod: gates, finalizers, phase or deletion."""
        body = deepcopy(self.stored[PODS, uid])
        if "gates" in changes:
            body["spec"]["schedulingGates"] = changes["gates"]
        if "finalizers" in changes:
            body["metadata"]["finalizers"] = changes["finalizers"]
        if "deleted" in changes:
            body["metadata"]["deletionTimestamp"] = changes["deleted"]
        if "phase" in changes:
            body["status"]["phase"] = changes["phase"]
        if changes.get("phase") in ("Succeeded", "Failed"):
            code = changes.get("code", 0 if changes["phase"] == "Succeeded" else 1)
            state = {"terminated": {"exitCode": code}}
            body["status"]["containerStatuses"] = [{"name": "task", "state": state}]
        self.write(PODS, uid, body)

    def started(self, uid: str = "p", task: str = "a") -> None:
        """The right way: created, recorded, released, running."""
        self.pod(uid, task)
        self.status(running(task, uid))
        self.change(uid, gates=[])
        self.change(uid, phase="Running")

    def succeeded(self, uid: str = "p", task: str = "a") -> None:
        """Started, and then ended well."""
        self.started(uid, task)
        self.change(uid, phase="Succeeded")

    def found(self) -> list[str]:
        return [violation.invariant for violation in self.checker.violations]


def running(task: str, uid: str, attempt: int = 1) -> JsonObject:
    return {"name": task, "phase": "Running", "attempt": attempt, "podUID": uid}


def ended(task: str, uid: str = "p", phase: str = "Succeeded", **fields: object) -> JsonObject:
    return {"name": task, "phase": phase, "attempt": 1, "podUID": uid, **fields}


@pytest.fixture
def history() -> History:
    return History()


def test_the_protocol_as_it_is_breaks_nothing(history: History) -> None:
    history.started()
    history.change("p", phase="Succeeded")
    history.pod("q", "b")
    history.status(ended("a"), running("b", "q"))
    history.change("p", finalizers=[])
    history.change("q", gates=[])
    history.change("q", phase="Failed")
    history.status(ended("a"), ended("b", "q", "Failed"), completionTime="t", phase="Failed")
    history.change("q", finalizers=[])
    history.checker.see_rest(history.version, [history.stored[PODS, "q"]])
    assert history.checker.violations == []


def test_i1_a_pod_is_created_with_a_gate(history: History) -> None:
    history.pod("p", gates=[])
    assert history.found() == ["I1"]


def test_i1_a_pod_is_released_only_once_it_is_recorded(history: History) -> None:
    history.pod("p")
    history.change("p", gates=[])
    assert "I1" in history.found()


def test_i1_an_attempt_is_released_in_one_pod_only(history: History) -> None:
    history.started("p")
    history.status(running("a", "q"))
    history.pod("q")
    history.checker.violations.clear()
    history.change("q", gates=[])
    assert history.found() == ["I1"]
    history.checker.violations.clear()
    history.change("q", phase="Running")
    assert history.found() == ["I1"]


def test_i1_what_is_recorded_for_an_attempt_is_its_own_pod(history: History) -> None:
    history.pod("p", "c")
    history.status(running("a", "p"))
    assert history.found() == ["I1"]


def test_i2_attempts_go_up_one_by_one(history: History) -> None:
    history.started()
    history.status(running("a", "q", attempt=3))
    assert "I2" in history.found()
    history.checker.violations.clear()
    history.status(running("a", "q", attempt=2))
    assert "I2" in history.found()


def test_i2_an_attempt_starts_after_the_one_before_it_is_over(history: History) -> None:
    history.started()
    history.status(running("a", "q", attempt=2))
    assert history.found() == ["I2"]


def test_i6_an_end_is_stored_once_the_pod_has_ended(history: History) -> None:
    history.started()
    history.status(ended("a", phase="Failed"))
    assert history.found() == ["I6"]


@pytest.mark.parametrize(("phase", "code"), [("Failed", 0), ("Succeeded", 1)])
def test_i6_succeeded_is_what_its_pod_said(history: History, phase: str, code: int) -> None:
    history.started()
    history.change("p", phase=phase, code=code)
    history.status(ended("a"))
    assert history.found() == ["I6"]


def test_i6_what_a_pod_has_once_said_counts(history: History) -> None:
    history.succeeded()
    history.change("p", phase="Failed")
    history.status(ended("a"))
    assert history.found() == []


def test_i3_a_task_starts_after_what_it_needs(history: History) -> None:
    history.pod("q", "b")
    history.status({"name": "a", "phase": "Running", "podUID": "p"}, running("b", "q"))
    assert history.found() == ["I3"]


def test_i4_no_more_tasks_run_than_may(history: History) -> None:
    history.spec = {**history.spec, "maxConcurrent": 1}
    history.status(running("a", "p"))
    assert history.found() == []
    history.status(running("a", "p"), running("c", "q"))
    assert history.found() == ["I4"]


def test_i5_what_starts_is_of_a_revision_that_is_stored(history: History) -> None:
    history.status(running("a", "p"), revision="night-2")
    assert history.found() == ["I5"]


@pytest.mark.parametrize(
    ("reasons", "found"),
    [([], ["I5"]), (["Dependencies"], ["I5"]), (["Dependencies", "QuotaExceeded"], [])],
)
def test_i5_where_nothing_runs_the_status_says_why(
    history: History, reasons: list[str], found: list[str]
) -> None:
    waits = [{"reason": reason} for reason in reasons]
    history.status({"name": "a", "phase": "Pending"}, waitingFor=waits)
    assert history.found() == found


def test_i6_a_pod_is_held_from_the_beginning(history: History) -> None:
    history.pod("p", finalizers=[])
    assert history.found() == ["I6"]


def test_i6_a_pod_is_held_until_its_end_is_stored(history: History) -> None:
    history.started()
    history.change("p", finalizers=[])
    assert history.found() == ["I6"]


@pytest.mark.parametrize(
    "row",
    [
        ended("a", phase="Failed"),
        ended("a", exitCode=1),
        ended("a", completionTime="u"),
        running("a", "p"),
        {"name": "a", "phase": "Pending"},
    ],
)
def test_i7_an_end_is_final(history: History, row: JsonObject) -> None:
    history.succeeded()
    history.status(ended("a", exitCode=0, completionTime="t"))
    assert history.found() == []
    history.status(row)
    assert "I7" in history.found()


def test_i7_an_end_may_be_stored_shorter(history: History) -> None:
    history.succeeded()
    history.status(ended("a", exitCode=0, podName="p"))
    history.status({"name": "a", "phase": "Succeeded", "attempt": 1})
    assert history.found() == []


def test_i7_an_attempt_stays_with_its_pod_and_does_not_unbegin(history: History) -> None:
    history.started()
    waits = [{"reason": "StartPending"}]
    history.status({**running("a", "p"), "phase": "Pending"}, waitingFor=waits)
    assert set(history.found()) == {"I7", "I2"}
    history.checker.violations.clear()
    history.status(running("a", "q"))
    assert "I7" in history.found()


def test_i7_no_row_vanishes(history: History) -> None:
    history.status(running("a", "p"), {"name": "c", "phase": "Pending"})
    history.status(running("a", "p"))
    assert history.found() == ["I7"]


def test_i7_a_run_is_neither_cut_off_nor_reopened_nor_numbered_down(history: History) -> None:
    history.status(running("a", "p"), run=2)
    history.status(run=3)
    assert history.found() == ["I7"]
    history.status(run=3, completionTime="t")
    history.status(run=3)
    assert history.found() == ["I7", "I7"]
    history.status(run=2)
    assert len(history.found()) > 2


@pytest.mark.parametrize("held", [{"gates": [{"name": f"{GROUP}/start"}]}, {"gates": []}])
def test_i8_nothing_is_held_once_the_run_has_ended(history: History, held: JsonObject) -> None:
    history.succeeded()
    history.status(ended("a"), completionTime="t")
    finalizers: list[str] = [] if held["gates"] else [f"{GROUP}/tracking"]
    history.change("p", finalizers=finalizers, **held)
    history.checker.see_rest(history.version, [history.stored[PODS, "p"]])
    assert history.found() == ["I8"]


def test_i12_nothing_starts_while_suspended_or_deleted(history: History) -> None:
    history.spec = {**history.spec, "suspend": True}
    history.status(running("a", "p"))
    assert history.found() == ["I12"]
    other = History()
    other.observatory({}, deletionTimestamp="t")
    other.observatory(
        {"run": 1, "revision": "night-1", "tasks": [running("a", "p")]}, deletionTimestamp="t"
    )
    assert other.found() == ["I12"]


def test_i12_nothing_is_released_or_starts_after_its_run_has_ended(history: History) -> None:
    history.pod("p")
    history.status(running("a", "p"))
    history.status(ended("a", phase="Failed"), completionTime="t")
    history.checker.violations.clear()
    history.change("p", gates=[])
    assert history.found() == ["I12"]
    history.checker.violations.clear()
    history.change("p", phase="Running")
    assert history.found() == ["I12"]


@pytest.mark.parametrize("over", [{"phase": "Succeeded"}, {"deleted": "t"}])
def test_i12_a_run_ends_only_once_all_its_pods_have(over: JsonObject) -> None:
    for how, found in (({}, ["I12"]), (over, [])):
        history = History()
        history.pod("p")
        history.status(running("a", "p"))
        history.change("p", **how)
        history.status(ended("a", phase="Failed"))
        history.checker.violations.clear()
        history.status(ended("a", phase="Failed"), completionTime="t")
        assert history.found() == found


def test_what_is_being_deleted_may_be_released_since_nothing_binds_it(history: History) -> None:
    history.pod("p")
    history.status(running("a", "p"))
    history.change("p", deleted="t")
    history.status(ended("a", phase="Failed"), completionTime="t")
    history.change("p", gates=[])
    assert history.found() == []


def test_a_start_that_was_decided_before_the_observatory_vanished_is_none_after_it(
    history: History,
) -> None:
    history.pod("p")
    history.status(running("a", "p"))
    history.observatory(None)
    history.change("p", gates=[])
    assert history.found() == []


def test_the_excused_are_left_out() -> None:
    history = History(excused=("p",))
    history.pod("p", gates=[], finalizers=[])
    assert history.found() == []


def test_a_history_out_of_order_is_no_history(history: History) -> None:
    history.version = 0
    history.status(running("a", "p"))
    assert "I0" in history.found()
