"""The README's workflow in real containers, and what it costs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.support.cluster import LABELS, ROOT, Cluster, JsonObject, Operator, eventually

pytestmark = pytest.mark.e2e

SAMPLES = ROOT / "manifests" / "samples"
QUICK_START = SAMPLES / "workflow_v1alpha1_observatory.yaml"


def logs(cluster: Cluster, namespace: str, name: str, task: str) -> str:
    selector = f"{LABELS}/observatory={name},{LABELS}/task={task}"
    return cluster.kubectl("logs", "-n", namespace, "--selector", selector)


def test_quick_start(cluster: Cluster, namespace: str, operator: Operator) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", str(QUICK_START))

    status = cluster.wait_complete(namespace, "my-workflow")

    assert status["phase"] == "Succeeded"
    assert [logs(cluster, namespace, "my-workflow", row["name"]) for row in status["tasks"]] == [
        "Setup complete\n",
        "Processing data\n",
        "Workflow complete\n",
    ]
    table = cluster.kubectl("get", "observatory", "-n", namespace)
    assert "3/3" in table
    assert operator.stop() == 0


def test_writes(cluster: Cluster, namespace: str, operator: Operator) -> None:
    """At most 4 writes a task and 5 for the run, and none once it has ended."""
    if cluster.audit_log is None:
        pytest.skip("the audit log of a foreign cluster cannot be read")
    cluster.kubectl("apply", "-n", namespace, "-f", str(QUICK_START))
    cluster.wait_complete(namespace, "my-workflow")
    finalizers = "jsonpath={.items[*].metadata.finalizers}"
    eventually(
        lambda: cluster.kubectl("get", "pods", "-n", namespace, "-o", finalizers),
        lambda left: not left,
    )
    operator.stop()
    with cluster.operator("--namespace", namespace, log=operator.log) as again:
        # A new operator looks at everything; that it is ready says that it has.
        eventually(again.lines, lambda lines: any("Caches synced" in str(line) for line in lines))

    writes = controller_writes(cluster.audit_log, namespace)

    assert writes.total() <= 3 * 4 + 5, writes
    assert writes["patch", "pods"] == 2 * 3


def controller_writes(audit_log: Path, namespace: str) -> Counter[tuple[str, str]]:
    """The operator's writes by verb and resource, Events apart."""
    counted: Counter[tuple[str, str]] = Counter()
    for line in audit_log.read_text().splitlines():
        entry: JsonObject = json.loads(line)
        reference = entry.get("objectRef") or {}
        if (
            entry["stage"] == "ResponseComplete"
            and reference.get("namespace") == namespace
            and str(entry.get("userAgent", "")).startswith("observatory-operator/")
            and entry["verb"] in ("create", "update", "patch", "delete")
            and reference.get("resource") != "events"
        ):
            counted[entry["verb"], reference["resource"]] += 1
    return counted
