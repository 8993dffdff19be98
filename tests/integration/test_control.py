"""Runs controlled from the command line, and what a removed operator leaves behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.workflows import Runs, task
from tests.support.cluster import LABELS, Cluster, Operator, eventually

pytestmark = pytest.mark.integration


def observatory(cluster: Cluster, *arguments: str) -> tuple[int, str]:
    """The exit code of a command, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "observatory", *arguments, "--kubeconfig", cluster.kubeconfig],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_run_is_stopped_retried_and_suspended_by_command(
    runs: Runs, cluster: Cluster, tmp_path: Path
) -> None:
    def command(verb: str, *more: str) -> tuple[int, str]:
        return observatory(cluster, verb, "night", "-n", runs.namespace, *more)

    missing = f'error: no Observatory "night" in namespace "{runs.namespace}"'
    assert command("stop") == (1, f"{missing}; see kubectl get observatories -A\n")
    runs.apply("night", task("a"), task("b", "a", hold=True))
    runs.running("night", "b")
    assert command("stop") == (0, "observatory/night: run 1 is stopped\n")
    assert runs.end("night")["phase"] == "Failed"
    code, said = command("terminate")
    assert (code, "there is nothing to terminate" in said) == (1, True)

    assert command("suspend")[0] == 0
    assert command("retry") == (0, "observatory/night: run 2 runs 1 task again and keeps 1\n")
    assert runs.status("night")["waitingFor"][0]["reason"] == "Suspended"
    assert command("resume") == (0, "observatory/night: resumed\n")
    pods = eventually(
        lambda: runs.pods("night"),
        lambda pods: any(
            (pod["metadata"]["labels"][f"{LABELS}/run"], pod["status"].get("phase"))
            == ("2", "Running")
            for pod in pods.values()
        ),
    )
    assert len(pods) == 2  # the one that was stopped is gone
    runs.let_go("b")
    status = runs.end("night", run=2)
    assert (status["phase"], status["tasks"][0]["run"]) == ("Succeeded", 1)

    mended = tmp_path / "mended.yaml"
    mended.write_text(
        f"apiVersion: {LABELS}/v1alpha1\nkind: Observatory\nmetadata: {{name: night}}\n"
        "spec: {tasks: [{name: a, image: i}, {name: c, image: i, dependencies: [d]}]}\n"
    )
    code, said = command("retry", "--file", str(mended))
    assert (code, 'Not found: "d"' in said) == (1, True)
    mended.write_text(mended.read_text().replace("[d]", "[a]"))
    code, said = command("retry", "--file", str(mended))
    assert (code, "run 3" in said) == (0, True)
    assert runs.end("night", run=3)["progress"] == "2/2"


def test_without_an_operator_nobody_answers_and_that_is_told(
    cluster: Cluster, namespace: str
) -> None:
    Runs(cluster, namespace).apply("night", task("a"))
    code, said = observatory(cluster, "stop", "night", "-n", namespace, "--timeout", "1")
    assert (code, "does an operator run" in said) == (3, True)


def test_what_a_removed_operator_left_is_let_go_and_the_namespace_goes(
    runs: Runs, cluster: Cluster, operator: Operator
) -> None:
    runs.apply("held", task("a", hold=True), **{"finally": [task("last")]})
    runs.running("held", "a")
    assert operator.stop() == 0
    runs.cluster.kubectl("delete", "namespace", runs.namespace, "--wait=false")
    eventually(
        lambda: runs.cluster.get("pods", "-n", runs.namespace)["items"],
        lambda pods: all("deletionTimestamp" in pod["metadata"] for pod in pods),
    )

    code, said = observatory(cluster, "cleanup", "--namespace", runs.namespace, "--dry-run")
    assert (code, said.splitlines()[-1]) == (0, "2 are held")
    code, said = observatory(cluster, "cleanup", "--namespace", runs.namespace)
    assert (code, said.splitlines()[-1]) == (0, "2 let go")

    names = ("get", "namespaces", "-o", "name")
    gone = f"namespace/{runs.namespace}\n"
    eventually(lambda: cluster.kubectl(*names), lambda left: gone not in left, seconds=90)
