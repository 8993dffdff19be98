"""manifests/admission on a real API server: what strangers try is refused, the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest

from tests.integration.account import make_account, remove_accounts
from tests.integration.test_rbac import make_it_use_its_rights
from tests.integration.workflows import FINALIZER, GATE, Runs, observatory, task
from tests.support.cluster import LABELS, ROOT, Cluster, JsonObject, eventually, now

pytestmark = pytest.mark.integration

SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))
OURS = "begin with workflow.seventh-horizon.io/ are the operator's"

AUTHOR = "--as=author"
"""May write Observatories, and nothing else."""
TENANT = "--as=tenant"
"""May do whatever RBAC knows of in the namespace, but for what is the operator's."""


def bind(cluster: Cluster, namespace: str, user: str, *, pods: bool) -> None:
    """Let a user write Observatories, and, if so, Pods and what belongs to them."""
    verbs = ["create", "delete", "get", "list", "patch", "update"]
    groups = {LABELS: ["observatories", "observatories/status"]}
    if pods:
        groups |= {"": ["pods", "secrets"], "apps": ["controllerrevisions", "deployments"]}
    rules = [
        {"apiGroups": [group], "resources": resources, "verbs": verbs}
        for group, resources in groups.items()
    ]
    api = "rbac.authorization.k8s.io"
    metadata = {"name": user, "namespace": namespace}
    role = {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": metadata, "rules": rules}
    binding = {
        **role,
        "kind": "RoleBinding",
        "roleRef": {"apiGroup": api, "kind": "Role", "name": user},
        "subjects": [{"apiGroup": api, "kind": "User", "name": user}],
    }
    del binding["rules"]
    cluster.apply(role)
    cluster.apply(binding)


@pytest.fixture(scope="module", autouse=True)
def in_force(cluster: Cluster) -> Iterator[None]:
    """The policies, as kustomize makes them."""
    built = cluster.kubectl("kustomize", str(ROOT / "manifests" / "admission"))
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=built)
    probe = json.dumps(observatory("kube-public", "probe", task("a")))
    bind(cluster, "kube-public", "author", pods=False)
    create = ("create", "--dry-run=server", "-f", "-", AUTHOR)
    try:
        eventually(
            lambda: cluster.kubectl(*create, stdin=probe, check=False),
            lambda said: "may not create pods" in said,
        )
        yield
    finally:
        cluster.kubectl("delete", "-f", "-", stdin=built)
        cluster.kubectl("delete", "role,rolebinding", "author", "-n", "kube-public")


@pytest.fixture
def people(cluster: Cluster, namespace: str) -> None:
    bind(cluster, namespace, "author", pods=False)
    bind(cluster, namespace, "tenant", pods=True)


def test_the_api_server_finds_nothing_wrong_with_the_policies(cluster: Cluster) -> None:
    names = ("requesters", "status", "observatories", "children", "gates")
    for name in names:
        policy = eventually(
            lambda name=name: cluster.get("validatingadmissionpolicy", name),  # type: ignore[misc]
            lambda policy: "typeChecking" in policy.get("status", {}),
        )
        assert policy["status"]["typeChecking"] == {}
        assert policy["spec"]["failurePolicy"] == "Fail"


