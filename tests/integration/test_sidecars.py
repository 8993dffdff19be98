"""Containers that admission injects into the Pods of tasks, as service meshes do."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration.workflows import Runs, task
from tests.support.cluster import Cluster, JsonObject, eventually

pytestmark = pytest.mark.integration

CLASSIC = """
Object{spec: Object.spec{containers: [Object.spec.containers{name: "proxy", image: "mesh"}]}}
"""
NATIVE = """
Object{spec: Object.spec{initContainers: [
  Object.spec.initContainers{name: "proxy", image: "mesh", restartPolicy: "Always"}]}}
"""


def inject(cluster: Cluster, namespace: str, expression: str) -> JsonObject:
    """A policy that injects into every Pod of the namespace, once it is in force."""
    api = "admissionregistration.k8s.io/v1"
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    policy: JsonObject = {
        "apiVersion": api,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": f"inject-{namespace}"},
        "spec": {
            "reinvocationPolicy": "Never",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "resourceRules": [{**pods, "operations": ["CREATE"]}],
            },
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {"expression": expression},
                }
            ],
        },
    }
    spec = {"policyName": policy["metadata"]["name"]}
    cluster.apply(policy)
    cluster.apply({**policy, "kind": "MutatingAdmissionPolicyBinding", "spec": spec})
    probe = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "namespace": namespace},
        "spec": {"containers": [{"name": "task", "image": "x"}]},
    }
    arguments = ("create", "--dry-run=server", "-o", "jsonpath={.spec}", "-f", "-")
    eventually(
        lambda: cluster.kubectl(*arguments, stdin=json.dumps(probe), check=False),
        lambda said: '"proxy"' in said,
    )
    return policy


@pytest.fixture
def injected(
    request: pytest.FixtureRequest, cluster: Cluster, namespace: str
) -> Iterator[JsonObject]:
    policy = inject(cluster, namespace, request.param)
    yield policy
    name = policy["metadata"]["name"]
    for kind in ("mutatingadmissionpolicybinding", "mutatingadmissionpolicy"):
        cluster.kubectl("delete", kind, name)


@pytest.mark.parametrize("injected", [CLASSIC, NATIVE], ids=["classic", "native"], indirect=True)
def test_a_run_with_an_injected_container_succeeds_where_that_one_ends(
    injected: JsonObject, runs: Runs
) -> None:
    runs.apply("meshed", task("a"), task("b", "a"))
    status = runs.end("meshed")
    assert (status["phase"], status["progress"]) == ("Succeeded", "2/2")
    spec = runs.pod("meshed", "a")["spec"]
    assert len(spec["containers"]) + len(spec.get("initContainers", ())) == 2


@pytest.mark.parametrize("injected", [CLASSIC], ids=["classic"], indirect=True)
def test_an_injected_container_that_runs_on_is_told_and_its_end_is_the_tasks(
    injected: JsonObject, runs: Runs
) -> None:
    runs.apply("meshed", task("a", hold=True), task("b", "a"))
    pod = runs.running("meshed", "a")
    own_end = [
        {**each, "state": ended_since(each)} if each["name"] == "task" else each
        for each in pod["status"]["containerStatuses"]
    ]
    tell(runs, pod, {"containerStatuses": own_end})
    status = eventually(
        lambda: runs.status("meshed"), lambda status: "SidecarRunning" in str(status)
    )
    (wait,) = (each for each in status["waitingFor"] if each["reason"] == "SidecarRunning")
    assert runs.rows("meshed")["a"]["message"].startswith('Container "proxy" runs on after')
    assert wait["tasks"] == 1
    assert "SidecarRunning" in runs.row_of_get("meshed")

    ends = [{**each, "state": ended_since(each)} for each in pod["status"]["containerStatuses"]]
    tell(runs, pod, {"phase": "Succeeded", "containerStatuses": ends})
    assert runs.end("meshed")["phase"] == "Succeeded"


@pytest.mark.parametrize("injected", [CLASSIC], ids=["classic"], indirect=True)
def test_an_injected_container_that_fails_the_pod_fails_the_task_and_is_named(
    injected: JsonObject, runs: Runs
) -> None:
    runs.apply("meshed", task("a", hold=True))
    pod = runs.running("meshed", "a")
    ends = [
        {**each, "state": ended_since(each, 0 if each["name"] == "task" else 1)}
        for each in pod["status"]["containerStatuses"]
    ]
    tell(runs, pod, {"phase": "Failed", "containerStatuses": ends})
    row = runs.end("meshed")["tasks"][0]
    assert (row["phase"], row["reason"], row["class"]) == (
        "Failed",
        "SidecarFailed",
        "ApplicationError",
    )
    assert 'Container "proxy" ended with exit code 1' in row["message"]


def ended_since(container: JsonObject, code: int = 0) -> JsonObject:
    """A container that has run for no time."""
    started = container["state"]["running"]["startedAt"]
    return {"terminated": {"exitCode": code, "startedAt": started, "finishedAt": started}}


def tell(runs: Runs, pod: JsonObject, status: JsonObject) -> None:
    """Write a Pod's status, as its kubelet does."""
    patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    runs.kubectl("patch", "pod", pod["metadata"]["name"], *patch)
