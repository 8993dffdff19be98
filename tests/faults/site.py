"""The cluster that cases run on: one of `hack/cluster`, with its etcd and audit log in reach."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from observatory.api.names import API_VERSION
from observatory.api.rbac import LEADER_ELECTION, OPERATOR, rules
from tests.faults.upstream import Upstream
from tests.integration.workflows import install_wishes
from tests.support.cluster import Cluster, hack_cluster, install

JsonObject = dict[str, Any]
DENY = "faults.example.com/deny"
"""A label of namespaces: what a policy of the cluster denies in them, one of `DENIED`."""
DENIED = {
    "pods": ("pods", "CREATE"),
    "releases": ("pods", "UPDATE"),
    "statuses": ("observatories/status", "UPDATE"),
    "revisions": ("controllerrevisions", "CREATE"),
    "events": ("events", "CREATE"),
}
ACCOUNTS = "faults-operators"
"""The namespace of the operators' accounts."""
RBAC = "rbac.authorization.k8s.io/v1"
ROLES = {"faults-operator": OPERATOR, "faults-election": LEADER_ELECTION}


@dataclass(frozen=True, slots=True)
class Site:
    """Where the parts of a cluster are."""

    name: str
    kubeconfig: Path

    @property
    def folder(self) -> Path:
        """The folder of the cluster."""
        return self.kubeconfig.parent

    @property
    def audit(self) -> Path:
        """The API server's audit log."""
        return self.folder / "logs" / "audit.log"

    @property
    def etcd(self) -> str:
        """The URL of etcd."""
        flag = "--listen-client-urls="
        arguments = self.argv("etcd")
        return next(item.removeprefix(flag) for item in arguments if item.startswith(flag))

    def pid(self, component: str) -> int:
        """The process ID of a component of the cluster."""
        found: int = json.loads((self.folder / "run" / f"{component}.json").read_text())["pid"]
        return found

    def argv(self, component: str) -> list[str]:
        """The command of a component that runs."""
        raw = Path("/proc", str(self.pid(component)), "cmdline").read_bytes()
        return raw.decode().rstrip("\0").split("\0")


def made(name: str) -> Site:
    """The cluster of that name, made or healed, with what the cases need."""
    hack_cluster("up", "--name", name, "--kwok", "--nodes", "2", "--audit")
    site = Site(name, Path(hack_cluster("kubeconfig", "--name", name)))
    cluster = Cluster(str(site.kubeconfig), site.audit)
    install(cluster)
    install_wishes(cluster)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ACCOUNTS}})
    for role, permissions in ROLES.items():
        obj = {"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": role}}
        cluster.apply({**obj, "rules": rules(permissions)})
    for denied in DENIED:
        for policy in _denial(denied):
            cluster.apply(policy)
    return site


def _denial(name: str) -> list[JsonObject]:
    """A policy that denies the operators a kind of write in namespaces that ask for it."""
    resource, operation = DENIED[name]
    api = "admissionregistration.k8s.io/v1"
    rule = {"apiGroups": ["*"], "apiVersions": ["*"]}
    spec: JsonObject = {
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {DENY: name}},
            "resourceRules": [{**rule, "operations": [operation], "resources": [resource]}],
        },
        "matchConditions": [
            {"name": "operators", "expression": "request.userInfo.username.contains('-operator-')"}
        ],
        "validations": [{"expression": "false", "message": "not today", "reason": "Forbidden"}],
    }
    metadata = {"name": f"faults-{name}"}
    policy = {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": metadata}
    binding: JsonObject = {**policy, "kind": "ValidatingAdmissionPolicyBinding"}
    binding["spec"] = {"policyName": f"faults-{name}", "validationActions": ["Deny"]}
    return [{**policy, "spec": spec}, binding]


def removed(name: str) -> None:
    """Remove the cluster."""
    hack_cluster("down", "--name", name)


async def prepare(
    upstream: Upstream, namespace: str, operators: int, labels: Mapping[str, str]
) -> list[str]:
    """Make a namespace with an account for each operator; their tokens, once they are of use.

    The accounts are elsewhere, and their rights are not the namespace's own: both outlive it.
    """
    metadata = {"name": namespace, "labels": dict(labels)}
    await upstream.ask("POST", "/api/v1/namespaces", {"metadata": metadata})
    accounts = f"/api/v1/namespaces/{ACCOUNTS}/serviceaccounts"
    names = [f"{namespace}-operator-{number}" for number in range(operators)]
    for name in names:
        await upstream.ask("POST", accounts, {"metadata": {"name": name}})
    subjects = [{"kind": "ServiceAccount", "name": each, "namespace": ACCOUNTS} for each in names]
    for role in ROLES:
        ref = {"apiGroup": RBAC.partition("/")[0], "kind": "ClusterRole", "name": role}
        binding = {
            "metadata": {"name": f"{namespace}-{role}"},
            "roleRef": ref,
            "subjects": subjects,
        }
        await upstream.ask("POST", f"/apis/{RBAC}/clusterrolebindings", binding)
    tokens = []
    for name in names:
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = await upstream.ask("POST", f"{accounts}/{name}/token", request)
        tokens.append(str(answer["status"]["token"]))
    for token in tokens:
        await _until_allowed(upstream, namespace, token)
    return tokens


async def clear(upstream: Upstream, namespace: str, operators: int, *, whole: bool) -> None:
    """Remove what `prepare` made, and what was in it.

    The end of a namespace is dear: its controller asks for every kind of object there is. Where
    hundreds end, those whose end matters wait behind them. So unless `whole` it stays, empty.
    """
    targets = [f"/api/v1/namespaces/{namespace}"]
    if not whole:
        observatories = f"/apis/{API_VERSION}/namespaces/{namespace}/observatories"
        targets = [observatories, f"{targets[0]}/pods", f"{targets[0]}/events"]
    targets += [f"/apis/{RBAC}/clusterrolebindings/{namespace}-{role}" for role in ROLES]
    accounts = f"/api/v1/namespaces/{ACCOUNTS}/serviceaccounts"
    targets += [f"{accounts}/{namespace}-operator-{number}" for number in range(operators)]
    for target in targets:
        await upstream.ask("DELETE", target, accept=(404, 409))


async def _until_allowed(upstream: Upstream, namespace: str, token: str) -> None:
    """The authorizer learns of a binding by a watch of its own, a moment later."""
    paths = (
        f"/api/v1/namespaces/{namespace}/pods?limit=1",
        f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/none",
    )
    deadline = time.monotonic() + 30
    for path in paths:
        while True:
            answer = await upstream.ask("GET", path, token=token, accept=(401, 403, 404))
            if answer["httpStatus"] not in {401, 403}:
                break
            assert time.monotonic() < deadline, f"{path}: {answer}"
            await asyncio.sleep(0.02)


def kubeconfig(path: Path, server: str, namespace: str) -> None:
    """Write an operator's kubeconfig."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "case",
        "clusters": [{"name": "proxy", "cluster": {"server": server}}],
        "users": [{"name": "operator", "user": {}}],
        "contexts": [
            {
                "name": "case",
                "context": {"cluster": "proxy", "user": "operator", "namespace": namespace},
            }
        ],
    }
    path.write_text(json.dumps(content))