def workflows() -> list[JsonObject]:
    """Twenty that somebody might try."""
    plain = task("a")
    specs: list[JsonObject] = [
        {"tasks": [plain]},
        {"tasks": [plain, task("b", "a")]},
        {"tasks": [plain], "suspend": True},
        {"tasks": [plain], "finally": [task("z")]},
        {"tasks": [plain], "schedule": "@yearly"},
        {"tasks": [plain], "schedule": "@yearly", "suspend": True},
        {"tasks": [plain], "schedules": [{"name": "n", "schedule": "@daily"}]},
        {"tasks": [plain], "securityContext": {"runAsUser": 0}},
        {"tasks": [{**plain, "securityContext": {"runAsNonRoot": False}}]},
        {"tasks": [{**plain, "image": "registry.example.com/miner:1"}]},
        {"tasks": [{**plain, "command": ["sh", "-c"], "args": ["cat /var/run/secrets/*"]}]},
        {"tasks": [plain], "retry": {"limit": 99}},
        {"tasks": [{**plain, "resources": {"limits": {"memory": "64Gi"}}}]},
        {"tasks": [plain], "ttlSecondsAfterFinished": 0},
        {"tasks": [plain], "podRetention": "None"},
        {"tasks": [task(f"t{number}") for number in range(100)], "maxConcurrent": 100},
    ]
    for source in ("secretKeyRef", "configMapKeyRef"):
        env = {"name": "X", "valueFrom": {source: {"name": "s", "key": "k"}}}
        specs.append({"tasks": [{**plain, "env": [env]}]})
    for field in ("spec.serviceAccountName", "status.hostIP"):
        env = {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": field}}}
        specs.append({"tasks": [{**plain, "env": [env]}]})
    return specs


@pytest.mark.usefixtures("people")
def test_who_may_not_create_pods_gets_none_by_way_of_a_workflow(
    cluster: Cluster, namespace: str
) -> None:
    assert len(workflows()) == 20
    for spec in workflows():
        made = json.dumps({**observatory(namespace, "w", task("a")), "spec": spec})
        create = ("create", "-f", "-", "--dry-run=server")
        refused = cluster.kubectl(*create, AUTHOR, stdin=made, check=False)
        assert f"spec: author may not create pods in namespace {namespace}" in refused, spec
        assert "created" in cluster.kubectl(*create, TENANT, stdin=made), spec


@pytest.mark.usefixtures("people")
def test_who_may_not_create_pods_makes_no_workflow_of_others_do_it(
    cluster: Cluster, namespace: str
) -> None:
    runs = Runs(cluster, namespace)
    runs.apply("theirs", task("a"), suspend=True)
    patches: list[JsonObject] = [{"spec": {"suspend": False}}, {"spec": {"tasks": [task("x")]}}]
    patches += [
        {"metadata": {"annotations": {f"{LABELS}/{request}": "a"}}}
        for request in ("retry", "retry-from", "run-now", "backfill", "backfill-range")
    ]
    for patch in patches:
        arguments = ("patch", "observatory", "theirs", "--type=merge", "-p", json.dumps(patch))
        assert "may not create pods" in runs.kubectl(*arguments, AUTHOR, check=False), patch
        assert "patched" in runs.kubectl(*arguments, TENANT, "--dry-run=server"), patch
    # What starts nothing is RBAC's alone.
    for harmless in ("stop", "terminate", "traceparent"):
        runs.kubectl("annotate", "observatory", "theirs", f"{LABELS}/{harmless}=a", AUTHOR)
    runs.kubectl("label", "observatory", "theirs", "team=red", AUTHOR)
    runs.kubectl("delete", "observatory", "theirs", AUTHOR)


@pytest.mark.usefixtures("people")
def test_nobody_but_the_operator_writes_status(cluster: Cluster, namespace: str) -> None:
    runs = Runs(cluster, namespace)
    runs.apply("mine", task("a"), suspend=True)
    statuses: tuple[JsonObject, ...] = ({"phase": "Succeeded"}, {"run": 7}, {"tasks": []})
    for status in statuses:
        patch = json.dumps({"status": status})
        arguments = ("patch", "observatory", "mine", "--type=merge", "--subresource=status", "-p")
        refused = runs.kubectl(*arguments, patch, TENANT, check=False)
        assert "status: only the operator writes it, and tenant may not operate" in refused


def pod(namespace: str) -> JsonObject:
    container = {"name": "task", "image": "busybox:1.36"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": namespace},
        "spec": {"automountServiceAccountToken": False, "containers": [container]},
    }


def owner(stored: JsonObject) -> JsonObject:
    return {
        "apiVersion": stored["apiVersion"],
        "kind": stored["kind"],
        "name": stored["metadata"]["name"],
        "uid": stored["metadata"]["uid"],
        "controller": True,
    }


@pytest.mark.usefixtures("people")
def test_nobody_but_the_operator_makes_what_looks_like_its_own(
    cluster: Cluster, namespace: str
) -> None:
    runs = Runs(cluster, namespace)
    runs.apply("mine", task("a"), suspend=True)
    stored = cluster.get("observatory", "mine", "-n", namespace)
    revision: JsonObject = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"name": "r", "namespace": namespace},
        "revision": 1,
        "data": {"spec": {}},
    }
    child = observatory(namespace, "child", task("a"))
    metadata: dict[str, JsonObject] = {
        f"metadata.labels: those that {OURS}": {"labels": {f"{LABELS}/observatory": "mine"}},
        f"metadata.finalizers: those that {OURS}": {"finalizers": [FINALIZER]},
        "metadata.ownerReferences: only the operator": {"ownerReferences": [owner(stored)]},
    }
    create = ("create", "--dry-run=server", "-f", "-", TENANT)
    for template in (pod(namespace), revision, child):
        assert "created" in cluster.kubectl(*create, stdin=json.dumps(template))
        for message, more in metadata.items():
            forged = deepcopy(template)
            forged["metadata"] |= more
            assert message in cluster.kubectl(*create, stdin=json.dumps(forged), check=False)

    gated = pod(namespace)
    gated["spec"]["schedulingGates"] = [{"name": GATE}]
    refused = cluster.kubectl(*create, stdin=json.dumps(gated), check=False)
    assert f"spec.schedulingGates: those that {OURS}" in refused
    gated["spec"]["schedulingGates"] = [{"name": "example.com/other"}]
    assert "created" in cluster.kubectl(*create, stdin=json.dumps(gated))

    for name in ("admitted", "run-number", "scheduled-time", "schedule-traceparent", "anything"):
        child["metadata"]["annotations"] = {f"{LABELS}/{name}": "start"}
        refused = cluster.kubectl(*create, stdin=json.dumps(child), check=False)
        assert f"metadata.annotations: those that {OURS}" in refused, name


