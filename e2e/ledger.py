"""A ledger on the node: each container appends lines, so starts are counted where they happen.

A MutatingAdmissionPolicy mounts a folder of the node into every task's Pod of one namespace. The
product knows nothing of it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.support.cluster import LABELS, Cluster, JsonObject, eventually

MOUNT = "/ledger"

# The volume of service account tokens is not mounted, so there is none before ours.
_MUTATION = """
Object{spec: Object.spec{
  volumes: [Object.spec.volumes{
    name: "ledger",
    hostPath: Object.spec.volumes.hostPath{path: "%s", type: "DirectoryOrCreate"}}],
  containers: object.spec.containers.map(c, Object.spec.containers{
    name: c.name,
    volumeMounts: [Object.spec.containers.volumeMounts{name: "ledger", mountPath: "%s"}]})}}
"""


@contextmanager
def kept(cluster: Cluster, namespace: str, folder: Path) -> Iterator[None]:
    """While this lasts, `folder` of the node is in the Pods of every Observatory there."""
    api = "admissionregistration.k8s.io/v1"
    policy: JsonObject = {
        "apiVersion": api,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": f"ledger-{namespace}"},
        "spec": {
            "reinvocationPolicy": "Never",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "objectSelector": {
                    "matchExpressions": [{"key": f"{LABELS}/task", "operator": "Exists"}]
                },
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                    }
                ],
            },
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {"expression": _MUTATION % (folder, MOUNT)},
                }
            ],
        },
    }
    binding: JsonObject = {
        "apiVersion": api,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": f"ledger-{namespace}"},
        "spec": {"policyName": f"ledger-{namespace}"},
    }
    cluster.apply(policy)
    cluster.apply(binding)
    try:
        # A new policy takes a moment to reach the API server's admission.
        volumes = partial(_volumes_of_a_new_pod, cluster, namespace)
        eventually(volumes, lambda seen: '"name":"ledger"' in seen)
        yield
    finally:
        for obj in (binding, policy):
            cluster.kubectl("delete", obj["kind"].lower(), obj["metadata"]["name"])


def _volumes_of_a_new_pod(cluster: Cluster, namespace: str) -> str:
    labels = {f"{LABELS}/task": "probe"}
    container = {"name": "task", "image": "busybox:1.36"}
    pod: JsonObject = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "namespace": namespace, "labels": labels},
        "spec": {"automountServiceAccountToken": False, "containers": [container]},
    }
    dry = ("create", "--filename=-", "--dry-run=server", "--output=jsonpath={.spec.volumes}")
    # Refused until the namespace's service account is there.
    return cluster.kubectl(*dry, stdin=json.dumps(pod), check=False)


# Process 1 hears of SIGTERM only if it asks to, and a shell only while it waits.
_SCRIPT = """
say() {{ read up _ < /proc/uptime; echo "{name} $POD $1 $up" >> {mount}/ledger; }}
say start
trap 'echo {name} stopped; exit 143' TERM
sleep {seconds} & wait $!
say end
echo {name} done
"""


def task(name: str, *dependencies: str, seconds: float = 0.5) -> JsonObject:
    """A task that writes when it starts, works for some time, and writes when it ends."""
    made: JsonObject = {
        "name": name,
        "image": "busybox:1.36",
        "command": ["sh", "-c"],
        "args": [_SCRIPT.format(name=name, mount=MOUNT, seconds=seconds)],
        "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}],
    }
    if dependencies:
        made["dependencies"] = list(dependencies)
    return made


@dataclass(frozen=True, slots=True)
class Line:
    """What one container wrote: `what` is `start` or `end`, `at` the seconds since the boot."""

    task: str
    pod_uid: str
    what: str
    at: float


def lines(folder: Path) -> list[Line]:
    """The ledger, in the order in which it was written."""
    ledger = folder / "ledger"
    words = map(str.split, ledger.read_text().splitlines() if ledger.exists() else ())
    return [Line(task, pod_uid, what, float(at)) for task, pod_uid, what, at in words]


def starts(folder: Path) -> Counter[str]:
    """How often each task's container has started."""
    return Counter(line.task for line in lines(folder) if line.what == "start")


def ends(folder: Path) -> Counter[str]:
    """How often each task's container has come to its end by itself."""
    return Counter(line.task for line in lines(folder) if line.what == "end")


def broken(written: Iterable[Line], shape: Mapping[str, Iterable[str]]) -> list[str]:
    """Where the ledger contradicts promise 1 or the order of the tasks."""
    found: list[str] = []
    started: set[str] = set()
    ended: set[str] = set()
    for line in written:
        if line.what == "end":
            ended.add(line.task)
            continue
        if line.task in started:
            found.append(f"{line.task} started once more, in Pod {line.pod_uid}")
        started.add(line.task)
        early = sorted(set(shape[line.task]) - ended)
        found += [f"{line.task} started before {name} had ended" for name in early]
    return found
