"""The operator with the rights of manifests/rbac: they are enough, and none is too many."""

from __future__ import annotations

import json
from collections.abc import Container
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.integration.account import (
    WRITES,
    Account,
    granted_rights,
    make_account,
    remove_accounts,
    used_rights,
)
from tests.integration.test_admission import delete_unwanted, suspended, waiting
from tests.integration.workflows import Runs, task
from tests.support.cluster import LABELS, ROOT, Cluster, JsonObject, Operator, eventually, now

pytestmark = pytest.mark.integration


def role(name: str) -> JsonObject:
    loaded: JsonObject = yaml.safe_load((ROOT / "manifests" / "rbac" / name).read_text())
    return loaded


INSTEAD_OF_STREAMS = {
    ("workflow.seventh-horizon.io", "observatories", "list"),
    ("", "pods", "list"),
}
"""What is asked for where the server has no streaming lists."""
NOT_REQUESTS = {
    # Of an admission plugin, OwnerReferencesPermissionEnforcement, when Pods are made.
    ("workflow.seventh-horizon.io", "observatories/finalizers", "update"),
    # Of our own admission policies: test_policies.py has what happens without it.
    ("workflow.seventh-horizon.io", "observatories", "operate"),
}
"""What is asked about the operator, and not by it."""


def test_every_right_is_needed_and_no_other(
    cluster: Cluster, namespace: str, account: Account, tmp_path: Path
) -> None:
    begun = now()
    flags = ("--namespace", namespace, "--leader-elect", "--lease-namespace", namespace)
    runs, log = Runs(cluster, namespace), tmp_path / "operator.log"
    with cluster.operator(*flags, log=log, kubeconfig=str(account.kubeconfig)) as operator:
        make_it_use_its_rights(runs, operator)
    assert operator.process.returncode == 0

    requests = cluster.audited(account.user, begun)
    refused = [each for each in requests if each["responseStatus"]["code"] in {401, 403}]
    assert [(each["verb"], each["requestURI"]) for each in refused] == []
    granted = granted_rights(role("role.yaml")) | granted_rights(role("leader_election_role.yaml"))
    assert used_rights(requests) == granted - NOT_REQUESTS - INSTEAD_OF_STREAMS
    wrote = {request["objectRef"]["namespace"] for request in requests if request["verb"] in WRITES}
    assert wrote == {namespace}


def contains(part: str, text: Container[str]) -> bool:
    """Whether a text has a part, or a status a field."""
    return part in text


def without_mortal(items: list[JsonObject]) -> bool:
    """Whether the one whose time was over is gone."""
    return "mortal" not in {item["metadata"]["name"] for item in items}


def make_it_use_its_rights(runs: Runs, operator: Operator) -> None:
    """One of everything."""
    for wrong in ("x", "y", "x", "y"):  # Events, and then the same again: a series
        runs.apply("mended", task("a", wrong))
        text = f'Not found: "{wrong}"'
        eventually(partial(runs.row_of_get, "mended"), partial(contains, text))
    for number in range(1, 13):  # more runs than revisions are kept
        runs.apply("mended", task("a", exit_code=number % 2), task(f"t{number}"))
        runs.end("mended", run=number)
    runs.apply("mended", task("a", exit_code=1), task("t11"))  # a revision that is known already
    runs.end("mended", run=13)
    kept = runs.cluster.get("controllerrevisions", "-n", runs.namespace)["items"]
    assert sorted(item["revision"] for item in kept) == [3, 4, 5, 6, 7, 8, 9, 10, 12, 13]

    runs.apply("edited", task("a", hold=True))
    runs.running("edited", "a")
    runs.apply("edited", task("b"))
    operator.kill()
    operator.restart()
    runs.let_go("a")
    runs.end("edited", run=2)

    runs.apply("bereft", task("a", hold=True))
    name = runs.running("bereft", "a")["metadata"]["name"]
    remove = '{"metadata": {"finalizers": null}}'
    runs.kubectl("patch", "pod", name, "--type=merge", "-p", remove)
    runs.kubectl("delete", "pod", name, "--grace-period=0", "--force")
    assert runs.end("bereft")["failure"]["reason"] == "PodLost"

    runs.apply("nightly", task("a"), schedule="0 0 29 2 *")
    eventually(partial(runs.status, "nightly"), partial(contains, "nextRunTimes"))
    recorded = {f"{LABELS}/requested-by": "x", f"{LABELS}/requested-by-groups": "system:masters"}
    ask = {"metadata": {"annotations": {f"{LABELS}/run-now": "n1", **recorded}}}
    runs.merge("nightly", ask)
    eventually(partial(runs.status, "nightly"), partial(contains, "runHistory"))

    last = {"finally": [task("last")]}
    runs.apply("mortal", task("a"), ttlSecondsAfterFinished=1, podRetention="None", **last)
    eventually(lambda: runs.cluster.get("obsy", "-n", runs.namespace)["items"], without_mortal)

    runs.apply("doomed", task("a", hold=True))
    runs.running("doomed", "a")
    runs.kubectl("delete", "observatory", "doomed", "--timeout=30s")
    stored, _ = suspended(runs, "past")
    delete_unwanted(runs, stored)
    eventually(lambda: runs.pods("doomed"), lambda pods: not pods)
    eventually(runs.tracked, lambda tracked: not tracked)


