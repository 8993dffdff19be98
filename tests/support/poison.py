"""What no API server should let in: objects and lines of a watch that break one rule each.

Some pass the CRD's schema, some are stored while there is none, some are written by somebody who
may write status or Pods, and some could only come from a broken server.
"""

from __future__ import annotations

import orjson

from observatory.api.names import (
    API_VERSION,
    FINALIZER,
    GATE,
    GROUP,
    KIND,
    LABEL_OBSERVATORY,
    LABEL_REVISION,
)
from observatory.api.types import JsonObject

HUGE = 10**30
SOME_TIME = "2026-01-01T00:00:00Z"

SPECS: dict[str, object] = {
    "no-spec": None,
    "spec-text": "tasks",
    "spec-list": [1],
    "tasks-null": {"tasks": None},
    "tasks-map": {"tasks": {"a": 1}},
    "tasks-texts": {"tasks": ["a", None, 5]},
    "no-names": {"tasks": [{}, {"image": "x"}, {"name": None, "image": None}]},
    "numbers": {"tasks": [{"name": 5, "image": 7, "command": 9, "args": HUGE}]},
    "dependencies-text": {"tasks": [{"name": "a", "image": "x", "dependencies": "a"}]},
    "dependencies-mixed": {"tasks": [{"name": "a", "image": "x", "dependencies": [None, {}, 3]}]},
    "env": {"tasks": [{"name": "a", "image": "x", "env": [None, 1, {"name": {}}]}]},
    "env-map": {"tasks": [{"name": "a", "image": "x", "env": {"A": "b"}}]},
    "drives": {
        "tasks": [{"name": "a", "image": "x"}],
        "suspend": "no",
        "maxConcurrent": "many",
        "schedule": 5,
    },
    "concurrent-huge": {"tasks": [{"name": "a", "image": "x"}], "maxConcurrent": HUGE},
    "concurrent-negative": {"tasks": [{"name": "a", "image": "x"}], "maxConcurrent": -1},
    "suspend-number": {"tasks": [{"name": "a", "image": "x"}], "suspend": 1},
    "schedule-list": {"tasks": [{"name": "a", "image": "x"}], "schedule": []},
    "unicode": {"tasks": [{"name": "\u0430\u202eb", "image": "\u0000"}]},
    "path": {"tasks": [{"name": "../../x", "image": "x"}]},
    "long": {"tasks": [{"name": "a" * 500, "image": "x" * 5000}]},
}

STATUSES: dict[str, object] = {
    "text": "Succeeded",
    "list": [1],
    "tasks-text": {"tasks": "a"},
    "tasks-mixed": {"tasks": [1, None, "a", {}]},
    "run-text": {"run": "first"},
    "run-huge": {"run": HUGE},
    "run-negative": {"run": -5},
    "phase": {"phase": "Sleeping", "run": 1},
    "revision": {"phase": "Running", "run": 1, "startTime": SOME_TIME, "revision": 5},
    "times": {"phase": "Running", "run": 1, "startTime": "yesterday"},
    "conditions": {"conditions": [1, None, {"type": 5}]},
    "waiting": {"waitingFor": "godot", "failure": 7},
}
"""Whatever the schema refuses."""

