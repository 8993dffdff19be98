from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from observatory.api.names import (
    API_VERSION,
    CONTROLLER_REVISIONS,
    EVENTS,
    FINALIZER,
    GATE,
    KIND,
    LABEL_ATTEMPT,
    LABEL_OBSERVATORY,
    LABEL_RUN,
    LABEL_TASK,
    OBSERVATORIES,
    PODS,
    Key,
    Resource,
)
from observatory.simulation.storage import Entry
from tests.faults import check
from tests.faults.audit import AuditTail
from tests.faults.case import Case, Expect
from tests.faults.check import Evidence
from tests.faults.plan import Fault, On
from tests.faults.recording import Record, entries

JsonObject = dict[str, Any]
TASKS = [{"name": "a", "image": "x"}]
CASE = Case("case", {"tasks": TASKS})
REVISION = {
    "apiVersion": "apps/v1", "kind": "ControllerRevision",
    "metadata": {"namespace": "ns", "name": "run-1"}, "data": {"spec": {"tasks": TASKS}},
}  # fmt: skip


def run(state: str = "", /, **row: object) -> JsonObject:
    status: JsonObject = {}
    if state:
        status = {"run": 1, "revision": "run-1", "phase": state, "tasks": [{"name": "a", **row}]}
        if state != "Running":
            status["completionTime"] = "2026-01-01T00:00:00Z"
    metadata = {"namespace": "ns", "name": "run", "uid": "u"}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata,
            "spec": {"tasks": TASKS}, "status": status}  # fmt: skip


def pod(phase: str, *, gated: bool, held: bool = True) -> JsonObject:
    owner = {"apiVersion": API_VERSION, "kind": KIND, "name": "run", "uid": "u", "controller": True}
    labels = {LABEL_OBSERVATORY: "run", LABEL_TASK: "a", LABEL_RUN: "1", LABEL_ATTEMPT: "1"}
    metadata = {"namespace": "ns", "name": "run-a-1", "uid": "p", "labels": labels,
                "ownerReferences": [owner], "finalizers": [FINALIZER] if held else []}  # fmt: skip
    spec = {"schedulingGates": [{"name": GATE}] if gated else []}
    ended = {"terminated": {"exitCode": 0 if phase == "Succeeded" else 1}}
    containers = [{"name": "task", "state": ended}] if phase in ("Succeeded", "Failed") else []
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec,
            "status": {"phase": phase, "containerStatuses": containers}}  # fmt: skip


def good() -> list[tuple[Resource, JsonObject]]:
    return [
        (OBSERVATORIES, run()),
        (CONTROLLER_REVISIONS, REVISION),
        (PODS, pod("Pending", gated=True)),
        (OBSERVATORIES, run("Running", phase="Running", attempt=1, podUID="p")),
        (PODS, pod("Pending", gated=False)),
        (PODS, pod("Running", gated=False)),
        (PODS, pod("Succeeded", gated=False)),
        (OBSERVATORIES, run("Succeeded", phase="Succeeded", attempt=1, podUID="p")),
        (PODS, pod("Succeeded", gated=False, held=False)),
    ]


def history(writes: list[tuple[Resource, JsonObject]]) -> list[Entry]:
    return list(
        entries(
            Record(version, resource, "ns", obj["metadata"]["name"], float(version), obj)
            for version, (resource, obj) in enumerate(writes, 1)
        )
    )


def found(
    writes: list[tuple[Resource, JsonObject]] | None = None,
    case: Case = CASE,
    **known: Any,  # noqa: ANN401 -- any field of the evidence
) -> list[str]:
    return check.check(Evidence(history(good() if writes is None else writes), case, **known))


def request(verb: str, resource: str, name: str, *, at: float, code: int = 200) -> JsonObject:
    moment = datetime.fromtimestamp(at, UTC).isoformat()
    return {
        "verb": verb, "objectRef": {"resource": resource, "name": name},
        "responseStatus": {"code": code}, "requestReceivedTimestamp": moment,
    }  # fmt: skip


def test_a_run_as_it_should_be_has_no_violations() -> None:
    assert found() == []


def test_the_invariants_of_every_history_are_checked() -> None:
    writes = good()
    writes[3], writes[4] = writes[4], writes[3]
    assert [text[:2] for text in found(writes)][:1] == ["I1"]


