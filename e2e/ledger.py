"""A ledger on the node: each container appends a line, so starts are counted where they happen.

A MutatingAdmissionPolicy mounts a folder of the node into every task's Pod of one namespace. The
product knows nothing of it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.support.cluster import LABELS, Cluster, JsonObject

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


def install(cluster: Cluster, namespace: str, folder: Path) -> None:
    """Mount `folder` of the node into the Pods of every Observatory in the namespace."""
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
    cluster.apply(policy)
    cluster.apply(
        {
            "apiVersion": api,
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": f"ledger-{namespace}"},
            "spec": {"policyName": f"ledger-{namespace}"},
        }
    )


def task(name: str, *dependencies: str, seconds: float = 0.5) -> JsonObject:
    """A task that writes its name when it starts, and works for some time."""
    made: JsonObject = {
        "name": name,
        "image": "busybox:1.36",
        "command": ["sh", "-c"],
        "args": [f"echo {name} >> {MOUNT}/starts; sleep {seconds}; echo {name} done"],
    }
    if dependencies:
        made["dependencies"] = list(dependencies)
    return made


def starts(folder: Path) -> Counter[str]:
    """How often each task's container has started."""
    ledger = folder / "starts"
    return Counter(ledger.read_text().split()) if ledger.exists() else Counter()
