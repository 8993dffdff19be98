"""Pods deleted, evicted, out of memory, or without an image: what the status tells."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from e2e import ledger
from e2e.mutation import pods_changed
from e2e.node import NAME, Node
from e2e.workflows import await_nothing_held, phases, pods, rows, waits, workflow
from tests.support.cluster import LABELS, Cluster, JsonObject, Operator, eventually

pytestmark = pytest.mark.e2e

NOWHERE = "registry.invalid/no/such:1"
SPOILT = f"""
Object{{spec: Object.spec{{containers: object.spec.containers.map(c, Object.spec.containers{{
  name: c.name,
  imagePullPolicy: "Never",
  image: object.metadata.labels["{LABELS}/task"] == "misnamed" ? "No//Such Name" : c.image}})}}}}
"""


def shell(name: str, script: str) -> JsonObject:
    return {"name": name, "image": "busybox:1.36", "command": ["sh", "-c"], "args": [script]}


def ending(status: JsonObject, task: str) -> tuple[object, ...]:
    """How a task ended."""
    row = rows(status)[task]
    return row["phase"], row.get("reason"), row.get("exitCode"), row.get("signal")


def defaults(namespace: str, **fields: JsonObject) -> JsonObject:
    """What each container there asks for or may have, since a task can't say it."""
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "defaults", "namespace": namespace},
        "spec": {"limits": [{"type": "Container", **fields}]},
    }


def delete_by_force(cluster: Cluster, pod: JsonObject) -> None:
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    how = ("--grace-period=0", "--force", "--wait=false")
    cluster.kubectl("delete", "pod", name, "-n", namespace, *how)


def test_a_pod_deleted_by_force_is_not_forgotten_and_not_made_again(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path
) -> None:
    homeless = shell("homeless", "true") | {"image": "busybox:1.36"}
    cluster.kubectl("cordon", NAME)
    try:
        cluster.apply(workflow(namespace, "pending", homeless))
        pod = eventually(lambda: pods(cluster, namespace), lambda seen: "homeless" in seen)
        delete_by_force(cluster, pod["homeless"])
        pending = cluster.wait_complete(namespace, "pending")
    finally:
        cluster.kubectl("uncordon", NAME)
    cluster.apply(
        workflow(
            namespace,
            "forced",
            {"name": "pulling", "image": NOWHERE},
            ledger.task("running", seconds=600),
            ledger.task("ended"),
            ledger.task("next", "ended"),
            ledger.task("never", "running"),
        )
    )
    eventually(partial(ledger.wrote, folder, "start", "running"), bool)
    eventually(lambda: cluster.status(namespace, "forced"), lambda seen: "ImagePull" in waits(seen))
    eventually(partial(ledger.wrote, folder, "end", "ended"), bool, pause=0.02)
    seen = pods(cluster, namespace)
    for task in ("ended", "running", "pulling"):
        delete_by_force(cluster, seen[task])

    status = cluster.wait_complete(namespace, "forced")

    assert ending(pending, "homeless") == ("Failed", "PodDeleted", None, None)
    assert ending(status, "pulling") == ("Failed", "PodDeleted", None, None)
    assert ending(status, "running") == ("Failed", "PodDeleted", 143, 15)
    assert ending(status, "ended") == ("Succeeded", None, 0, None)
    assert ending(status, "next") == ("Succeeded", None, 0, None)
    assert ending(status, "never") == ("Skipped", "DependencyFailed", None, None)
    assert ledger.starts(folder) == Counter(("running", "ended", "next"))
    await_nothing_held(cluster, namespace)
    assert pods(cluster, namespace).keys() == {"next"}


def test_a_drained_pod_fails_for_the_cluster_and_not_for_itself(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path, node: Node
) -> None:
    tasks = [ledger.task(name, seconds=600) for name in ("evicted", "tainted")]
    cluster.apply(workflow(namespace, "drained", *tasks))
    eventually(partial(ledger.wrote, folder, "start", "evicted", "tainted"), bool)

    name = pods(cluster, namespace)["evicted"]["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
    }
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    cluster.kubectl("create", f"--raw={path}", "-f", "-", stdin=json.dumps(eviction))
    eventually(lambda: cluster.status(namespace, "drained"), lambda seen: "failure" in seen)
    cluster.kubectl("taint", "node", NAME, "maintenance=now:NoExecute")
    try:
        status = cluster.wait_complete(namespace, "drained")
    finally:
        cluster.kubectl("taint", "node", NAME, "maintenance-")

    assert ending(status, "evicted") == ("Failed", "EvictionByEvictionAPI", 143, 15)
    assert ending(status, "tainted") == ("Failed", "DeletionByTaintManager", 143, 15)
    assert status["failure"]["message"] == "evicted stopped"
    assert ledger.starts(folder) == Counter(("evicted", "tainted"))
    await_nothing_held(cluster, namespace)