def test_a_run_that_does_not_end_is_found() -> None:
    assert any(text.startswith("I5: run 1 has not ended") for text in found(good()[:6]))


def test_a_wrong_outcome_is_found_by_the_scripted_exits() -> None:
    writes = good()
    failing = [{**TASKS[0], "args": ["kwok.observatory/exit-code=3"]}]
    for _, obj in writes:
        if obj["kind"] == KIND:
            obj["spec"] = {"tasks": failing}
    assert found(writes) == ["I6: task a is Succeeded (), and not Failed"]


def test_a_pod_that_is_held_at_the_end_is_found() -> None:
    assert any(text.startswith("I8") for text in found(good()[:-1]))


def test_what_is_left_of_a_deleted_observatory_is_found() -> None:
    case = Case("case", {"tasks": TASKS}, expect=Expect(gone=True))
    assert found(case=case) == [
        "I5: the Observatory is still there", "I8: 1 Pods of a deleted Observatory are left",
    ]  # fmt: skip


def test_a_write_at_rest_is_found_also_when_it_is_refused() -> None:
    late = request("update", "observatories", "run", at=15.0, code=409)
    late["objectRef"]["subresource"] = "status"
    result = {"rest": [10.0, 20.0]}
    assert found(audit=[late], result=result)[0].startswith("I13: a write at rest: update")
    renewal = request("patch", "leases", "observatory-operator", at=15.0)
    assert found(audit=[renewal], result=result) == []


def test_too_many_writes_are_found() -> None:
    audit = [request("patch", "pods", "run-a-1", at=1.0)] * 26
    assert found(audit=audit)[0].startswith("I14: 26 writes; 25 would be many")
    assert found(audit=audit, case=Case("c", {"tasks": TASKS}, (Fault(On(), "delay"),))) == []


def test_a_denied_request_is_found_unless_it_was_to_be_expected() -> None:
    audit = [request("create", "pods", "x", at=1.0, code=403)]
    assert found(audit=audit)[0].startswith("I19: denied: create pods x")
    allowed = Case("case", {"tasks": TASKS}, expect=Expect(denied=True))
    assert found(audit=audit, case=allowed) == []


def test_a_write_to_what_belongs_to_others_is_found() -> None:
    metadata = {"name": "z", "namespace": "ns", "uid": "z"}
    foreign = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}}
    audit = [request("delete", "pods", "z", at=1.0)]
    assert found([*good(), (PODS, foreign)], audit=audit)[0].startswith("I9")


def test_a_write_beside_the_status_of_an_observatory_is_found() -> None:
    audit = [request("patch", "observatories", "run", at=1.0)]
    assert found(audit=audit)[0].startswith("I9: a write to an Observatory beside its status")


LEASE = [
    {"at": 1.0, "operator": 0, "call": "create leases", "holder": "h0"},
    {"at": 9.0, "operator": 1, "call": "patch leases", "holder": "h1"},
]


@pytest.mark.parametrize(("at", "late"), [(5.0, 0), (9.5, 0), (12.0, 1)])
def test_a_write_of_an_operator_that_has_lost_the_lease_is_found(at: float, late: int) -> None:
    write = {"at": at, "operator": 0, "call": "create pods", "write": 1}
    result = {"holders": [[1.0, "h0"], [9.0, "h1"]]}
    told = found(proxy=[*LEASE, write], result=result)
    assert [text[:3] for text in told] == ["I15"] * late


@pytest.mark.parametrize(
    ("result", "elect", "told"),
    [
        ({"exits": [1], "stopped": [0]}, 1, 0),
        ({"exits": [1], "stopped": [0]}, 0, 1),
        ({"exits": [], "stopped": [-9]}, 0, 1),
        ({"crashes": ["operator-0.log has: Reconcile crashed"]}, 0, 1),
    ],
)
def test_an_operator_that_ends_by_itself_is_found(
    result: JsonObject, elect: int, told: int
) -> None:
    case = Case("case", {"tasks": TASKS}, elect=bool(elect))
    assert [text[:3] for text in found(case=case, result=result)] == ["I17"] * told


def test_a_run_that_ends_while_a_pod_of_it_may_run_is_found() -> None:
    writes = good()
    writes[6], writes[7] = writes[7], writes[6]
    assert any(text.startswith("I12 at version 7") for text in found(writes))


