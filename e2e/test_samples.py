"""Every sample does what it says, in real containers."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.cluster import LABELS, ROOT, Cluster, Operator, eventually

pytestmark = pytest.mark.e2e

SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))
NEVER_STARTED = {"suspended": "Suspended"}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem.split("_")[0])
def test_sample(cluster: Cluster, namespace: str, operator: Operator, sample: Path) -> None:
    name = yaml.safe_load(sample.read_text())["metadata"]["name"]
    cluster.kubectl("apply", "-n", namespace, "-f", str(sample))

    if name == "scheduled":
        times = eventually(
            lambda: cluster.status(namespace, name).get("nextRunTimes"), lambda seen: seen
        )
        assert len(times or ()) == 5
        cluster.kubectl("annotate", "observatory", name, "-n", namespace, f"{LABELS}/run-now=1")
        status = eventually(
            lambda: cluster.status(namespace, name), lambda seen: seen.get("runHistory")
        )
        assert status["phase"] == "Succeeded"
        return
    if name in NEVER_STARTED:
        status = eventually(
            lambda: cluster.status(namespace, name), lambda seen: seen.get("message")
        )
        assert status["phase"] == "Pending"
        assert status["message"].startswith(NEVER_STARTED[name])
        return
    status = cluster.wait_complete(namespace, name)
    assert status["phase"] == "Succeeded"
    if yaml.safe_load(sample.read_text())["spec"].get("podRetention") == "All":
        selector = f"{LABELS}/observatory={name}"
        logs = cluster.kubectl("logs", "-n", namespace, "--selector", selector)
        rows = (*status["tasks"], *status.get("finally", ()))
        assert len(logs.splitlines()) == len(rows)


def test_a_suspended_one_starts_when_it_is_told_to(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    (sample,) = (path for path in SAMPLES if path.stem == "suspended")
    cluster.kubectl("apply", "-n", namespace, "-f", str(sample))
    eventually(lambda: cluster.status(namespace, "suspended"), lambda seen: seen.get("message"))

    patch = '{"spec": {"suspend": false}}'
    cluster.kubectl(
        "patch", "observatory", "suspended", "-n", namespace, "--type=merge", f"--patch={patch}"
    )

    assert cluster.wait_complete(namespace, "suspended")["phase"] == "Succeeded"
