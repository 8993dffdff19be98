"""Operations on an API server, and what of their outcome has to be the same on every one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import strategies as st

from observatory.api.names import CONTROLLER_REVISIONS, LEASES, PODS, Key, Resource
from observatory.api.types import JsonObject
from observatory.kube.api import Api, PatchKind
from observatory.kube.errors import ApiError

# A kind of our own, so that the project's schema does not matter here.
THINGS = Resource("honest.example.org", "v1", "things", "Thing")
KINDS = {"pod": PODS, "thing": THINGS, "revision": CONTROLLER_REVISIONS, "lease": LEASES}
HOME = "honest"
LABEL = "example"
_PRESERVE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
CRD: JsonObject = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.honest.example.org"},
    "spec": {
        "group": THINGS.group,
        "names": {
            "kind": "Thing",
            "plural": "things",
            "singular": "thing",
            "listKind": "ThingList",
        },
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": _PRESERVE},
            }
        ],
    },
}


def body_of(kind: str, name: str, label: str, *, gated: bool, held: bool) -> JsonObject:
    metadata: JsonObject = {"name": name, "labels": {LABEL: label}}
    if held:
        metadata["finalizers"] = ["honest.example.org/hold"]
    item: JsonObject = {"apiVersion": KINDS[kind].api_version, "kind": KINDS[kind].kind}
    item["metadata"] = metadata
    match kind:
        case "pod":
            item["spec"] = {
                "containers": [{"name": "task", "image": "none.invalid/x"}],
                "schedulerName": "nobody",  # or else the scheduler tells of its failures
                "schedulingGates": [{"name": "honest.example.org/gate"}] if gated else [],
            }
            item["status"] = {"phase": "Succeeded"}
        case "thing":
            item |= {"spec": {"n": 0}, "status": {"phase": "Running"}}
        case "revision":
            item |= {"data": {"n": 0}, "revision": 1}
        case _:
            item["spec"] = {"holderIdentity": "a", "leaseDurationSeconds": 15}
    return item


@dataclass
class Session:
    """One API server, and what its user has last seen there."""

    api: Api
    label: str
    seen: dict[str, JsonObject] = field(default_factory=dict)
    older: dict[str, JsonObject] = field(default_factory=dict)

    def key(self, kind: str) -> Key:
        return Key(HOME, f"{kind}-{self.label}")

    def remember(self, kind: str, item: JsonObject) -> None:
        if item.get("kind") != "Status":
            self.older[kind] = self.seen.get(kind, item)
            self.seen[kind] = item

    def uid(self, kind: str, *, right: bool) -> str:
        other = "11111111-1111-1111-1111-111111111111"
        return str(self.seen[kind]["metadata"]["uid"]) if right and kind in self.seen else other


Operation = Callable[[Session], Awaitable[JsonObject]]


def create(kind: str, *, gated: bool, held: bool) -> Operation:
    return lambda s: s.api.create(
        KINDS[kind],
        HOME,
        body_of(kind, s.key(kind).name, s.label, gated=gated, held=held),
    )


def get(kind: str) -> Operation:
    return lambda s: s.api.get(KINDS[kind], s.key(kind))


def replace(kind: str, *, what: str, version: str, status: bool) -> Operation:
    async def run(s: Session) -> JsonObject:
        base = s.older if version == "older" else s.seen
        item = orjson.loads(
            orjson.dumps(
                base.get(kind) or body_of(kind, s.key(kind).name, s.label, gated=True, held=False)
            )
        )
        if version == "none":
            item["metadata"].pop("resourceVersion", None)
        _change(item, kind, what)
        subresource = "status" if status else None
        return await s.api.replace(KINDS[kind], s.key(kind), item, subresource=subresource)

    return run


def _change(item: JsonObject, kind: str, what: str) -> None:
    match what, kind:
        case "label", _:
            item["metadata"].setdefault("labels", {})["changed"] = "yes"
        case "spec", "pod":
            item["spec"]["containers"][0]["image"] = "none.invalid/y"
        case "spec", "thing":
            item["spec"]["n"] = item["spec"].get("n", 0) + 1
        case "spec", "revision":
            item["data"] = {"n": 1}
        case "spec", _:
            item["spec"]["holderIdentity"] = "b"
        case "status", "pod":
            item["status"]["message"] = "told"
        case "status", "thing":
            item["status"] = {"phase": "Told"}
        case "finalizers", _:
            item["metadata"]["finalizers"] = ["honest.example.org/late"]
        case _:
            pass


def ungate(kind: str, *, right: bool) -> Operation:
    return lambda s: s.api.patch(
        KINDS[kind],
        s.key(kind),
        [
            {"op": "test", "path": "/metadata/uid", "value": s.uid(kind, right=right)},
            {"op": "test", "path": "/spec/schedulingGates/0/name", "value": GATE},
            {"op": "remove", "path": "/spec/schedulingGates/0"},
        ],
        kind=PatchKind.JSON,
    )


GATE = "honest.example.org/gate"
MERGES: dict[str, JsonObject] = {
    "label": {"metadata": {"labels": {"merged": "yes"}}},
    "unlabel": {"metadata": {"labels": {"merged": None}}},
    "release": {"metadata": {"finalizers": None}},
    "gate": {"spec": {"schedulingGates": [{"name": "honest.example.org/new"}]}},
    "stale": {"metadata": {"resourceVersion": "1", "labels": {"merged": "stale"}}},
    "nothing": {},
}
MERGES_OF = {True: sorted(MERGES), False: sorted(MERGES.keys() - {"gate"})}


def merge(kind: str, what: str) -> Operation:
    return lambda s: s.api.patch(KINDS[kind], s.key(kind), MERGES[what], kind=PatchKind.MERGE)


def delete(kind: str, uid: str) -> Operation:
    return lambda s: s.api.delete(
        KINDS[kind],
        s.key(kind),
        uid=None if uid == "none" else s.uid(kind, right=uid == "right"),
    )


def summary(item: JsonObject) -> JsonObject:
    """What has to be the same on both: all that a controller looks at."""
    if item.get("kind") == "Status":
        return {"status": item.get("status"), "details": sorted(item.get("details", {}))}
    metadata, spec = item["metadata"], item.get("spec") or {}
    return {
        "kind": item.get("kind"),
        "generation": metadata.get("generation"),
        "labels": {k: v for k, v in (metadata.get("labels") or {}).items() if k != LABEL},
        "finalizers": metadata.get("finalizers"),
        "deleting": "deletionTimestamp" in metadata,
        "grace": metadata.get("deletionGracePeriodSeconds"),
        "gates": spec.get("schedulingGates") or [],
        "n": spec.get("n"),
        "holder": spec.get("holderIdentity"),
        "data": item.get("data"),
        "phase": (item.get("status") or {}).get("phase"),
        "message": (item.get("status") or {}).get("message"),
    }


async def outcome(session: Session, kind: str, operation: Operation) -> tuple[Any, ...]:
    before = session.seen.get(kind)
    try:
        item = await operation(session)
    except ApiError as error:
        return error.status, error.reason, sorted(error.causes & {"NamespaceTerminating"})
    session.remember(kind, item)
    moved = None
    if before is not None and item.get("kind") != "Status":
        moved = (
            _version(item) - _version(before) > 0,
            item["metadata"]["uid"] == (before["metadata"]["uid"]),
        )
    return "ok", summary(item), moved


def _version(item: JsonObject) -> int:
    return int(item["metadata"]["resourceVersion"])


async def events(session: Session, kind: str, since: str) -> list[tuple[str, JsonObject]]:
    """The events of this example's object, up to the end that a label of its own marks."""
    seen: list[tuple[str, JsonObject]] = []
    marker = f"marker-{kind}-{session.label}"
    body = body_of(kind, marker, session.label, gated=True, held=False)
    await session.api.create(KINDS[kind], HOME, body)
    params = {"resourceVersion": since, "labelSelector": f"{LABEL}={session.label}"}
    versions = []
    async with session.api.watch(KINDS[kind], HOME, params) as lines:
        async for line in lines:
            event = orjson.loads(line)
            if event["object"]["metadata"]["name"] == marker:
                break
            versions.append(_version(event["object"]))
            seen.append((event["type"], summary(event["object"])))
    assert versions == sorted(set(versions))
    await session.api.delete(KINDS[kind], Key(HOME, marker))
    return seen


flags = st.booleans()
versions = st.sampled_from(["current", "older", "none"])
changes = st.sampled_from(["label", "spec", "status", "finalizers", "nothing"])


def operations(kind: str) -> st.SearchStrategy[Operation]:
    made = [
        st.builds(lambda g, h: create(kind, gated=g, held=h), flags, flags),
        st.builds(lambda w, v: replace(kind, what=w, version=v, status=False), changes, versions),
        st.sampled_from(MERGES_OF[kind == "pod"]).map(lambda what: merge(kind, what)),
        st.sampled_from(["none", "right", "wrong"]).map(lambda uid: delete(kind, uid)),
        st.just(get(kind)),
    ]
    if kind in {"pod", "thing"}:
        status = st.builds(
            lambda w, v: replace(kind, what=w, version=v, status=True),
            st.sampled_from(["status", "spec", "nothing"]),
            versions,
        )
        made.append(status)
    if kind == "pod":
        made.append(flags.map(lambda right: ungate(kind, right=right)))
    return st.one_of(made)
