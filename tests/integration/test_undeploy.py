"""`make undeploy` and `make uninstall`: nothing stays, and nothing stays Terminating."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.workflows import Runs, task
from tests.support.cluster import ROOT, Cluster, Operator, eventually, install

NAME = "observatory-operator"
SYSTEM = f"{NAME}-system"
DEPLOYMENT = f"{NAME}-controller-manager"
CRD = "observatories.workflow.seventh-horizon.io"
WAITS_FOREVER = {
    "spec": {"template": {"spec": {"schedulingGates": [{"name": "example.com/never"}]}}}
}

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _definition(cluster: Cluster) -> Iterator[None]:
    """Other tests need what is removed here."""
    yield
    install(cluster)


def undeploy(cluster: Cluster, **environment: str) -> subprocess.CompletedProcess[str]:
    environment |= {"KUBECONFIG": cluster.kubeconfig, "PYTHON": sys.executable}
    return subprocess.run(
        [ROOT / "hack/undeploy"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


def deploy(cluster: Cluster) -> None:
    text = cluster.kubectl("kustomize", str(ROOT / "manifests/default"))
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=text)


def nothing_is_left(cluster: Cluster) -> None:
    kinds = "namespaces,crd,clusterroles,clusterrolebindings,validatingadmissionpolicies"
    kinds += ",validatingadmissionpolicybindings,validatingwebhookconfigurations"
    names = cluster.kubectl("get", kinds, "-o", "name").split()
    # The bindings of tests to the operator's account are named after the tests' namespaces.
    ours = f"/{NAME}-"
    assert [name for name in names if ours in name or name.endswith((CRD, SYSTEM))] == []


def left_by_a_dead_operator(cluster: Cluster, namespace: str, log: Path) -> None:
    """A run in progress. On fake nodes the Deployment's Pods run nothing: one from here dies."""
    runs = Runs(cluster, namespace)
    with cluster.operator("--namespace", namespace, log=log) as operator:
        runs.apply("held", task("a", hold=True), **{"finally": [task("last")]})
        runs.running("held", "a")
        operator.kill()


def test_a_run_that_is_on_and_a_dead_operator_hold_nothing_up(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    deploy(cluster)
    left_by_a_dead_operator(cluster, namespace, tmp_path / "operator.log")
    done = undeploy(cluster)
    assert done.returncode == 0, done.stderr
    nothing_is_left(cluster)
    eventually(lambda: cluster.get("pods", "-n", namespace)["items"], lambda pods: pods == [])


def test_an_operator_that_was_never_ready_holds_nothing_up(cluster: Cluster) -> None:
    deploy(cluster)
    patch = ("patch", "deployment", DEPLOYMENT, "-n", SYSTEM, "-p", json.dumps(WAITS_FOREVER))
    cluster.kubectl(*patch)
    eventually(
        lambda: cluster.get("pods", "-n", SYSTEM)["items"],
        lambda pods: any("schedulingGates" in pod["spec"] for pod in pods),
    )
    done = undeploy(cluster)
    assert done.returncode == 0, done.stderr
    nothing_is_left(cluster)


def test_admission_that_nobody_answers_holds_nothing_up(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    deploy(cluster)
    left_by_a_dead_operator(cluster, namespace, tmp_path / "operator.log")
    rule = {"apiGroups": ["workflow.seventh-horizon.io"], "apiVersions": ["*"]}
    cluster.apply(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": NAME, "labels": {"app.kubernetes.io/name": NAME}},
            "webhooks": [
                {
                    "name": "validate.workflow.seventh-horizon.io",
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "clientConfig": {"service": {"name": "nobody", "namespace": SYSTEM}},
                    "rules": [{**rule, "operations": ["*"], "resources": ["observatories"]}],
                }
            ],
        }
    )
    done = undeploy(cluster)
    assert done.returncode == 0, done.stderr
    nothing_is_left(cluster)


def test_where_little_or_nothing_is_left_the_rest_is_removed(cluster: Cluster) -> None:
    deploy(cluster)
    cluster.kubectl("delete", "crd", CRD)
    cluster.kubectl("delete", "namespace", SYSTEM)
    for _ in range(2):
        done = undeploy(cluster)
        assert done.returncode == 0, done.stderr
        nothing_is_left(cluster)


def test_a_foreign_finalizer_is_told_in_time_and_not_waited_for_forever(
    cluster: Cluster, namespace: str
) -> None:
    deploy(cluster)
    Runs(cluster, namespace).apply("kept", task("a"))
    held = json.dumps({"metadata": {"finalizers": ["example.com/theirs"]}})
    patch = ("patch", "observatory", "kept", "-n", namespace, "--type=merge", "-p")
    cluster.kubectl(*patch, held)
    done = undeploy(cluster, PATIENCE="15s")
    assert done.returncode == 1
    assert "somebody else's finalizer" in done.stderr
    cluster.kubectl(*patch, json.dumps({"metadata": {"finalizers": None}}))
    assert undeploy(cluster).returncode == 0
    nothing_is_left(cluster)


def test_uninstall_beside_a_running_operator_ends_its_runs(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    runs = Runs(cluster, namespace)
    runs.apply("on", task("a", hold=True), **{"finally": [task("last")]})
    runs.running("on", "a")
    environment = {**os.environ, "KUBECONFIG": cluster.kubeconfig}
    subprocess.run(
        [sys.executable, "-m", "observatory", "cleanup", "--force"], env=environment, check=True
    )
    cluster.kubectl("delete", "--timeout=120s", "-f", str(ROOT / "manifests/crd"))
    eventually(lambda: cluster.get("pods", "-n", namespace)["items"], lambda pods: pods == [])
    assert operator.process.poll() is None
