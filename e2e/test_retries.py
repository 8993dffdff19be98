"""Retries after what the cluster and people do, on a real kubelet; and how runs are controlled."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from e2e import ledger
from e2e.node import NAME
from e2e.workflows import await_nothing_held, phases, pods, rows
from tests.support.cluster import LABELS, Cluster, JsonObject, Operator, eventually

pytestmark = pytest.mark.e2e

SOON = {"backoff": {"initialSeconds": 1, "maxSeconds": 2}}


def workflow(namespace: str, name: str, *tasks: JsonObject, **spec: object) -> JsonObject:
    return {
        "apiVersion": f"{LABELS}/v1alpha1",
        "kind": "Observatory",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"tasks": list(tasks), "retry": SOON, **spec},
    }


def evict(cluster: Cluster, pod: JsonObject) -> None:
    metadata = pod["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
    }
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    cluster.kubectl("create", f"--raw={path}", "-f", "-", stdin=json.dumps(eviction))


def annotate(cluster: Cluster, namespace: str, name: str, what: str, nonce: str = "1") -> None:
    annotation = f"{LABELS}/{what}={nonce}"
    cluster.kubectl("annotate", "observatory", name, "-n", namespace, annotation, "--overwrite")


def await_started(folder: Path, *tasks: str) -> None:
    eventually(partial(ledger.wrote, folder, "start", *tasks), bool)


def await_attempt(cluster: Cluster, namespace: str, name: str, task: str, attempt: int) -> None:
    eventually(
        lambda: rows(cluster.status(namespace, name)).get(task, {}),
        lambda row: (row.get("attempt"), row.get("phase")) == (attempt, "Running"),
    )


def test_an_evicted_and_a_drained_pod_are_tried_again_without_using_up_the_limit(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path
) -> None:
    cluster.apply(workflow(namespace, "moved", ledger.task("work", seconds=600)))
    await_started(folder, "work")
    evict(cluster, pods(cluster, namespace)["work"])
    await_attempt(cluster, namespace, "moved", "work", 2)
    eventually(lambda: ledger.starts(folder)["work"], lambda count: count == 2)
    cluster.kubectl("taint", "node", NAME, "maintenance=now:NoExecute")
    try:
        eventually(
            lambda: rows(cluster.status(namespace, "moved"))["work"],
            lambda row: row.get("disruptions") == 2,
        )
    finally:
        cluster.kubectl("taint", "node", NAME, "maintenance-")
    await_attempt(cluster, namespace, "moved", "work", 3)

    row = rows(cluster.status(namespace, "moved"))["work"]
    assert [(each["class"], each["reason"]) for each in row["attempts"]] == [
        ("Disruption", "EvictionByEvictionAPI"),
        ("Disruption", "DeletionByTaintManager"),
    ]
    assert "failures" not in row


def test_an_operator_that_is_killed_in_a_pause_keeps_to_it(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path
) -> None:
    slow = {"limit": 1, "backoff": {"initialSeconds": 12, "maxSeconds": 12}}
    task = ledger.task("work", seconds=600) | {"retry": slow}
    cluster.apply(workflow(namespace, "paused", task))
    await_started(folder, "work")
    name = pods(cluster, namespace)["work"]["metadata"]["name"]
    cluster.kubectl("delete", "pod", name, "-n", namespace, "--wait=false")
    row = eventually(
        lambda: rows(cluster.status(namespace, "paused"))["work"],
        lambda row: "nextAttemptTime" in row,
    )
    operator.kill()
    operator.restart()
    await_attempt(cluster, namespace, "paused", "work", 2)

    after = rows(cluster.status(namespace, "paused"))["work"]
    assert after["startTime"] >= row["nextAttemptTime"]
    assert after["attempts"][0]["class"] == "Deleted"
    assert ledger.starts(folder)["work"] <= 2


def test_a_deleted_pod_fails_its_task_where_no_retry_is_asked_for(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path
) -> None:
    cluster.apply(workflow(namespace, "deleted", ledger.task("work", seconds=600)))
    await_started(folder, "work")
    name = pods(cluster, namespace)["work"]["metadata"]["name"]
    cluster.kubectl("delete", "pod", name, "-n", namespace, "--wait=false")

    status = cluster.wait_complete(namespace, "deleted")

    assert (status["failure"]["class"], status["failure"]["reason"]) == ("Deleted", "PodDeleted")
    assert ledger.starts(folder) == Counter({"work": 1})


def test_a_quota_that_is_raised_lets_the_run_go_on(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    quota: JsonObject = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    cluster.apply(quota)
    work = {"name": "work", "image": "busybox:1.36", "command": ["true"]}
    impatient = {**work, "name": "impatient", "startingDeadlineSeconds": 5}
    cluster.apply(workflow(namespace, "quota", work, impatient))
    status = eventually(
        lambda: cluster.status(namespace, "quota"),
        lambda status: rows(status).get("impatient", {}).get("phase") == "Failed",
    )
    assert rows(status)["impatient"]["class"] == "Rejected"
    assert rows(status)["work"]["reason"] == "QuotaExceeded"
    quota["spec"]["hard"]["pods"] = "5"
    cluster.apply(quota)

    status = cluster.wait_complete(namespace, "quota")

    assert phases(status) == {"work": "Succeeded", "impatient": "Failed"}


def test_a_stop_ends_what_runs_with_its_grace_and_finally_is_told(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path
) -> None:
    told = {"name": "told", "image": "busybox:1.36", "command": ["sh", "-c"]}
    told |= {"args": ['test "$OBSERVATORY_PHASE $OBSERVATORY_REASON" = "Failed Stopped"']}
    tasks = ledger.task("work", seconds=600), ledger.task("next", "work")
    cluster.apply(workflow(namespace, "stopped", *tasks, **{"finally": [told]}))
    await_started(folder, "work")
    spec = '{"spec": {"suspend": true}}'
    patch = ("--type=merge", "-p", spec)
    cluster.kubectl("patch", "observatory", "stopped", "-n", namespace, *patch)
    annotate(cluster, namespace, "stopped", "stop")

    status = cluster.wait_complete(namespace, "stopped")

    row = rows(status)["work"]
    assert (row["class"], row["reason"], row["exitCode"]) == ("Cancelled", "Stopped", 143)
    assert rows(status)["next"]["reason"] == "Stopped"
    assert status["finally"][0]["phase"] == "Succeeded"
    assert status["requests"][0]["outcome"] == "Accepted"
    await_nothing_held(cluster, namespace)


def test_terminate_ends_at_once_what_ignores_sigterm_and_skips_finally(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    deaf: JsonObject = {
        "name": "deaf",
        "image": "busybox:1.36",
        "command": ["sh", "-c", "trap '' TERM; while true; do sleep 1; done"],
        "terminationGracePeriodSeconds": 600,
    }
    never = {"name": "never", "image": "busybox:1.36", "command": ["true"]}
    cluster.apply(workflow(namespace, "ended", deaf, **{"finally": [never]}))
    eventually(
        lambda: pods(cluster, namespace).get("deaf", {}).get("status", {}).get("phase"),
        lambda phase: phase == "Running",
    )
    annotate(cluster, namespace, "ended", "terminate")

    status = cluster.wait_complete(namespace, "ended", seconds=60)

    assert rows(status)["deaf"]["exitCode"] == 137
    assert status["finally"][0]["phase"] == "Skipped"


def test_before_an_observatory_is_deleted_its_finally_runs(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path
) -> None:
    last = ledger.task("last")
    tasks = (ledger.task("work", seconds=600),)
    cluster.apply(workflow(namespace, "deleted", *tasks, **{"finally": [last]}))
    await_started(folder, "work")
    cluster.kubectl("delete", "observatory", "deleted", "-n", namespace, "--timeout=60s")

    assert ledger.starts(folder) == Counter({"work": 1, "last": 1})
    assert ledger.ends(folder)["last"] == 1
    eventually(lambda: pods(cluster, namespace), lambda left: not left)


def test_a_namespace_with_finally_is_not_held(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path
) -> None:
    tasks = (ledger.task("work", seconds=600),)
    cluster.apply(workflow(namespace, "held", *tasks, **{"finally": [ledger.task("last")]}))
    await_started(folder, "work")
    cluster.kubectl("delete", "namespace", namespace, "--timeout=90s")

    assert ledger.starts(folder)["last"] == 0


def test_a_mended_run_keeps_what_succeeded(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path
) -> None:
    bad: JsonObject = {
        "name": "b",
        "image": "busybox:1.36",
        "command": ["false"],
        "dependencies": ["a"],
    }
    made = workflow(namespace, "mended", ledger.task("a"), bad, ledger.task("c", "b"))
    cluster.apply(made)
    assert phases(cluster.wait_complete(namespace, "mended"))["b"] == "Failed"
    made["spec"]["tasks"][1]["command"] = ["true"]
    made["metadata"]["annotations"] = {f"{LABELS}/retry": "1"}
    cluster.apply(made)

    status = eventually(
        lambda: cluster.status(namespace, "mended"),
        lambda status: status.get("run") == 2 and "completionTime" in status,
    )

    assert phases(status) == {"a": "Succeeded", "b": "Succeeded", "c": "Succeeded"}
    assert ledger.starts(folder) == Counter({"a": 1, "c": 1})


def test_what_is_left_of_a_run_is_what_its_retention_and_its_ttl_say(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    good: JsonObject = {"name": "good", "image": "busybox:1.36", "command": ["true"]}
    bad: JsonObject = {"name": "bad", "image": "busybox:1.36", "command": ["false"]}
    cluster.apply(workflow(namespace, "kept", good, bad))
    cluster.apply(workflow(namespace, "gone", good, podRetention="None", ttlSecondsAfterFinished=3))
    cluster.wait_complete(namespace, "kept")

    eventually(lambda: set(pods(cluster, namespace)), lambda left: left == {"bad"})
    names = ("get", "observatory", "-n", namespace, "-o", "name")
    eventually(lambda: cluster.kubectl(*names), lambda left: "gone" not in left)
    assert "kept" in cluster.kubectl(*names)


def test_a_run_over_its_deadline_ends_and_says_so(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path
) -> None:
    tasks = ledger.task("work", seconds=600), ledger.task("next", "work")
    cluster.apply(workflow(namespace, "late", *tasks, activeDeadlineSeconds=5))

    status = cluster.wait_complete(namespace, "late")

    conditions = {each["type"]: each["reason"] for each in status["conditions"]}
    assert conditions["Failed"] == "DeadlineExceeded"
    assert rows(status)["work"]["class"] == "Timeout"
    assert "activeDeadlineSeconds (5 s)" in status["message"]


@pytest.mark.parametrize("policy", ["CancelRunning", "StopScheduling"])
def test_one_failure_may_be_enough(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path, policy: str
) -> None:
    other = {"CancelRunning": 143, "StopScheduling": 0}[policy]
    fails = ledger.task("fails", seconds=1) | {"attemptDeadlineSeconds": 600}
    fails["args"] = [fails["args"][0] + "\nexit 3"]
    works = ledger.task("works", seconds=12)
    tasks = (fails, works, ledger.task("next", "works"))
    cluster.apply(workflow(namespace, "fast", *tasks, failurePolicy=policy))

    status = cluster.wait_complete(namespace, "fast")

    assert (rows(status)["fails"]["exitCode"], rows(status)["works"]["exitCode"]) == (3, other)
    assert rows(status)["next"]["reason"] == "TaskFailed"
    assert status["failure"]["task"] == "fails"
