"""A history as people read it: writes, requests and faults, a line each."""

from __future__ import annotations

from collections.abc import Iterator

from observatory.api.names import (
    CONTROLLER_REVISIONS,
    EVENTS,
    FINALIZER,
    GATE,
    LABEL_ATTEMPT,
    LABEL_TASK,
    OBSERVATORIES,
    PODS,
)
from observatory.api.types import JsonObject
from observatory.simulation.apiserver import Request
from observatory.simulation.scenario import Fault
from observatory.simulation.storage import Entry


def named(request: Request) -> str:
    """A request in a few words."""
    kind = request.resource.plural + (f"/{request.subresource}" if request.subresource else "")
    text = f"{request.verb} {kind} {request.key.name}".rstrip()
    if isinstance(request.body, list):
        removed = [step["path"] for step in request.body if step["op"] == "remove"]
        text += f" (removes {', '.join(removed)})" if removed else ""
    return text


def described(fault: Fault) -> str:
    """A fault in a few words."""
    parts = [fault.do, fault.who, fault.what]
    parts += [f"{fault.value}"] if fault.value is not None else []
    parts += [f"for {fault.seconds:g} s"] if fault.seconds else []
    parts += [f"{fault.when} write {fault.write}"] if fault.write is not None else []
    return " ".join(part for part in parts if part)


def narrate(entry: Entry) -> Iterator[str]:
    """What a write changed, as far as it tells the story."""
    version = f"[{entry.version}]"
    if entry.resource == OBSERVATORIES:
        for text in _observatory(entry):
            yield f"{version} {text}"
    elif entry.resource == PODS:
        for text in _pod(entry):
            yield f"{version} {text}"
    elif entry.resource == CONTROLLER_REVISIONS and entry.old is None:
        yield f"{version} ControllerRevision {entry.key.name} created"
    elif entry.resource == EVENTS and entry.old is None and entry.new is not None:
        yield f"{version} Event {entry.new.get('reason')}: {entry.new.get('note')}"


def _observatory(entry: Entry) -> Iterator[str]:
    old, new = entry.old, entry.new
    if new is None:
        yield f"Observatory {entry.key.name} is gone"
        return
    if old is None:
        yield f"Observatory {entry.key.name} created"
        return
    if old.get("spec") != new.get("spec"):
        yield f"spec edited: {_edited(old['spec'], new['spec'])}"
    if "deletionTimestamp" in new["metadata"] and "deletionTimestamp" not in old["metadata"]:
        yield "Observatory is being deleted"
    before, after = old.get("status") or {}, new.get("status") or {}
    was = {row["name"]: row for row in before.get("tasks") or ()}
    if before.get("run") != after.get("run"):
        yield f"status: run {after.get('run')} of revision {after.get('revision')} begins"
        was = {}
    for row in after.get("tasks") or ():
        text = _row(was.get(row["name"], {}), row)
        if text:
            yield f"status: task {row['name']} {text}"
    if before.get("phase") != after.get("phase"):
        yield f"status: {after.get('phase')} {after.get('progress', '')}".rstrip()


def _edited(old: JsonObject, new: JsonObject) -> str:
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return ", ".join(
        name if name == "tasks" else f"{name} {old.get(name)} -> {new.get(name)}" for name in names
    )


def _row(old: JsonObject, new: JsonObject) -> str:
    if old.get("phase", "Pending") == new["phase"] and old.get("podUID") == new.get("podUID"):
        return ""
    text = f"{old.get('phase', 'Pending')} -> {new['phase']}"
    if new["phase"] == "Running":
        return f"{text}: attempt {new.get('attempt')} is Pod {_short(new.get('podUID'))}"
    reason = new.get("reason")
    return f"{text}: {reason}" if reason else text


def _pod(entry: Entry) -> Iterator[str]:
    old, new = entry.old, entry.new
    pod = new if new is not None else old
    if pod is None:
        return
    labels = pod["metadata"].get("labels") or {}
    name = (
        f"Pod {_short(pod['metadata']['uid'])} "
        f"({labels.get(LABEL_TASK)}, attempt {labels.get(LABEL_ATTEMPT)})"
    )
    if new is None:
        yield f"{name} is gone"
    elif old is None:
        yield f"{name} created" + (", gated" if _gates(new) else ", without a gate")
    else:
        if GATE in _gates(old) and GATE not in _gates(new):
            yield f"{name} released"
        if FINALIZER in _finalizers(old) and FINALIZER not in _finalizers(new):
            yield f"{name} let go"
        if "deletionTimestamp" in new["metadata"] and "deletionTimestamp" not in old["metadata"]:
            yield f"{name} is being deleted"
        if old["spec"].get("nodeName") != new["spec"].get("nodeName"):
            yield f"{name} bound to {new['spec'].get('nodeName')}"
        if old["status"].get("phase") != new["status"].get("phase"):
            yield f"{name} {old['status'].get('phase')} -> {new['status'].get('phase')}"


def _gates(pod: JsonObject) -> list[str]:
    return [gate["name"] for gate in pod["spec"].get("schedulingGates") or ()]


def _finalizers(pod: JsonObject) -> list[str]:
    return list(pod["metadata"].get("finalizers") or ())


def _short(uid: object) -> str:
    """The end of a UID: in a simulated server it is what differs."""
    return str(uid)[-4:]