@pytest.mark.usefixtures("people")
def test_nobody_but_the_operator_changes_what_it_relies_on(runs: Runs) -> None:
    runs.apply("held", task("a", hold=True), task("z", "a"))
    name = runs.running("held", "a")["metadata"]["name"]

    def patch(body: JsonObject, *arguments: str) -> str:
        kind = arguments or ("pod", name)
        return runs.kubectl(
            "patch", *kind, "--type=merge", "-p", json.dumps(body), TENANT, check=False
        )

    labels = f"metadata.labels: those that {OURS}"
    for change in ({f"{LABELS}/attempt": "2"}, {f"{LABELS}/attempt": None}, {f"{LABELS}/x": "y"}):
        assert labels in patch({"metadata": {"labels": change}})
    assert f"metadata.finalizers: those that {OURS}" in patch({"metadata": {"finalizers": None}})
    other = {"finalizers": [FINALIZER, "example.com/other"], "labels": {"team": "red"}}
    assert "patched" in patch({"metadata": {**other, "annotations": {"note": "mine"}}})
    assert "patched" in patch({"metadata": {"finalizers": [FINALIZER]}})

    revision = runs.kubectl("get", "controllerrevisions", "-o", "name").strip()
    changed = {"metadata": {"labels": {f"{LABELS}/observatory": "other"}}}
    assert labels in patch(changed, revision)

    # A tenant's Pods are the tenant's to delete.
    runs.kubectl("delete", "pod", name, TENANT, "--wait=false")
    assert runs.end("held")["phase"] == "Failed"


@pytest.mark.usefixtures("people")
def test_a_gate_is_taken_away_by_the_operator_alone(cluster: Cluster, namespace: str) -> None:
    runs = Runs(cluster, namespace)
    forged = pod(namespace)
    forged["spec"]["schedulingGates"] = [{"name": GATE}]
    cluster.apply(forged)  # an administrator may
    take = json.dumps([{"op": "remove", "path": "/spec/schedulingGates"}])
    arguments = ("patch", "pod", "p", "--type=json", "-p", take)
    refused = runs.kubectl(*arguments, TENANT, check=False)
    assert f"spec.schedulingGates: those that {OURS}" in refused
    assert "patched" in runs.kubectl(*arguments)


@pytest.mark.usefixtures("people")
def test_the_garbage_collector_orphans_and_deletes(runs: Runs) -> None:
    for name, cascade in (("left", "orphan"), ("taken", "foreground")):
        runs.apply(name, task("a"))
        runs.end(name)
        runs.kubectl("delete", "observatory", name, f"--cascade={cascade}", TENANT)
    orphans = eventually(
        lambda: runs.pods("left"),
        lambda pods: not any("ownerReferences" in pod["metadata"] for pod in pods.values()),
    )
    assert len(orphans) == 1
    assert runs.pods("taken") == {}


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_whoever_may_create_pods_may_run_the_samples(
    cluster: Cluster, namespace: str, sample: Path
) -> None:
    apply = ("apply", "--server-side", "--dry-run=server", "-n", namespace, TENANT)
    assert "serverside-applied" in cluster.kubectl(*apply, "-f", str(sample))


def test_the_operator_with_its_own_rights_is_refused_nothing(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    account = make_account(cluster, namespace, tmp_path)
    begun = now()
    runs, log = Runs(cluster, namespace), tmp_path / "operator.log"
    with cluster.operator(
        "--namespace", namespace, log=log, kubeconfig=str(account.kubeconfig)
    ) as operator:
        make_it_use_its_rights(runs, operator)
    remove_accounts(cluster, namespace)
    requests = cluster.audited(account.user, begun)
    assert requests
    refused = [each for each in requests if each["responseStatus"]["code"] in {401, 403}]
    assert [(each["verb"], each["requestURI"]) for each in refused] == []


def test_an_operator_without_the_verb_is_a_stranger(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    account = make_account(cluster, namespace, tmp_path)
    role = f"{namespace}-op-manager-role"
    stored = cluster.get("clusterrole", role)
    stored["rules"] = [rule for rule in stored["rules"] if rule["verbs"] != ["operate"]]
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(stored))
    runs, log = Runs(cluster, namespace), tmp_path / "operator.log"
    with cluster.operator(
        "--namespace", namespace, log=log, kubeconfig=str(account.kubeconfig)
    ) as operator:
        runs.apply("mine", task("a"), suspend=True)
        line = operator.said("Reconcile failed")
    remove_accounts(cluster, namespace)
    assert "only the operator writes it" in line["error"]
    assert "status" not in cluster.get("observatory", "mine", "-n", namespace)
