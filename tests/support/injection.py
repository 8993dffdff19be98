"""Containers that admission injects into Pods, as service meshes do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.cluster import Cluster, JsonObject, eventually


def classic(*command: str) -> str:
    """One more container; JSONPatch's expression."""
    return f'[JSONPatch{{op: "add", path: "/spec/containers/-", value: {_container(command)}}}]'


def native(*command: str) -> str:
    """An init container that the kubelet ends after the others."""
    container = _container(command, ', restartPolicy: "Always"')
    return f'[JSONPatch{{op: "add", path: "/spec/initContainers", value: [{container}]}}]'


def _container(command: tuple[str, ...], more: str = "") -> str:
    if command:
        more = f", command: {json.dumps(command)}{more}"
    return f'Object.spec.containers{{name: "proxy", image: "busybox:1.36"{more}}}'


@contextmanager
def injected(cluster: Cluster, namespace: str, expression: str) -> Iterator[None]:
    """While this lasts, and from its beginning, every new Pod of the namespace has it."""
    name = f"inject-{namespace}"
    policy: JsonObject = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
    }
    binding = {**policy, "kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": name}}
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    how = {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}
    policy["spec"] = {
        "reinvocationPolicy": "Never",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "resourceRules": [{**pods, "operations": ["CREATE"]}],
        },
        "mutations": [how],
    }
    probe = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "namespace": namespace},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "task", "image": "x"}],
        },
    }
    arguments = ("create", "--dry-run=server", "-o", "jsonpath={.spec}", "-f", "-")
    try:
        cluster.apply(policy)
        cluster.apply(binding)
        eventually(
            lambda: cluster.kubectl(*arguments, stdin=json.dumps(probe), check=False),
            lambda said: '"proxy"' in said,
        )
        yield
    finally:
        for kind in ("mutatingadmissionpolicybinding", "mutatingadmissionpolicy"):
            cluster.kubectl("delete", kind, name, "--ignore-not-found")