def test_a_preempted_pod_fails_for_the_cluster_and_not_for_itself(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path
) -> None:
    cpus = int(cluster.get("node", NAME)["status"]["allocatable"]["cpu"])
    cluster.apply(defaults(namespace, defaultRequest={"cpu": f"{cpus * 1000 - 300}m"}))
    cluster.apply(workflow(namespace, "modest", ledger.task("modest", seconds=600)))
    eventually(partial(ledger.wrote, folder, "start", "modest"), bool)
    scheduling = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
    urgent = {"metadata": {"name": namespace}, "value": 1_000_000}
    cluster.apply(scheduling | urgent)
    try:
        overrides = json.dumps({"spec": {"priorityClassName": namespace}})
        image = ("--image=busybox:1.36", "--restart=Never", f"--overrides={overrides}")
        cluster.kubectl("run", "urgent", "-n", namespace, *image, "--", "true")
        status = cluster.wait_complete(namespace, "modest")
    finally:
        cluster.kubectl("delete", "priorityclass", namespace)

    assert ending(status, "modest") == ("Failed", "PreemptionByScheduler", 143, 15)
    assert ledger.starts(folder) == Counter(("modest",))
    await_nothing_held(cluster, namespace)


def test_a_container_over_its_memory_limit_is_told_as_such(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    cluster.apply(defaults(namespace, default={"memory": "24Mi"}))
    fill = "dd if=/dev/zero of=/dev/null bs=200M count=1"
    cluster.apply(
        workflow(
            namespace,
            "hungry",
            shell("itself", f"echo filling; exec {fill}"),
            # The node hears of the kill by another way than of the exit: it may need a moment.
            shell("child", f"echo filling; {fill}; code=$?; sleep 2; exit $code"),
            shell("unmoved", f"{fill}; echo went on"),
        )
    )

    status = cluster.wait_complete(namespace, "hungry")

    assert ending(status, "itself") == ("Failed", "OOMKilled", 137, 9)
    assert ending(status, "child") == ("Failed", "OOMKilled", 137, 9)
    assert ending(status, "unmoved") == ("Succeeded", None, 0, None)
    messages = {name: row.get("message", "") for name, row in rows(status).items()}
    assert "filling" in messages["itself"]
    assert "filling" in messages["child"]
    table = cluster.kubectl("get", "observatory", "-n", namespace)
    assert "OOMKilled (exit code 137)" in table


def test_a_run_waits_for_its_image_and_goes_on_by_itself(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path, node: Node
) -> None:
    tag = cluster.get("namespace", namespace)["metadata"]["uid"]  # a node keeps what it was given
    late, later = f"registry.invalid/late:{tag}", f"registry.invalid/later:{tag}"
    cluster.apply(workflow(namespace, "late", ledger.task("pull") | {"image": late}))
    told = eventually(
        lambda: cluster.status(namespace, "late"), lambda seen: "ImagePull" in waits(seen)
    )
    forbidden = ledger.task("never") | {"image": later}
    misnamed = ledger.task("misnamed")
    with pods_changed(cluster, namespace, "spoilt", SPOILT):
        cluster.apply(workflow(namespace, "spoilt", forbidden, misnamed))
        spoilt = eventually(
            lambda: cluster.status(namespace, "spoilt"),
            lambda seen: "failure" in seen and "ImagePull" in waits(seen),
        )

    for image in (late, later):
        node.load_image(image)

    assert (told["phase"], late in waits(told)["ImagePull"]) == ("Running", True)
    failure = spoilt["failure"]  # no wait makes such a name valid
    assert (failure["class"], failure["reason"]) == ("Configuration", "InvalidImageName")
    assert "No//Such Name" in failure["message"]
    done = cluster.wait_complete(namespace, "late")
    assert (done["phase"], waits(done)) == ("Succeeded", {})
    went_on = cluster.wait_complete(namespace, "spoilt")
    assert phases(went_on) == {"never": "Succeeded", "misnamed": "Failed"}
    assert ledger.starts(folder) == Counter(("pull", "never"))
    await_nothing_held(cluster, namespace)