def test_an_object_that_is_talked_about_without_end_is_found() -> None:
    def event(number: int) -> tuple[Resource, JsonObject]:
        metadata = {"namespace": "ns", "name": f"e{number}",
                    "creationTimestamp": "2026-01-01T00:00:00Z"}  # fmt: skip
        return EVENTS, {
            "apiVersion": "v1", "kind": "Event", "metadata": metadata,
            "involvedObject": {"uid": "u"},
            "reportingComponent": "workflow.seventh-horizon.io/observatory-operator",
        }  # fmt: skip

    assert found([*good(), *map(event, range(25))]) == []
    assert found([*good(), *map(event, range(26))])[0].startswith("I18: 26 Events")


def test_a_pod_that_somebody_else_made_must_never_be_recorded() -> None:
    assert any(
        "which the operator never made" in text for text in found(result={"squatters": ["p"]})
    )


def test_the_program_reads_a_recording_and_exits_with_1_for_violations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recording.jsonl"

    def save(writes: list[tuple[Resource, JsonObject]]) -> None:
        records = (
            Record(version, resource, "ns", obj["metadata"]["name"], 0.0, obj)
            for version, (resource, obj) in enumerate(writes, 1)
        )
        path.write_bytes(b"".join(record.to_line() for record in records))

    save(good())
    assert check.main([str(path)]) == 0
    writes = good()
    writes[3], writes[4] = writes[4], writes[3]
    save(writes)
    assert check.main([str(path), "--namespace", "ns"]) == 1
    assert "released before it was recorded" in capsys.readouterr().out


def audited(user: str) -> bytes:
    return json.dumps({"user": {"username": user}}, separators=(",", ":")).encode() + b"\n"


def test_the_audit_log_is_split_by_namespace_and_followed_when_it_is_rotated(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(
        audited("system:serviceaccount:faults-operators:ns-operator-0")
    )  # before the beginning
    tail = AuditTail(path)
    with path.open("ab") as log:
        log.write(audited("system:serviceaccount:faults-operators:ns-operator-0"))
        log.write(audited("system:serviceaccount:ns:default"))
        log.write(audited("admin"))
    tail.read()
    with path.open("ab") as log:
        log.write(audited("system:serviceaccount:faults-operators:ns-operator-1"))
    path.rename(tmp_path / "audit-1.log")
    path.write_bytes(audited("system:serviceaccount:faults-operators:other-operator-0"))
    tail.read()
    tail.close()
    assert {name: len(lines) for name, lines in tail.lines.items()} == {"ns": 2, "other": 1}


def test_entries_of_a_removal_carry_the_version_of_the_removal() -> None:
    obj = pod("Pending", gated=True)
    records = [Record(1, PODS, "ns", "p", 0.0, obj), Record(7, PODS, "ns", "p", 0.0, None)]
    *_, removed = entries(records)
    assert (removed.key, removed.new) == (Key("ns", "p"), None)
    assert removed.removed is not None
    assert removed.removed["metadata"]["resourceVersion"] == "7"


def scheduled(**status: object) -> JsonObject:
    made = run()
    made["spec"] = {"schedule": "@daily", "concurrencyPolicy": "Queue", "tasks": TASKS}
    return {**made, "status": {"latestRun": 2, **status}}


def active(*uids: str) -> list[JsonObject]:
    return [
        {"uid": uid, "number": number, "schedule": "default", "time": f"t{number}",
         "trigger": "RunNow"}
        for number, uid in enumerate(uids, 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "wrong"),
    [
        ({"runHistory": [{"phase": "Succeeded"}] * 2}, []),
        ({"runHistory": [{"phase": "Succeeded"}]}, ["I6"]),
        ({"runHistory": [{"phase": "Succeeded"}, {"phase": "Failed"}]}, ["I6"]),
        ({"runHistory": [{"phase": "Succeeded"}] * 2, "activeRuns": active("x")}, ["I6"]),
        ({"activeRuns": active("x", "y")}, ["I11", "I6"]),
    ],
)
def test_a_schedule_has_had_its_runs_one_after_the_other(
    status: JsonObject, wrong: list[str]
) -> None:
    case = Case("case", {"tasks": TASKS}, expect=Expect(runs=2))
    texts = found([(OBSERVATORIES, scheduled(**status))], case=case)
    assert [text.partition(" ")[0].rstrip(":") for text in texts] == wrong
