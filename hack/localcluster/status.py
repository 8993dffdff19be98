"""What is known of a cluster now."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import build, health, kubectl, local, node, probe, processes
from .state import Backend, Cluster
from .users import PEOPLE


@dataclass(frozen=True, slots=True)
class Part:
    """One component: `running`, `unhealthy` (it runs but does not answer) or `dead`."""

    name: str
    state: str
    pid: int | None
    log: str


@dataclass(frozen=True, slots=True)
class Status:
    """A cluster: `running`, or `broken` when a part of it is not."""

    name: str
    backend: str
    node: str
    nodes: int
    state: str
    server: str
    version: str
    kubeconfig: str
    contexts: dict[str, list[str]]
    programs: str
    audit_log: str
    parts: list[Part]


def look(cluster: Cluster) -> Status:
    """Ask every component."""
    parts: list[Part] = []
    version = server = ""
    if cluster.backend is Backend.LOCAL:
        parts = [_part(cluster, name) for name in local.parts(cluster)]
        running = all(part.state == "running" for part in parts)
        version, server = _version(cluster), cluster.server
    else:
        running = kubectl.answers(cluster.folder.kubeconfig)
    return Status(
        name=cluster.name,
        backend=cluster.backend,
        node=cluster.node,
        nodes=len(node.names(cluster)),
        state="running" if running else "broken",
        server=server,
        version=version,
        kubeconfig=str(cluster.folder.kubeconfig),
        contexts={user.context: list(user.groups) for user in PEOPLE} if parts else {},
        programs=str(build.folder()),
        audit_log=str(cluster.folder.audit) if cluster.audit else "",
        parts=parts,
    )


def as_json(statuses: Sequence[Status] | Status) -> str:
    """For scripts."""
    content: Any = (
        dataclasses.asdict(statuses)
        if isinstance(statuses, Status)
        else [dataclasses.asdict(status) for status in statuses]
    )
    return json.dumps(content, indent=2)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns, the first row being the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("   ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def overview(statuses: Sequence[Status]) -> str:
    """A line for each cluster."""
    rows = [("NAME", "MADE BY", "NODE", "STATE", "SERVER")]
    rows += [(s.name, s.backend, _nodes(s), s.state, s.server or "-") for s in statuses]
    return table(rows)


def details(status: Status) -> str:
    """Everything about one cluster."""
    facts = [
        ("Cluster", f"{status.name}, {status.state}"),
        ("Made by", status.backend),
        ("Node", _nodes(status)),
        ("Server", f"{status.server} {status.version}".strip()),
        ("Kubeconfig", status.kubeconfig),
        ("Contexts", "; ".join(_context(*item) for item in status.contexts.items())),
        ("Programs", status.programs),
        ("Audit log", status.audit_log),
    ]
    text = "\n".join(f"{name + ':':<12}{value}" for name, value in facts if value)
    rows = [("COMPONENT", "STATE", "PID", "LOG")]
    rows += [(part.name, part.state, str(part.pid or "-"), part.log) for part in status.parts]
    return f"{text}\n\n{table(rows)}" if status.parts else text


def _nodes(status: Status) -> str:
    return f"{status.nodes} x {status.node}" if status.nodes > 1 else status.node


def _context(name: str, groups: Sequence[str]) -> str:
    return f"{name} (group {', '.join(groups)})" if groups else f"{name} (no group)"


def _part(cluster: Cluster, name: str) -> Part:
    process = processes.recorded(cluster.folder.pid(name))
    url = health.url(cluster.slot, name)
    if process is None:
        state = "dead"
    else:
        state = "running" if url is None or probe.healthy(url) else "unhealthy"
    return Part(name, state, process.pid if process else None, str(cluster.folder.log(name)))


def _version(cluster: Cluster) -> str:
    try:
        return str(probe.call(cluster, "GET", "/version")["gitVersion"])
    except OSError:
        return ""
