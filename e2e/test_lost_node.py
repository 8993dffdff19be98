"""A node that is not heard of: its Pods are evicted, given up, or let go by hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from e2e import ledger
from e2e.node import NAME, Node
from e2e.workflows import await_nothing_held, phases, pods, rows, waits, workflow
from tests.support.cluster import Cluster, JsonObject, Operator, eventually, now, stamp

pytestmark = pytest.mark.e2e

SPARE = "spare"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


@pytest.fixture
def spare(cluster: Cluster) -> Iterator[None]:
    """A node that only pretends: where every node is silent, Kubernetes evicts from none."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": SPARE}}
    cluster.apply(node | {"spec": {"unschedulable": True}})
    try:
        set_ready(cluster, SPARE, "True")
        yield
    finally:
        cluster.kubectl("delete", "node", SPARE)


def set_ready(cluster: Cluster, node: str, ready: str) -> None:
    """Say of a node, in the kubelet's place, whether it is ready."""
    condition = {"type": "Ready", "status": ready, "reason": "ToldByTest"}
    condition["lastHeartbeatTime"] = now().strftime("%Y-%m-%dT%H:%M:%SZ")
    patch = json.dumps({"status": {"conditions": [condition]}})
    cluster.kubectl("patch", "node", node, "--subresource=status", "-p", patch)


def heartbeat(cluster: Cluster) -> None:
    """One of the spare node."""
    spec = {"holderIdentity": SPARE, "leaseDurationSeconds": 40, "renewTime": stamp(now())}
    metadata = {"name": SPARE, "namespace": "kube-node-lease"}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
    cluster.apply(lease | {"spec": spec})


def is_deleted(pod: JsonObject) -> bool:
    return "deletionTimestamp" in pod["metadata"]


@pytest.mark.usefixtures("spare")
def test_a_silent_node_returns_and_every_task_has_one_end(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path, node: Node
) -> None:
    """The kubelet is away for as long as Kubernetes really takes to give a node up: 50 seconds."""
    heartbeat(cluster)
    patient = [ledger.task("ends", seconds=5), ledger.task("next", "ends")]
    cluster.apply(workflow(namespace, "patient", *patient))
    evicted = [ledger.task("long", seconds=600), ledger.task("never", "long")]
    cluster.apply(workflow(namespace, "evicted", *evicted))
    eventually(partial(ledger.wrote, folder, "start", "ends", "long"), bool)
    pod = pods(cluster, namespace)["long"]
    for toleration in pod["spec"]["tolerations"]:
        toleration["tolerationSeconds"] = 1  # instead of five minutes
    patch = json.dumps({"spec": {"tolerations": pod["spec"]["tolerations"]}})
    cluster.kubectl("patch", "pod", pod["metadata"]["name"], "-n", namespace, "-p", patch)

    def look() -> dict[str, JsonObject]:
        heartbeat(cluster)
        return pods(cluster, namespace)

    with node.without("kubelet"):
        silent = eventually(look, lambda seen: is_deleted(seen["long"]), seconds=120, pause=2)
        told = eventually(
            lambda: cluster.status(namespace, "patient"), lambda seen: "NodeNotReady" in waits(seen)
        )
        given_up = cluster.status(namespace, "evicted")

    assert silent.keys() == {"ends", "long"}
    assert phases(told) == {"ends": "Running", "next": "Pending"}
    assert waits(told)["NodeNotReady"] == f'Nothing is heard of node "{NAME}"'
    assert phases(given_up) == {"long": "Running", "never": "Pending"}
    assert cluster.wait_complete(namespace, "patient")["phase"] == "Succeeded"
    status = cluster.wait_complete(namespace, "evicted")
    assert phases(status) == {"long": "Failed", "never": "Skipped"}
    row = rows(status)["long"]
    assert (row["reason"], row["exitCode"], row["attempt"]) == ("DeletionByTaintManager", 143, 1)
    assert ledger.starts(folder) == Counter(("ends", "long", "next"))
    await_nothing_held(cluster, namespace)


def test_only_the_node_knows_that_a_pod_let_go_by_hand_still_runs(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path, node: Node
) -> None:
    """What can't be promised: the run tells of a lost Pod while its container goes on."""
    tasks = [ledger.task("lost", seconds=8), ledger.task("held", seconds=600)]
    cluster.apply(workflow(namespace, "cut", *tasks, ledger.task("next", "lost")))
    eventually(partial(ledger.wrote, folder, "start", "lost", "held"), bool)
    names = {task: pod["metadata"]["name"] for task, pod in pods(cluster, namespace).items()}

    with node.without("kubelet"):
        force = ("--grace-period=0", "--force", "--wait=false")
        cluster.kubectl("delete", "pod", *names.values(), "-n", namespace, *force)
        let_go = json.dumps([{"op": "remove", "path": "/metadata/finalizers"}])
        cluster.kubectl("patch", "pod", names["lost"], "-n", namespace, "--type=json", "-p", let_go)
        lost = eventually(lambda: cluster.status(namespace, "cut"), lambda seen: "failure" in seen)
        assert not ledger.ends(folder)["lost"]
        eventually(partial(ledger.wrote, folder, "end", "lost"), bool)

        # The one that our finalizer holds waits for its node, or for who declares the node dead.
        assert phases(cluster.status(namespace, "cut"))["held"] == "Running"
        set_ready(cluster, NAME, "Unknown")
        cluster.kubectl("taint", "node", NAME, f"{OUT_OF_SERVICE}=nodeshutdown:NoExecute")
        try:
            status = cluster.wait_complete(namespace, "cut")
            await_nothing_held(cluster, namespace)
        finally:
            cluster.kubectl("taint", "node", NAME, f"{OUT_OF_SERVICE}-")

    assert phases(lost) == {"lost": "Failed", "held": "Running", "next": "Skipped"}
    assert phases(status) == {"lost": "Failed", "held": "Failed", "next": "Skipped"}
    assert rows(status)["lost"]["reason"] == "PodLost"
    # Two controllers of Kubernetes give it up, and each may be the first.
    assert rows(status)["held"]["reason"] in ("PodDeleted", "DeletionByTaintManager")
    # The node is back now, and none of it begins again.
    cluster.apply(workflow(namespace, "afterwards", ledger.task("check")))
    assert cluster.wait_complete(namespace, "afterwards")["phase"] == "Succeeded"
    assert ledger.starts(folder) == Counter(("lost", "held", "check"))
