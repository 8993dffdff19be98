"""The largest Observatory that is allowed: it is accepted, fits, and completes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.account import WRITES, Account
from tests.integration.workflows import Runs, observatory, task
from tests.support.cluster import Cluster, eventually, now, stamp

pytestmark = pytest.mark.integration

TASKS = 4000
"""As many as the schema allows."""
SECONDS = 300


def name(number: int) -> str:
    """A name of 63 characters."""
    return f"t{number:04d}-{'x' * 57}"


def test_four_thousand_tasks_with_one_that_waits_for_nearly_all(
    cluster: Cluster, namespace: str, account: Account, tmp_path: Path
) -> None:
    first, *middle, last = [name(number) for number in range(TASKS)]
    tasks = [task(first), *(task(each, first) for each in middle), task(last, *middle)]
    made = observatory(namespace, "x" * 63, *tasks)
    begun, runs = now(), Runs(cluster, namespace)
    flags = ("--namespace", namespace)
    log = tmp_path / "operator.log"
    with cluster.operator(*flags, log=log, kubeconfig=str(account.kubeconfig)) as operator:
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(made))

        status = eventually(
            lambda: runs.status("x" * 63),
            lambda status: "completionTime" in status,
            seconds=SECONDS,
            pause=2,
        )

        assert (status["phase"], status["progress"]) == ("Succeeded", f"{TASKS}/{TASKS}")
        assert {row["phase"] for row in status["tasks"]} == {"Succeeded"}
        eventually(runs.tracked, lambda tracked: not tracked, pause=2)
        quiet = now()
        assert operator.stop() == 0
        operator.restart()
        runs.apply("next", task("a"))
        runs.end("next")
    requests = cluster.audited(account.user, begun)
    writes = [
        each
        for each in requests
        if each["verb"] in WRITES and "xxx" in json.dumps(each["objectRef"])
    ]
    assert [each for each in writes if each["requestReceivedTimestamp"] > stamp(quiet)] == []
    assert not [each for each in writes if each["responseStatus"]["code"] >= 500]
    of_status = [each for each in writes if each["objectRef"].get("subresource") == "status"]
    of_pods = [each for each in writes if each["objectRef"]["resource"] == "pods"]
    # A POST and two PATCHes for each Pod; a status for each batch of starts and of ends.
    assert len(of_pods) == 3 * TASKS
    assert len(of_status) < TASKS / 2