TAMPERED: dict[str, JsonObject] = {
    "succeeded": {"phase": "Succeeded"},
    "running-without-run": {"phase": "Running"},
    "running-without-start": {"phase": "Running", "run": 1, "revision": "x-bcdfghjk"},
    "running-without-revision": {
        "phase": "Running",
        "run": 1,
        "startTime": SOME_TIME,
    },
    "foreign-pod": {
        "phase": "Running",
        "run": 1,
        "revision": "x-bcdfghjk",
        "startTime": SOME_TIME,
        "tasks": [
            {
                "name": "a",
                "phase": "Running",
                "attempt": 1,
                "podName": "nobody",
                "podUID": "0b8e4f5c-0000-4000-8000-000000000000",
            }
        ],
    },
    "strange-pod-name": {
        "phase": "Running",
        "run": 1,
        "revision": "x-bcdfghjk",
        "startTime": SOME_TIME,
        "tasks": [
            {"name": "a", "phase": "Running", "attempt": 1, "podName": "../../x", "podUID": "../y"}
        ],
    },
    "strange-revision": {
        "phase": "Running",
        "run": 1,
        "revision": "../../../api/v1/namespaces",
        "startTime": SOME_TIME,
    },
    "no-uid": {
        "phase": "Running",
        "run": 1,
        "revision": "x-bcdfghjk",
        "startTime": SOME_TIME,
        "tasks": [{"name": "a", "phase": "Running", "attempt": 1}],
    },
    "unknown-task": {
        "phase": "Running",
        "run": 1,
        "revision": "x-bcdfghjk",
        "startTime": SOME_TIME,
        "tasks": [{"name": "zzz", "phase": "Pending"}, {"name": "a", "phase": "Succeeded"}],
    },
    "far-future": {
        "phase": "Running",
        "run": 2000000000,
        "revision": "x-bcdfghjk",
        "startTime": "9999-12-31T23:59:59Z",
        "tasks": [],
    },
    "ended-twice": {
        "phase": "Failed",
        "run": 1,
        "startTime": SOME_TIME,
        "completionTime": "2025-01-01T00:00:00Z",
        "tasks": [{"name": "a", "phase": "Running", "attempt": 1}],
    },
}
"""What the schema lets pass, and no operator would write."""


def owner(name: str, uid: str, **fields: object) -> JsonObject:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": name,
        "uid": uid,
        "controller": True,
        **fields,
    }


STRANGER = "0b8e4f5c-1111-4000-8000-000000000000"
PODS: dict[str, JsonObject] = {
    "no-owner": {"labels": {"observatory": "nobody"}},
    "empty-label": {"labels": {"observatory": ""}},
    "empty-label-gated": {"labels": {"observatory": ""}, "gated": True},
    "owner-gone": {"labels": {"observatory": "nobody"}, "owner": owner("nobody", STRANGER)},
    "owner-path": {"labels": {"observatory": "x"}, "owner": owner("../../x", STRANGER)},
    "owner-path-gated": {
        "labels": {"observatory": "x"},
        "owner": owner("a/b%2e", STRANGER),
        "gated": True,
    },
    "forged": {
        "labels": {"observatory": "victim", "task": "a", "run": "1", "attempt": "1"},
        "owner": "victim",
    },
    "numbers": {
        "labels": {"observatory": "victim", "task": "a", "run": "0", "attempt": "9" * 60},
        "owner": "victim",
        "gated": True,
    },
    "letters": {
        "labels": {"observatory": "victim", "task": "", "run": "one", "attempt": "two"},
        "owner": "victim",
        "gated": True,
    },
    "digits": {
        "labels": {"observatory": "victim", "task": "a", "run": "1_0", "attempt": "1"},
        "owner": "victim",
    },
    "not-controller": {
        "labels": {"observatory": "victim"},
        "owner": owner("victim", STRANGER, controller=False),
    },
    "annotated": {
        "labels": {"observatory": "victim"},
        "annotations": {f"example.com/{number}": "x" * 20_000 for number in range(10)},
    },
    "tracked": {"labels": {"observatory": "nobody"}, "tracked": True},
}


