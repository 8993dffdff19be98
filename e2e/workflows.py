"""Observatories of these tests, and what became of their tasks and Pods."""

from __future__ import annotations

from collections.abc import Mapping

from e2e import ledger
from tests.support.cluster import LABELS, Cluster, JsonObject, eventually

Shape = Mapping[str, tuple[str, ...]]
"""The tasks, each with what it depends on."""


def workflow(namespace: str, name: str, *tasks: JsonObject) -> JsonObject:
    return {
        "apiVersion": f"{LABELS}/v1alpha1",
        "kind": "Observatory",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"tasks": list(tasks), "podRetention": "All", "retry": {"disruptionLimit": 0}},
    }


def of_shape(namespace: str, name: str, shape: Shape, *, seconds: float) -> JsonObject:
    tasks = (ledger.task(task, *needs, seconds=seconds) for task, needs in shape.items())
    return workflow(namespace, name, *tasks)


def rows(status: JsonObject) -> dict[str, JsonObject]:
    """The rows of the tasks by name."""
    return {row["name"]: row for row in status.get("tasks", ())}


def phases(status: JsonObject) -> dict[str, str]:
    return {name: row["phase"] for name, row in rows(status).items()}


def waits(status: JsonObject) -> dict[str, str]:
    """What is waited for, and the message about it."""
    return {wait["reason"]: wait.get("message", "") for wait in status.get("waitingFor", ())}


def pods(cluster: Cluster, namespace: str) -> dict[str, JsonObject]:
    """The Pods by task."""
    found = cluster.get("pods", "-n", namespace)["items"]
    return {pod["metadata"]["labels"].get(f"{LABELS}/task", ""): pod for pod in found}


def await_nothing_held(cluster: Cluster, namespace: str) -> None:
    """Wait until no Pod is gated or has a finalizer."""

    def held() -> list[str]:
        return [
            pod["metadata"]["name"]
            for pod in cluster.get("pods", "-n", namespace)["items"]
            if pod["spec"].get("schedulingGates") or pod["metadata"].get("finalizers")
        ]

    eventually(held, lambda names: not names)
