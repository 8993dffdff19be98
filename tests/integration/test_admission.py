"""What stands between the operator and the cluster: quota, policies, name conflicts, RBAC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from observatory.api.names import revision_hash
from observatory.core.desired import desire
from observatory.core.model import Identity
from observatory.core.pods import pod_manifest
from tests.integration.workflows import Runs, task
from tests.support.cluster import Cluster, JsonObject, Operator, eventually

pytestmark = pytest.mark.integration


def waiting(runs: Runs, name: str, reason: str) -> JsonObject:
    """The row of task `a`, once it waits for that."""
    return eventually(lambda: runs.rows(name).get("a", {}), lambda row: row.get("reason") == reason)


def test_a_used_up_quota_is_waited_for(runs: Runs) -> None:
    runs.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "no-pods", "namespace": runs.namespace},
            "spec": {"hard": {"pods": "0"}},
        }
    )
    runs.apply("thrifty", task("a"), task("b", "a"))

    row = waiting(runs, "thrifty", "QuotaExceeded")
    assert "exceeded quota: no-pods" in row["message"]
    assert "QuotaExceeded: a: " in runs.row_of_get("thrifty")
    assert runs.status("thrifty")["phase"] == "Running"

    runs.kubectl("delete", "resourcequota", "no-pods")
    assert runs.end("thrifty")["phase"] == "Succeeded"
    assert runs.rows("thrifty")["a"]["attempt"] == 1


def test_a_quota_of_a_few_pods_is_used_to_the_full(runs: Runs) -> None:
    runs.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "few-pods", "namespace": runs.namespace},
            "spec": {"hard": {"pods": "2"}},
        }
    )
    eventually(
        lambda: runs.cluster.get("resourcequota", "few-pods", "-n", runs.namespace),
        lambda quota: "used" in quota.get("status", {}),
    )
    runs.apply("bounded", *(task(f"t{number}", duration="1s") for number in range(5)))
    assert runs.end("bounded")["phase"] == "Succeeded"


def test_a_limit_range_that_forbids_the_pod_is_told(runs: Runs) -> None:
    runs.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {"name": "pods", "namespace": runs.namespace},
            "spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]},
        }
    )
    runs.apply("limitless", task("a"))

    row = waiting(runs, "limitless", "AdmissionDenied")
    assert "maximum cpu usage per Pod is 1" in row["message"]
    assert "AdmissionDenied: a: " in runs.row_of_get("limitless")
    runs.kubectl("delete", "limitrange", "pods")
    assert runs.end("limitless")["phase"] == "Succeeded"


def test_pod_security_that_forbids_the_pod_is_told(runs: Runs) -> None:
    label = "pod-security.kubernetes.io/enforce"
    runs.cluster.kubectl("label", "namespace", runs.namespace, f"{label}=restricted")
    runs.apply("insecure", task("a"))

    row = waiting(runs, "insecure", "AdmissionDenied")
    assert 'violates PodSecurity "restricted:latest": runAsNonRoot != true' in row["message"]

    secure = {"runAsNonRoot": True, "runAsUser": 65534}
    runs.apply("secure", task("a"), securityContext=secure)
    assert runs.end("secure")["phase"] == "Succeeded"

    runs.cluster.kubectl("label", "namespace", runs.namespace, f"{label}=baseline", "--overwrite")
    assert runs.end("insecure")["phase"] == "Succeeded"


@pytest.mark.parametrize("reason", ["Invalid", "Forbidden"])
def test_a_policy_that_denies_pods_is_told_and_tried_again(runs: Runs, reason: str) -> None:
    with runs.cluster.denied(runs.namespace, "pods", "CREATE", reason=reason):
        runs.apply("denied", task("a"))
        row = waiting(runs, "denied", "AdmissionDenied")
        assert "not on a Friday" in row["message"]
        assert row["phase"] == "Pending"
    assert runs.end("denied")["phase"] == "Succeeded"


def test_a_policy_that_denies_revisions_is_told_and_tried_again(runs: Runs) -> None:
    with runs.cluster.denied(runs.namespace, "controllerrevisions", "CREATE"):
        runs.apply("unrecorded", task("a"))
        row = eventually(lambda: runs.row_of_get("unrecorded"), lambda row: "Friday" in row)
        assert "Pending" in row
        assert runs.pods() == {}
    assert runs.end("unrecorded")["phase"] == "Succeeded"


def pod_of(obj: JsonObject, revision: str, name: str = "a") -> JsonObject:
    """The Pod that the operator makes for a task in the first run."""
    desired = desire(obj)
    assert desired.program is not None
    [wanted] = [each for each in desired.program.tasks if each.name == name]
    return pod_manifest(desired, wanted, Identity(1, revision_hash(revision), name, 1))


def suspended(runs: Runs, name: str) -> tuple[JsonObject, JsonObject]:
    """A stored Observatory that has not begun, and the Pod that it is going to have."""
    runs.apply(name, task("a"), suspend=True)
    eventually(lambda: runs.status(name), bool)
    stored = runs.cluster.get("observatory", name, "-n", runs.namespace)
    program = desire(stored).program
    assert program is not None
    return stored, pod_of(stored, program.revision)


def create(runs: Runs, obj: JsonObject) -> str:
    """Create an object; its UID."""
    arguments = ("create", "-f", "-", "-o", "jsonpath={.metadata.uid}")
    return runs.cluster.kubectl(*arguments, stdin=json.dumps(obj))


FORGERIES = ("a stranger", "no gate", "another owner", "other labels")


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_pod_that_is_not_ours_is_never_adopted(runs: Runs, forgery: str) -> None:
    _, pod = suspended(runs, "forged")
    metadata = pod["metadata"]
    metadata["finalizers"] = []
    match forgery:
        case "a stranger":
            metadata["labels"] = {}
            del metadata["ownerReferences"]
        case "no gate":
            del pod["spec"]["schedulingGates"]
        case "another owner":
            other, _ = suspended(runs, "other")
            metadata["ownerReferences"][0]["name"] = "other"
            metadata["ownerReferences"][0]["uid"] = other["metadata"]["uid"]
        case _:
            metadata["labels"]["workflow.seventh-horizon.io/attempt"] = "2"
    uid = create(runs, pod)
    runs.merge("forged", {"spec": {"suspend": False}})

    row = waiting(runs, "forged", "NameConflict")
    assert metadata["name"] in row["message"]
    assert metadata["name"] in runs.row_of_get("forged")
    [still] = runs.cluster.get("pods", "-n", runs.namespace)["items"]
    assert (still["metadata"]["uid"], "deletionTimestamp" in still["metadata"]) == (uid, False)

    runs.kubectl("delete", "pod", metadata["name"], "--wait=false")
    status = runs.end("forged")
    assert status["phase"] == "Succeeded"
    assert status["tasks"][0]["podUID"] != uid


def test_a_gated_pod_of_ours_is_adopted(runs: Runs) -> None:
    _, pod = suspended(runs, "early")
    uid = create(runs, pod)
    runs.merge("early", {"spec": {"suspend": False}})
    status = runs.end("early")
    assert (status["phase"], status["tasks"][0]["podUID"]) == ("Succeeded", uid)


def delete_unwanted(runs: Runs, stored: JsonObject) -> None:
    """Have the Pod of tasks deleted that were edited before their run was stored."""
    name = stored["metadata"]["name"]
    runs.merge(name, {"spec": {"suspend": False}})
    recorded = runs.end(name)["tasks"][0]["podUID"]
    uid = create(runs, pod_of(stored, "other-bcdfghjk"))
    left = eventually(
        lambda: [pod["metadata"]["uid"] for pod in runs.pods(name).values()],
        lambda uids: uid not in uids,
    )
    assert left == [recorded]


def test_a_gated_pod_that_no_run_wants_is_deleted(runs: Runs) -> None:
    stored, _ = suspended(runs, "past")
    delete_unwanted(runs, stored)


@contextmanager
def unreachable_webhook(namespace: str, cluster: Cluster) -> Iterator[None]:
    """While this lasts, a webhook that nobody serves is to be asked about Pods."""
    name = f"nobody-{namespace}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
    webhook = {
        "name": "nobody.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": "https://127.0.0.1:1/nobody"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [{**rule, "resources": ["pods", "configmaps"]}],
    }
    cluster.apply(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [webhook],
        }
    )
    probe = ("create", "configmap", "probe", "-n", namespace, "--dry-run=server")
    try:
        eventually(lambda: cluster.kubectl(*probe, check=False), lambda said: "webhook" in said)
        yield
    finally:
        cluster.kubectl("delete", "validatingwebhookconfiguration", name)


def test_a_webhook_that_nobody_serves_is_named(runs: Runs) -> None:
    with unreachable_webhook(runs.namespace, runs.cluster):
        runs.apply("unasked", task("a"))
        row = waiting(runs, "unasked", "WebhookFailed")
        assert 'failed calling webhook "nobody.example.com"' in row["message"]
    assert runs.end("unasked")["phase"] == "Succeeded"


def test_a_terminating_namespace_gets_no_new_pods_and_ends(runs: Runs, operator: Operator) -> None:
    runs.apply("late", task("a", hold=True), task("b", "a"))
    pod = runs.running("late", "a")["metadata"]["name"]
    # Something that keeps the namespace from ending, so that the run sees it terminating.
    runs.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "stays",
                "namespace": runs.namespace,
                "finalizers": ["example.com/stays"],
            },
        }
    )
    runs.cluster.kubectl("delete", "namespace", runs.namespace, "--wait=false")
    eventually(runs.pods, lambda pods: pod not in pods, seconds=20)
    said = runs.kubectl("get", "observatories", check=False)
    eventually(
        lambda: runs.kubectl("get", "observatories", check=False),
        lambda said: "No resources found" in said,
        seconds=20,
    )
    assert operator.process.poll() is None, said
    remove = '{"metadata": {"finalizers": null}}'
    runs.kubectl("patch", "configmap", "stays", "--type=merge", "-p", remove)