def test_cluster_wide_rights_are_enough_for_all_namespaces(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    account = make_account(cluster, namespace, tmp_path, everywhere=True)
    begun = now()
    runs, log = Runs(cluster, namespace), tmp_path / "operator.log"
    with (
        cluster.namespace(f"{namespace}-other") as other,
        cluster.operator(log=log, kubeconfig=str(account.kubeconfig)),
    ):
        runs.apply("here", task("a"), task("b", "a"))
        Runs(cluster, other).apply("there", task("a"))
        assert runs.end("here")["phase"] == "Succeeded"
        assert Runs(cluster, other).end("there")["phase"] == "Succeeded"
    remove_accounts(cluster, namespace)
    requests = cluster.audited(account.user, begun)
    assert requests
    assert not [each for each in requests if each["responseStatus"]["code"] in {401, 403}]


def test_missing_rights_are_told_and_granted_while_it_runs(
    cluster: Cluster, namespace: str, account: Account, tmp_path: Path
) -> None:
    binding = f"{namespace}-op-manager-rolebinding"
    saved = cluster.get("rolebinding", binding, "-n", namespace)
    cluster.kubectl("delete", "rolebinding", binding, "-n", namespace)
    runs, log = Runs(cluster, namespace), tmp_path / "operator.log"
    runs.apply("hopeful", task("a"))
    flags = ("--namespace", namespace)
    with cluster.operator(*flags, log=log, kubeconfig=str(account.kubeconfig)) as operator:
        line = eventually(
            lambda: [each for each in operator.lines() if each["msg"] == "Watch failed"], bool
        )[0]
        assert "cannot list or watch" in line["error"]
        assert line["error"].endswith("give the operator the rights in manifests/rbac")
        for field in ("resourceVersion", "uid", "creationTimestamp"):
            saved["metadata"].pop(field)
        cluster.apply(saved)
        assert runs.end("hopeful", seconds=90)["phase"] == "Succeeded"


def test_pods_that_may_not_be_made_are_told(
    cluster: Cluster, namespace: str, account: Account, tmp_path: Path
) -> None:
    name = f"{namespace}-op-manager-role"
    rules = cluster.get("clusterrole", name)["rules"]
    fewer = [
        {**rule, "verbs": [v for v in rule["verbs"] if v != "create"]}
        if rule["resources"] == ["pods"]
        else rule
        for rule in rules
    ]
    cluster.kubectl(
        "patch", "clusterrole", name, "--type=merge", "-p", json.dumps({"rules": fewer})
    )
    runs, log = Runs(cluster, namespace), tmp_path / "operator.log"
    flags = ("--namespace", namespace)
    with cluster.operator(*flags, log=log, kubeconfig=str(account.kubeconfig)):
        runs.apply("barred", task("a"))
        row = waiting(runs, "barred", "Forbidden")
        assert row["message"].endswith("; install the operator's RBAC rules")
        assert "Forbidden: a: " in runs.row_of_get("barred")
        cluster.kubectl(
            "patch", "clusterrole", name, "--type=merge", "-p", json.dumps({"rules": rules})
        )
        assert runs.end("barred")["phase"] == "Succeeded"
