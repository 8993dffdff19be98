"""Checks a recording: `python -m tests.faults.check FOLDER` or `... RECORDING.jsonl`.

Of a recording alone it checks what holds of any history of writes (observatory/simulation). The
folder of a case also has the audit log, the log of the proxies, and what the case was: with them
it checks how the run ended, and what only a real control plane shows. It asks neither the operator
nor a cluster for anything. Exits 1 if there are violations, which it prints.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from observatory.api.names import (
    API_VERSION,
    FIELD_MANAGER,
    KIND,
    LABEL_OBSERVATORY,
    OBSERVATORIES,
    PODS,
)
from observatory.simulation.history import Violation
from observatory.simulation.invariants import Invariants
from observatory.simulation.runfacts import RunFacts
from observatory.simulation.storage import Entry
from tests.faults import oracle
from tests.faults.case import NAME, Case, parse_case
from tests.faults.recording import entries, read
from tests.faults.steps import held

JsonObject = dict[str, Any]
EVENTS_A_MINUTE = 25
"""As many Events about one object as the operator promises not to exceed."""
READS_AT_REST = 20
LEASE_GRACE = 1.0


@dataclass(slots=True)
class Evidence:
    """All that is known of a case: the recording, and what was kept beside it."""

    history: list[Entry]
    case: Case | None = None
    result: JsonObject = field(default_factory=dict)
    audit: list[JsonObject] = field(default_factory=list)
    proxy: list[JsonObject] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path, namespace: str = "") -> Evidence:
        """From the folder of a case, or from a recording alone."""
        if path.is_file():
            records = [each for each in read(path) if namespace in {"", each.namespace}]
            return cls(list(entries(records)))
        case = parse_case(orjson.loads((path / "case.json").read_bytes()))
        result = orjson.loads((path / "result.json").read_bytes())
        return cls(
            list(entries(read(path / "recording.jsonl"))), case, result,
            _lines(path / "audit.jsonl"), _lines(path / "proxy.jsonl"),
        )  # fmt: skip


def _lines(path: Path) -> list[JsonObject]:
    if not path.exists():
        return []
    return [orjson.loads(line) for line in path.read_bytes().splitlines() if line[-1:] == b"}"]


def check(evidence: Evidence) -> list[str]:
    """What is wrong, in words."""
    tampered = set(evidence.result.get("tampered", ()))
    squatters = set(evidence.result.get("squatters", ()))
    invariants = Invariants(excused={*squatters, *evidence.result.get("flipped", ())})
    runs = RunFacts()
    for entry in evidence.history:
        invariants.see(entry)
        runs.see(entry)
    for uid in squatters & invariants.recorded.keys():
        invariants.violations.append(
            Violation("I1", 0, f"a status records the Pod {uid}, which the operator never made")
        )
    stored = _stored(evidence.history)
    pods = [obj for (plural, _), obj in stored.items() if plural == PODS.plural]
    last = evidence.history[-1].version if evidence.history else 0
    case = evidence.case
    if case is not None and not case.expect.kept:
        invariants.see_rest(last, pods)
        runs.see_rest(
            last, (obj for (plural, _), obj in stored.items() if plural == OBSERVATORIES.plural)
        )
    invariants.violations += runs.violations
    found = [str(each) for each in invariants.violations if not _excused(each, tampered)]
    if case is not None:
        found += _end(case, stored, pods)
        found += _audit(evidence, case)
        found += _lease(evidence)
        found += _exits(evidence, case)
    found += _events(evidence.history)
    return found


def _excused(violation: Violation, tampered: set[int]) -> bool:
    """Whether it is the write of somebody who was told to tamper."""
    return violation.version in tampered


def _stored(history: Sequence[Entry]) -> dict[tuple[str, str], JsonObject]:
    stored: dict[tuple[str, str], JsonObject] = {}
    for entry in history:
        place = (entry.resource.plural, entry.key.name)
        stored.pop(place, None)
        if entry.new is not None:
            stored[place] = entry.new
    return stored


def _end(
    case: Case, stored: dict[tuple[str, str], JsonObject], pods: list[JsonObject]
) -> Iterator[str]:
    """I5, I6, I8: the run has ended as it must, and nothing is left of it that should not be."""
    expect = case.expect
    obj = stored.get((OBSERVATORIES.plural, NAME))
    ours = [pod for pod in pods if LABEL_OBSERVATORY in (pod["metadata"].get("labels") or {})]
    if not expect.kept:
        for pod in filter(held, ours):
            yield f"I8: Pod {pod['metadata']['name']} is held at the end"
    if expect.gone:
        if obj is not None:
            yield "I5: the Observatory is still there"
        if ours and not expect.kept:
            yield f"I8: {len(ours)} Pods of a deleted Observatory are left"
        return
    if obj is None:
        yield "I5: the Observatory is gone"
        return
    status = obj.get("status") or {}
    if expect.runs:
        yield from _runs(expect.runs, status)
        return
    if expect.phase:
        if status.get("phase", "Pending") != expect.phase:
            yield f"I6: the phase is {status.get('phase')}, and not {expect.phase}"
        if expect.message not in (status.get("message") or ""):
            yield f"I5: the message does not tell {expect.message}: {status.get('message')}"
        return
    if "completionTime" not in status or status.get("run") != expect.run:
        text = status.get("message") or status.get("phase")
        number = status.get("run")
        yield f"I5: run {expect.run} has not ended; the status is of run {number}: {text}"
        return
    for text in oracle.wrong(obj["spec"]["tasks"], status, expect.disturbed, expect.failed):
        yield f"I6: {text}"


def _runs(count: int, status: JsonObject) -> Iterator[str]:
    """I5, I6: a schedule has had so many runs, and all have succeeded."""
    history = status.get("runHistory", ())
    phases = [each["phase"] for each in history]
    if phases != ["Succeeded"] * count or status.get("activeRuns"):
        yield f"I6: {count} runs were to succeed; the history is {phases}: {status.get('message')}"


def _audit(evidence: Evidence, case: Case) -> Iterator[str]:
    begun = evidence.result.get("begun", 0.0)
    requests = [each for each in evidence.audit if each.get("objectRef") and _time(each) >= begun]
    writes = [each for each in requests if each["verb"] not in {"get", "list", "watch"}]
    steady = [each for each in writes if each["objectRef"]["resource"] not in {"leases", "events"}]
    rest = evidence.result.get("rest")
    if rest is not None:
        begin, end = rest
        late = [each for each in writes if begin < _time(each) < end and not _is_lease(each)]
        for each in late[:5]:
            yield f"I13: a write at rest: {_told(each)}"
        reads = [
            each for each in requests
            if begin < _time(each) < end and each["verb"] in {"get", "list"} and not _is_lease(each)
        ]  # fmt: skip
        if len(reads) > READS_AT_REST:
            yield f"I13: {len(reads)} reads at rest"
    pods = len({entry.key for entry in evidence.history if entry.resource == PODS})
    bound = 3 * pods + 2 * len(case.tasks) * max(case.expect.run, 1) + 20
    bound *= 2 if case.faults or case.steps else 1
    bound = (bound + 10 * case.expect.runs) * case.operators
    if len(steady) > bound:
        yield f"I14: {len(steady)} writes; {bound} would be many"
    if not case.expect.denied:
        for each in [each for each in requests if _code(each) == 403][:3]:
            yield f"I19: denied: {_told(each)}"
    yield from _foreign(evidence.history, steady)


def _foreign(history: list[Entry], writes: list[JsonObject]) -> Iterator[str]:
    """I9: the operator writes to what is its own, and to nothing else."""
    strangers = set()
    for entry in history:
        if entry.resource == OBSERVATORIES or entry.new is None:
            continue
        metadata = entry.new["metadata"]
        owners = metadata.get("ownerReferences") or ()
        ours = any((owner["apiVersion"], owner["kind"]) == (API_VERSION, KIND) for owner in owners)
        place = (entry.resource.plural, entry.key.name)
        if ours or LABEL_OBSERVATORY in (metadata.get("labels") or {}):
            strangers.discard(place)
        else:
            strangers.add(place)
    for each in writes:
        ref = each["objectRef"]
        place = (ref["resource"], ref.get("name", ""))
        if place in strangers and each["verb"] != "create" and _code(each) < 300:
            yield f"I9: a write to what is not ours: {_told(each)}"
        of_a_run = each["verb"] == "create" or ref.get("name") != NAME
        if ref["resource"] == OBSERVATORIES.plural and not (
            ref.get("subresource") == "status" or of_a_run
        ):
            yield f"I9: a write to an Observatory beside its status: {_told(each)}"


def _lease(evidence: Evidence) -> Iterator[str]:
    """I15: who has lost the lease sends no write any more."""
    whose = {line["holder"]: line["operator"] for line in evidence.proxy if line.get("holder")}
    changes = [*evidence.result.get("holders", ()), [float("inf"), ""]]
    terms = [
        (begin - LEASE_GRACE, end + LEASE_GRACE, whose.get(identity))
        for (begin, identity), (end, _) in pairwise(changes)
    ]
    if len(changes) == 1:
        return
    for line in evidence.proxy:
        if "write" not in line:
            continue
        mine = [term for term in terms if term[2] == line["operator"]]
        if not any(begin <= line["at"] <= end for begin, end, _ in mine):
            yield f"I15: operator {line['operator']} wrote without the lease: {line['call']}"


def _exits(evidence: Evidence, case: Case) -> Iterator[str]:
    """I17: an operator ends when it is told to, or without its lease; never for anything else."""
    allowed = set(case.expect.exits) | ({1} if case.elect else set())
    for code in evidence.result.get("exits", ()):
        if code not in allowed:
            yield f"I17: an operator ended by itself with code {code}"
    for code in evidence.result.get("stopped", ()):
        if code not in {0, *allowed}:
            yield f"I17: SIGTERM ended an operator with code {code}"
    for text in evidence.result.get("crashes", ()):
        yield f"I17: {text}"


def _events(history: list[Entry]) -> Iterator[str]:
    """I18: no object is talked about without end."""
    made: Counter[tuple[str, str]] = Counter()
    for entry in history:
        if entry.resource.plural != "events" or entry.old is not None or entry.new is None:
            continue
        new = entry.new
        source = new.get("reportingComponent") or new.get("reportingController") or ""
        if source.endswith(FIELD_MANAGER):
            regarding = new.get("involvedObject") or new.get("regarding") or {}
            made[regarding.get("uid", ""), new["metadata"]["creationTimestamp"][:16]] += 1
    for (uid, minute), count in made.items():
        if count > EVENTS_A_MINUTE:
            yield f"I18: {count} Events about {uid} in the minute {minute}"


def _is_lease(request: JsonObject) -> bool:
    return bool(request["objectRef"]["resource"] == "leases")


def _time(request: JsonObject) -> float:
    return datetime.fromisoformat(request["requestReceivedTimestamp"]).timestamp()


def _code(request: JsonObject) -> int:
    return int((request.get("responseStatus") or {}).get("code") or 0)


def _told(request: JsonObject) -> str:
    ref = request["objectRef"]
    what = "/".join(filter(None, (ref["resource"], ref.get("subresource"))))
    moment = request["requestReceivedTimestamp"]
    return f"{request['verb']} {what} {ref.get('name', '')}, answered {_code(request)}, at {moment}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.check", description=__doc__)
    parser.add_argument("recording", type=Path, help="the folder of a case, or a recording")
    parser.add_argument("--namespace", default="", help="only this one's writes")
    options = parser.parse_args(arguments)
    found = check(Evidence.of(options.recording, options.namespace))
    for text in found:
        print(text)
    print(f"{len(found)} violations")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
