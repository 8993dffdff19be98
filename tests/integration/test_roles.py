"""What a real API server lets each role do, and operators with Roles alone side by side."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.integration.account import WRITES, kubeconfig_of, rbac_manifests, token_of
from tests.integration.workflows import Runs, task
from tests.support.cluster import ROOT, Cluster, JsonObject, eventually, now

pytestmark = pytest.mark.integration

Rights = set[tuple[str, str, str]]
"""Resource with its group, verb, and the name of the only object, if there is one."""

NAMESPACED = ROOT / "manifests" / "namespaced"
ACCOUNT = "observatory-operator-controller-manager"


def documented(role: str) -> Rights:
    """What docs/roles.md says of a role."""
    page = (ROOT / "docs" / "roles.md").read_text()
    section = page.split(f"## {role}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)`(?:, only `([^`]+)`)? \| ([a-z, ]+) \|", section, re.MULTILINE)
    return {(target, verb, only) for target, only, verbs in rows for verb in verbs.split(", ")}


def told(cluster: Cluster, namespace: str, user: str) -> Rights:
    """What `kubectl auth can-i --list` is told of a user."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    answer = cluster.kubectl(
        *("create", "--validate=false", "-f", "-", "-o", "json", f"--as={user}"),
        stdin=json.dumps(review),
    )
    return {
        (f"{target}.{group}" if group else target, verb, name)
        for rule in json.loads(answer)["status"]["resourceRules"]
        for group in rule["apiGroups"]
        for target in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames") or [""]
    }


def roles() -> list[str]:
    page = (ROOT / "docs" / "roles.md").read_text()
    return [
        name for name in re.findall(r"^## ([a-z-]+)$", page, re.MULTILINE) if "reader" not in name
    ]


@pytest.fixture
def bound(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[None]:
    """The roles of manifests/rbac, each bound to a user of its name, in this namespace."""
    objects = rbac_manifests(cluster, namespace, "", tmp_path / "rbac")
    made = [each for each in objects if each["kind"] in {"ClusterRole", "Role"}]
    for role in made:
        name = role["metadata"]["name"]
        if role["kind"] == "ClusterRole":
            role["metadata"]["name"] = f"{namespace}-{name}"
        cluster.apply(role)
        flag = f"--{role['kind'].lower()}={role['metadata']['name']}"
        cluster.kubectl("create", "rolebinding", name, "-n", namespace, flag, f"--user={name}")
    yield
    for role in made:
        if role["kind"] == "ClusterRole":
            cluster.kubectl("delete", "clusterrole", role["metadata"]["name"])


@pytest.mark.usefixtures("bound")
def test_each_role_may_do_what_its_page_says_and_nothing_else(
    cluster: Cluster, namespace: str
) -> None:
    everybody = told(cluster, namespace, "nobody-in-particular")
    assert len(roles()) == 7
    for role in roles():
        assert documented(role), role
        allowed = eventually(
            lambda role=role: told(cluster, namespace, role) - everybody,  # type: ignore[misc]
            bool,
        )
        assert allowed == documented(role), role


def namespaced(cluster: Cluster, namespace: str, folder: Path) -> list[JsonObject]:
    """manifests/namespaced, for that namespace."""
    folder.mkdir()
    resources = [os.path.relpath(NAMESPACED, folder.resolve())]
    kustomization = {"namespace": namespace, "resources": resources}
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    return list(yaml.safe_load_all(cluster.kubectl("kustomize", str(folder))))


def test_operators_with_roles_alone_work_side_by_side(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    begun = now()
    other = f"{namespace}-other"
    with cluster.namespace(other):
        for where in (namespace, other):
            objects = namespaced(cluster, where, tmp_path / where)
            assert {each["metadata"]["namespace"] for each in objects} == {where}
            kinds = {each["kind"] for each in objects}
            assert not {kind for kind in kinds if kind.startswith("Cluster")}
            for each in objects:
                if each["kind"] != "Deployment":  # its image is nowhere; the test is its Pod
                    cluster.apply(each)
            token = tmp_path / where / "token"
            token.write_text(token_of(cluster, where, ACCOUNT))
            config = kubeconfig_of(cluster, where, token)
            (tmp_path / where / "kubeconfig").write_text(json.dumps(config))
        started = [
            cluster.operator(
                *flags(where),
                log=tmp_path / f"{where}.log",
                kubeconfig=str(tmp_path / where / "kubeconfig"),
            )
            for where in (namespace, other)
        ]
        with started[0], started[1]:
            for where in (namespace, other):
                runs = Runs(cluster, where)
                runs.apply("a", task("a"), task("b", "a"))
                runs.apply("nightly", task("a"), schedule="0 0 29 2 *")
                assert runs.end("a")["phase"] == "Succeeded"
                eventually(lambda runs=runs: runs.status("nightly"), bool)  # type: ignore[misc]
        for where in (namespace, other):
            requests = cluster.audited(f"system:serviceaccount:{where}:{ACCOUNT}", begun)
            assert {each["objectRef"]["namespace"] for each in requests} == {where}
            assert [each for each in requests if each["responseStatus"]["code"] in {401, 403}] == []
            assert {each["verb"] for each in requests} & set(WRITES)


def flags(namespace: str) -> list[str]:
    """What the Deployment gives to the operator that a test can give, too."""
    patches = yaml.safe_load((NAMESPACED / "kustomization.yaml").read_text())["patches"]
    (text,) = [each["patch"] for each in patches if each["target"]["kind"] == "Deployment"]
    args: list[str] = next(each["value"] for each in yaml.safe_load(text) if "args" in each["path"])
    return [arg.replace("$(NAMESPACE)", namespace) for arg in args if "bind-address" not in arg]
