"""What the status tells when containers fail, or never start."""

from __future__ import annotations

import pytest

from tests.support.cluster import LABELS, Cluster, JsonObject, Operator, eventually

pytestmark = pytest.mark.e2e


def workflow(namespace: str, *tasks: JsonObject) -> JsonObject:
    return {
        "apiVersion": f"{LABELS}/v1alpha1",
        "kind": "Observatory",
        "metadata": {"name": "failing", "namespace": namespace},
        "spec": {"tasks": list(tasks), "podRetention": "All"},
    }


def shell(name: str, script: str, *dependencies: str, **fields: object) -> JsonObject:
    made: JsonObject = {"name": name, "image": "busybox:1.36", "command": ["sh", "-c"]}
    made |= {"args": [script], **fields}
    return made | ({"dependencies": list(dependencies)} if dependencies else {})


def waiting(cluster: Cluster, namespace: str) -> dict[str, str]:
    """What is waited for, and the message about it."""
    status = cluster.status(namespace, "failing")
    return {wait["reason"]: wait.get("message", "") for wait in status.get("waitingFor", ())}


def test_a_failed_container(cluster: Cluster, namespace: str, operator: Operator) -> None:
    cluster.apply(
        workflow(
            namespace,
            # Two streams are two pipes: written at once, nobody keeps their order.
            shell("measure", "echo 'calibrating'; sleep 1; echo 'no signal' >&2; exit 3"),
            shell("report", "echo unreachable", "measure"),
            shell("independent", "echo reached"),
        )
    )

    status = cluster.wait_complete(namespace, "failing")

    assert status["phase"] == "Failed"
    phases = {row["name"]: row["phase"] for row in status["tasks"]}
    assert phases == {"measure": "Failed", "report": "Skipped", "independent": "Succeeded"}
    failure = status["failure"]
    assert (failure["task"], failure["exitCode"], failure["reason"]) == ("measure", 3, "Error")
    assert "no signal" in failure["message"]
    table = cluster.kubectl("get", "observatory", "-n", namespace)
    assert 'Task "measure" failed: Error (exit code 3): no signal' in table
    # The cause outlives the Pod.
    cluster.kubectl("delete", "pods", "--all", "-n", namespace)
    assert cluster.status(namespace, "failing")["failure"] == failure


def test_a_pod_that_is_deleted_while_it_runs(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    cluster.apply(workflow(namespace, shell("long", "sleep 600")))
    selector = f"--selector={LABELS}/task=long"
    phase = "jsonpath={.items[*].status.phase}"
    eventually(
        lambda: cluster.kubectl("get", "pods", "-n", namespace, selector, "-o", phase),
        lambda seen: seen == "Running",
    )

    cluster.kubectl("delete", "pods", "-n", namespace, selector, "--grace-period=1")

    status = cluster.wait_complete(namespace, "failing")
    assert status["phase"] == "Failed"
    assert (status["failure"]["exitCode"], status["failure"]["signal"]) == (137, 9)
    assert not cluster.get("pods", "-n", namespace)["items"]


def test_an_image_that_does_not_exist(cluster: Cluster, namespace: str, operator: Operator) -> None:
    image = "registry.invalid/no/such:1"
    cluster.apply(workflow(namespace, {"name": "pull", "image": image}))

    waits = eventually(lambda: waiting(cluster, namespace), lambda seen: "ImagePull" in seen)

    assert image in waits["ImagePull"]
    assert "ImagePull: pull" in cluster.kubectl("get", "observatory", "-n", namespace)


def test_a_config_map_that_is_missing_and_then_made(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    reference = {"name": "settings", "key": "level"}
    env = [{"name": "LEVEL", "valueFrom": {"configMapKeyRef": reference}}]
    cluster.apply(workflow(namespace, shell("greet", "echo level $LEVEL", env=env)))
    reason = "CreateContainerConfigError"
    waits = eventually(lambda: waiting(cluster, namespace), lambda seen: reason in seen)
    assert "settings" in waits[reason]

    cluster.kubectl("create", "configmap", "settings", "-n", namespace, "--from-literal=level=7")

    assert cluster.wait_complete(namespace, "failing")["phase"] == "Succeeded"
    logs = cluster.kubectl("logs", "-n", namespace, f"--selector={LABELS}/task=greet")
    assert logs == "level 7\n"


def test_deletion_while_it_runs_leaves_nothing(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    cluster.apply(workflow(namespace, shell("long", "sleep 600"), shell("next", "true", "long")))
    eventually(
        lambda: cluster.get("pods", "-n", namespace)["items"],
        lambda pods: pods and pods[0]["status"]["phase"] == "Running",
    )

    cluster.kubectl("delete", "observatory", "failing", "-n", namespace, "--wait=false")

    # Thirty seconds of grace are the container's: it ignores SIGTERM, as PID 1 does by default.
    eventually(
        lambda: cluster.get("pods,controllerrevisions", "-n", namespace)["items"],
        lambda left: not left,
        seconds=90,
    )
