"""What happened in a case, readably: requests, faults, and what etcd took, in one order of time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from observatory.api.names import GATE, LABEL_TASK
from tests.faults.recording import Record, read

JsonObject = dict[str, Any]
_UNTOLD = frozenset({"leases", "configmaps", "serviceaccounts", "rolebindings", "namespaces"})


def story(folder: Path) -> Iterator[str]:
    """One line each, with the seconds since the first."""
    told: list[tuple[float, str]] = []
    proxy = folder / "proxy.jsonl"
    if proxy.exists():
        told += [
            (line["at"], _request(line)) for line in map(json.loads, proxy.read_text().splitlines())
        ]
    for record in read(folder / "recording.jsonl"):
        if record.resource.plural not in _UNTOLD:
            told.append((record.time, _written(record)))
    told.sort(key=lambda item: item[0])
    for moment, text in told:
        yield f"{moment - told[0][0]:8.3f}  {text}"


def _request(line: JsonObject) -> str:
    number = f"#{line['write']} " if "write" in line else ""
    faults = f"   <<< {', '.join(line['faults'])}" if "faults" in line else ""
    return (
        f"operator {line['operator']}: {number}{line['call']} -> {line.get('status', '…')}{faults}"
    )


def _written(record: Record) -> str:
    head = f"    etcd {record.version}: {record.resource.plural} {record.name}"
    new = record.new
    if new is None:
        return f"{head} removed"
    if record.resource.plural == "pods":
        gates = [gate["name"] for gate in new["spec"].get("schedulingGates") or ()]
        words = [
            f"task {(new['metadata'].get('labels') or {}).get(LABEL_TASK)}",
            str((new.get("status") or {}).get("phase")),
            "gated" if GATE in gates else "released",
            "held" if new["metadata"].get("finalizers") else "let go",
            "deleting" if "deletionTimestamp" in new["metadata"] else "",
        ]
        return f"{head} {' '.join(word for word in words if word)}"
    if record.resource.plural == "observatories":
        status = new.get("status") or {}
        rows = " ".join(f"{row['name']}:{row['phase']}" for row in status.get("tasks", ()))
        deleting = " deleting" if "deletionTimestamp" in new["metadata"] else ""
        return f"{head} {status.get('phase', '-')} run {status.get('run', 0)} {rows}{deleting}"
    if record.resource.plural == "events":
        return f"{head} {new.get('reason')}: {new.get('message') or new.get('note')}"
    return head