def pod_of(name: str, wish: JsonObject, victim: str, uid: str) -> JsonObject:
    """A Pod that looks like one of the victim's, more or less, as a client would create it."""
    labels = {
        f"{GROUP}/{label}": victim if value == "victim" else value
        for label, value in wish["labels"].items()
    }
    metadata: JsonObject = {"name": name, "labels": labels}
    if "owner" in wish:
        by = wish["owner"]
        metadata["ownerReferences"] = [owner(victim, uid) if by == "victim" else by]
    if "annotations" in wish:
        metadata["annotations"] = wish["annotations"]
    if "tracked" in wish or "gated" in wish:
        metadata["finalizers"] = [FINALIZER]
    spec: JsonObject = {"containers": [{"name": "other", "image": "x"}]}
    spec["restartPolicy"] = "Never"
    if "gated" in wish:
        spec["schedulingGates"] = [{"name": GATE}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


PARTS_OF_PODS: list[tuple[tuple[str, ...], object]] = [
    (("metadata", "labels"), [LABEL_OBSERVATORY]),
    (("metadata", "labels"), LABEL_OBSERVATORY),
    (("metadata", "labels"), {LABEL_OBSERVATORY: 5}),
    (("metadata", "labels"), {LABEL_OBSERVATORY: ["victim"], LABEL_REVISION: None}),
    (("metadata", "ownerReferences"), "nobody"),
    (("metadata", "ownerReferences"), [1, None]),
    (("metadata", "ownerReferences"), [{**owner("victim", STRANGER), "uid": ["u"]}]),
    (("metadata", "finalizers"), 5),
    (("metadata", "creationTimestamp"), "yesterday"),
    (("metadata", "creationTimestamp"), None),
    (("metadata", "creationTimestamp"), "9999-12-31T23:59:59-14:00"),
    (("metadata", "deletionTimestamp"), 5),
    (("spec",), None),
    (("spec",), "x"),
    (("spec", "schedulingGates"), [1]),
    (("spec", "schedulingGates"), "gated"),
    (("spec", "nodeName"), ["node"]),
    (("status",), "Succeeded"),
    (("status",), [1]),
    (("status", "phase"), ["Succeeded"]),
    (("status", "containerStatuses"), {"task": 1}),
    (("status", "containerStatuses"), [1, None]),
    (("status", "containerStatuses"), [{"name": "task", "state": 5}]),
    (("status", "containerStatuses"), [{"name": "task", "state": {"waiting": {"reason": 5}}}]),
    (("status", "conditions"), 7),
    (
        ("status", "conditions"),
        [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "lastTransitionTime": "9999-12-31T23:59:59Z",
            }
        ],
    ),
]
"""What to put into a good Pod, and where; no API server stores it, but for the last one."""

REVISIONS: list[object] = [
    *(None, "tasks", [], {}, {"spec": 5}, {"spec": {"tasks": [{}]}}),
    {"spec": {"tasks": [{"name": ["a"], "image": "x"}]}},
    {"spec": {"tasks": [{"name": "a", "image": "x", "dependencies": ["a"]}]}},
    {"spec": {"tasks": [{"name": "a", "image": "x", "dependencies": ["gone"]}]}},
]
"""The `data` of a ControllerRevision that somebody else wrote."""


def _event(type_: object, **metadata: object) -> bytes:
    whole = {"name": "x", "namespace": "bad", "uid": "u", "resourceVersion": "5"} | metadata
    return orjson.dumps({"type": type_, "object": {"metadata": whole}})


LINES: list[bytes] = [
    *(b"\xff\xfe", b"{", b"null", b"[]", b"5", b'""', b"{}", b"NaN", b'{"type": "ADDED"}'),
    b'{"type": "ADDED", "object": null}',
    b'{"type": "ADDED", "object": {"metadata": null}}',
    b'{"type": "MODIFIED", "object": {"metadata": {"name": "\\ud800"}}}',
    b'{"type": "ADDED", "object": ' + b"[" * 1020 + b"]" * 1020 + b"}",
    b'{"type": "ADDED", "object": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"type": "ADDED", "object": {"metadata": {"resourceVersion": ' + b"9" * 5000 + b"}}}",
    b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "soon"}}}',
    b'{"type": "ERROR", "object": "help"}',
    *(_event("ADDED", resourceVersion=version) for version in (None, 5, "", "-1", "9" * 5000)),
    *(_event("ADDED", uid=uid) for uid in (None, 5, ["u"])),
    *(_event("ADDED", name=name) for name in (None, 5, ["x"])),
    *(_event("DELETED", namespace=namespace) for namespace in (5, ["bad"])),
]
"""What is skipped and told, and moves nothing: lines of a watch."""
