"""Operators with no other rights than manifests/rbac gives, each as a user of its own."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import ROOT, Cluster, JsonObject

WRITES = ("create", "update", "patch", "delete", "deletecollection")


@dataclass(frozen=True, slots=True)
class Account:
    """A service account: its user name in audit logs, and a kubeconfig that reads a token file."""

    name: str
    namespace: str
    kubeconfig: Path
    token: Path

    @property
    def user(self) -> str:
        """The name by which the API server knows it."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


def token_of(cluster: Cluster, namespace: str, name: str) -> str:
    """A new token, as the kubelet asks for one on behalf of a Pod."""
    return cluster.kubectl("create", "token", name, "-n", namespace).strip()


def rbac_manifests(cluster: Cluster, namespace: str, prefix: str, folder: Path) -> list[JsonObject]:
    """manifests/rbac, installed as people do it: with kustomize, under other names."""
    folder.mkdir(parents=True, exist_ok=True)
    kustomization = {
        "namespace": namespace,
        "namePrefix": prefix,
        "resources": [os.path.relpath(ROOT / "manifests" / "rbac", folder.resolve())],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    built = cluster.kubectl("kustomize", str(folder))
    dry = cluster.kubectl("create", "--dry-run=client", "-o", "json", "-f", "-", stdin=built)
    decoder, at = json.JSONDecoder(), 0
    objects: list[JsonObject] = []
    while dry[at:].strip():
        at += len(dry[at:]) - len(dry[at:].lstrip())
        obj, at = decoder.raw_decode(dry, at)
        objects += obj["items"] if obj["kind"] == "List" else [obj]
    for obj in objects:
        obj["metadata"].pop("labels", None)  # nothing of a test is to be aggregated
    return objects


def make_account(
    cluster: Cluster, namespace: str, folder: Path, *, name: str = "op", everywhere: bool = False
) -> Account:
    """An account in the namespace with the operator's rights, in it or everywhere."""
    objects = rbac_manifests(cluster, namespace, f"{name}-", folder / name)
    for obj in objects:
        if obj["kind"].startswith("ClusterRole"):
            obj["metadata"]["name"] = f"{namespace}-{obj['metadata']['name']}"
        if obj["kind"] == "ClusterRoleBinding":
            obj["roleRef"]["name"] = f"{namespace}-{obj['roleRef']['name']}"
            reviews = "metrics" in obj["metadata"]["name"]  # tokens are of no namespace
            # As in the README, for an operator that has some namespaces only.
            if not everywhere and not reviews:
                obj["kind"] = "RoleBinding"
                obj["metadata"]["namespace"] = namespace
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=manifest)
    account = f"{name}-controller-manager"
    token = folder / name / "token"
    token.write_text(token_of(cluster, namespace, account))
    kubeconfig = folder / name / "kubeconfig"
    kubeconfig.write_text(json.dumps(kubeconfig_of(cluster, namespace, token)))
    return Account(account, namespace, kubeconfig, token)


def kubeconfig_of(cluster: Cluster, namespace: str, token: Path) -> JsonObject:
    """A kubeconfig of whoever has this token."""
    arguments = ("config", "view", "--minify", "--flatten", "-o", "json")
    made: JsonObject = json.loads(cluster.kubectl(*arguments))
    made["users"] = [{"name": "operator", "user": {"tokenFile": str(token)}}]
    made["contexts"][0]["context"] |= {"user": "operator", "namespace": namespace}
    return made


def remove_accounts(cluster: Cluster, namespace: str) -> None:
    """Remove what the accounts of a namespace have outside of it."""
    for kind in ("clusterrolebinding", "clusterrole"):
        names = cluster.kubectl("get", kind, "-o", "name").split()
        mine = [name for name in names if f"/{namespace}-" in name]
        if mine:
            cluster.kubectl("delete", *mine)


def used_rights(requests: list[JsonObject]) -> set[tuple[str, str, str]]:
    """The group, resource and verb of each request to an API object."""
    used = set()
    for request in requests:
        ref = request.get("objectRef")
        if ref:
            resource = "/".join(filter(None, (ref["resource"], ref.get("subresource"))))
            used.add((ref.get("apiGroup", ""), resource, request["verb"]))
    return used


def granted_rights(role: JsonObject) -> set[tuple[str, str, str]]:
    """The group, resource and verb of everything that a role allows."""
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
