"""Installed by strangers: the built image as the deployment, through failover, upgrade and removal.

The tests of this file are one story, told in its order.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
import yaml

from e2e import deployment, ledger
from e2e.deployment import ACCOUNT, IMAGE, NAMESPACE, NEXT, Deployment
from e2e.workflows import Shape, of_shape, phases, workflow
from tests.support.cluster import LABELS, ROOT, Cluster, JsonObject, eventually, now

pytestmark = pytest.mark.e2e

SAMPLE = ROOT / "manifests" / "samples" / "workflow_v1alpha1_observatory.yaml"
CHAIN: Shape = {"a": (), "b": ("a",), "c": ("b",), "d": ("c",), "e": ("d",)}
ONCE = Counter(dict.fromkeys(CHAIN, 1))
ORDINARY = ("--as=alice", "--as-group=system:authenticated")


@pytest.fixture(scope="module")
def begun() -> datetime:
    return now()


@pytest.fixture(scope="module")
def deployed(
    cluster: Cluster, begun: datetime, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    made = Deployment(cluster)
    deployment.give_images(cluster, tmp_path_factory.mktemp("image"))
    made.deploy(IMAGE)
    try:
        yield made
    finally:
        made.undeploy()


def test_an_ordinary_user_runs_the_sample(
    cluster: Cluster, deployed: Deployment, namespace: str
) -> None:
    for role in ("edit", "observatory-operator-observatory-editor-role"):
        binding = ("create", "rolebinding", f"alice-{role[:11]}", "-n", namespace)
        cluster.kubectl(*binding, f"--clusterrole={role}", "--user=alice")
    cluster.kubectl("apply", "-n", namespace, "-f", str(SAMPLE), *ORDINARY)

    status = cluster.wait_complete(namespace, "my-workflow")

    assert status["phase"] == "Succeeded"
    assert "3/3" in cluster.kubectl("get", "observatories", "-n", namespace, *ORDINARY)
    selector = f"{LABELS}/observatory=my-workflow,{LABELS}/task=finalize"
    told = cluster.kubectl("logs", "-n", namespace, "--selector", selector, *ORDINARY)
    assert told == "Workflow complete\n"


def test_the_sample_runs_where_pods_must_be_restricted(
    cluster: Cluster, deployed: Deployment, namespace: str
) -> None:
    level = "pod-security.kubernetes.io/enforce=restricted"
    cluster.kubectl("label", "namespace", namespace, level)
    observatory = yaml.safe_load(SAMPLE.read_text())
    observatory["metadata"]["namespace"] = namespace
    observatory["spec"]["securityContext"] = {"runAsNonRoot": True, "runAsUser": 65534}
    cluster.apply(observatory)
    assert cluster.wait_complete(namespace, "my-workflow")["phase"] == "Succeeded"


def test_a_secret_is_neither_read_nor_logged_nor_stored(
    cluster: Cluster, deployed: Deployment, namespace: str, begun: datetime
) -> None:
    canary = "canary-d41d8cd98f00b204"
    cluster.kubectl(
        "create", "secret", "generic", "s", "-n", namespace, f"--from-literal=k={canary}"
    )
    env = [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    shell = {"image": "busybox:1.36", "command": ["sh", "-c"], "env": env}
    uses = {"name": "uses", "args": [f'test "${{#S}}" = {len(canary)}'], **shell}
    fails = {"name": "fails", "args": ["exit 3"], "dependencies": ["uses"], **shell}
    cluster.apply(workflow(namespace, "secretive", uses, fails))

    status = cluster.wait_complete(namespace, "secretive")

    assert phases(status) == {"uses": "Succeeded", "fails": "Failed"}
    for kind in ("observatories", "pods", "controllerrevisions", "events.events.k8s.io"):
        assert canary not in cluster.kubectl("get", kind, "-n", namespace, "-o", "yaml")
    for name in deployed.pods():
        assert canary not in deployed.kubectl("logs", name)
    read = {request["objectRef"]["resource"] for request in of_objects(cluster, begun)}
    assert read.isdisjoint({"secrets", "configmaps", "serviceaccounts", "nodes"})


def of_objects(cluster: Cluster, begun: datetime) -> list[JsonObject]:
    return [each for each in cluster.audited(ACCOUNT, begun) if "objectRef" in each]


def test_the_webhook_tells_all_that_is_wrong_before_anything_is_stored(
    cluster: Cluster, deployed: Deployment, namespace: str
) -> None:
    lost = {"name": "a", "image": "busybox:1.36", "dependencies": ["b"]}
    wrong = workflow(namespace, "wrong", lost, {**lost, "name": "c", "dependencies": ["c"]})
    create = ("create", "-f", "-")

    # A replica's certificate is registered a moment after it is there.
    said = eventually(
        lambda: cluster.kubectl(*create, "--dry-run=server", stdin=json.dumps(wrong), check=False),
        lambda said: "created" not in said,
    )

    assert 'spec.tasks[0].dependencies[0]: Not found: "b"' in said
    assert "spec.tasks[1].dependencies[0]" in said
    fine = workflow(namespace, "fine", {"name": "a", "image": "busybox"})
    told = cluster.kubectl(*create, "--dry-run=server", stdin=json.dumps(fine), check=False)
    assert "Warning: " in told
    assert "created" in told


def test_replicas_are_as_restricted_as_the_namespace_asks(deployed: Deployment) -> None:
    pods = deployed.pods()
    assert len(pods) == 2
    for pod in pods.values():
        (status,) = pod["status"]["containerStatuses"]
        assert (status["ready"], status["restartCount"]) == (True, 0)
        assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert deployed.await_leader() in pods


@pytest.mark.parametrize("how", ["gracefully", "by-force"])
def test_a_run_goes_on_when_the_leader_is_deleted(
    cluster: Cluster, deployed: Deployment, namespace: str, folder: Path, how: str
) -> None:
    cluster.apply(of_shape(namespace, "handed-over", CHAIN, seconds=2))
    eventually(partial(ledger.wrote, folder, "end", "a"), bool)
    leader = deployed.await_leader()
    flags = {"gracefully": ("--wait=false",), "by-force": ("--grace-period=0", "--force")}
    deployed.kubectl("delete", "pod", leader, *flags[how])

    status = cluster.wait_complete(namespace, "handed-over")

    assert status["phase"] == "Succeeded"
    assert deployed.await_leader(other_than=leader) in deployed.pods()
    assert ledger.starts(folder) == ONCE
    assert not ledger.broken(ledger.lines(folder), CHAIN)
    deployed.await_rolled_out()


def test_a_run_goes_on_through_an_upgrade_and_back(
    cluster: Cluster, deployed: Deployment, namespace: str, folder: Path
) -> None:
    cluster.apply(of_shape(namespace, "upgraded", CHAIN, seconds=5))
    for image, task in ((NEXT, "a"), (IMAGE, "c")):
        eventually(partial(ledger.wrote, folder, "start", task), bool)
        deployed.deploy(image)
        images = {pod["spec"]["containers"][0]["image"] for pod in deployed.pods().values()}
        assert images == {image}
        assert "completionTime" not in cluster.status(namespace, "upgraded")

    status = cluster.wait_complete(namespace, "upgraded")

    assert status["phase"] == "Succeeded"
    assert ledger.starts(folder) == ONCE
    assert not ledger.broken(ledger.lines(folder), CHAIN)


def test_nothing_that_the_operator_asked_for_was_refused(
    cluster: Cluster, deployed: Deployment, begun: datetime
) -> None:
    requests = cluster.audited(ACCOUNT, begun)
    assert {request["verb"] for request in requests} >= {"create", "update", "watch"}
    refused = [each for each in requests if each["responseStatus"]["code"] in {401, 403}]
    assert [(each["verb"], each["requestURI"]) for each in refused] == []
    for name in deployed.pods():
        lines = deployed.kubectl("logs", name).splitlines()
        assert {json.loads(line)["level"] for line in lines} <= {"info", "warning"}


def test_nothing_stays_after_it_was_removed(
    cluster: Cluster, deployed: Deployment, namespace: str, folder: Path
) -> None:
    cluster.apply(of_shape(namespace, "left", CHAIN, seconds=60))
    eventually(partial(ledger.wrote, folder, "start", "a"), bool)

    deployed.make("undeploy")

    kinds = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    assert f"observatories.{LABELS}" not in kinds
    left = cluster.kubectl("get", ",".join(kinds), "--all-namespaces", "-o", "name")
    assert [name for name in left.split() if "observatory-operator" in name] == []
    assert NAMESPACE not in cluster.kubectl("get", "namespaces", "-o", "name")
    finalizers = cluster.kubectl("get", "pods", "-n", namespace, "-o", "jsonpath={..finalizers}")
    assert finalizers == ""
    deployed.make("undeploy")  # once more harms nothing
