"""Pods of Observatories changed on their way in, as a cluster's own policies may do it.

The product knows nothing of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.cluster import LABELS, Cluster, JsonObject, eventually

_API = "admissionregistration.k8s.io/v1"


@contextmanager
def pods_changed(cluster: Cluster, namespace: str, what: str, expression: str) -> Iterator[None]:
    """While this lasts, a CEL expression is applied to every new Pod of a task there."""
    name = f"{what}-{namespace}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
    of_tasks = {"matchExpressions": [{"key": f"{LABELS}/task", "operator": "Exists"}]}
    marked = {"expression": f'Object{{metadata: Object.metadata{{labels: {{"{what}": "set"}}}}}}'}
    changes = [marked, {"expression": expression}]
    policy: JsonObject = {
        "apiVersion": _API,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "reinvocationPolicy": "Never",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "objectSelector": of_tasks,
                "resourceRules": [rule | {"resources": ["pods"]}],
            },
            "mutations": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": change}
                for change in changes
            ],
        },
    }
    binding: JsonObject = {
        "apiVersion": _API,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name},
    }
    cluster.apply(policy)
    cluster.apply(binding)
    try:
        # A new policy takes a moment to reach the API server's admission.
        eventually(lambda: _probe(cluster, namespace), lambda labels: f'"{what}":"set"' in labels)
        yield
    finally:
        for obj in (binding, policy):
            cluster.kubectl("delete", obj["kind"].lower(), name)


def _probe(cluster: Cluster, namespace: str) -> str:
    """The labels of a new Pod; it is refused until the namespace has its service account."""
    pod: JsonObject = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "probe",
            "namespace": namespace,
            "labels": {f"{LABELS}/task": "probe"},
        },
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "task", "image": "busybox:1.36"}],
        },
    }
    dry = ("create", "--filename=-", "--dry-run=server", "--output=jsonpath={.metadata.labels}")
    return cluster.kubectl(*dry, stdin=json.dumps(pod), check=False)
