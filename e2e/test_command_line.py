"""The commands that people type, against real containers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from functools import partial
from pathlib import Path

import pytest
import yaml

from e2e.workflows import workflow
from tests.support.cluster import ROOT, Cluster, JsonObject, Operator, eventually

pytestmark = pytest.mark.e2e

SCRIPTS = sysconfig.get_path("scripts")


def task(name: str, script: str, *dependencies: str) -> JsonObject:
    made: JsonObject = {"name": name, "image": "busybox:1.36", "command": ["sh", "-c", script]}
    return made | ({"dependencies": list(dependencies)} if dependencies else {})


def typed(cluster: Cluster, *words: str) -> tuple[int, str, str]:
    """The exit code, the output, and what was said beside it."""
    argv = [sys.executable, "-m", "observatory", *words, "--kubeconfig", cluster.kubeconfig]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def written(folder: Path, made: JsonObject) -> str:
    file = folder / "workflow.yaml"
    file.write_text(yaml.safe_dump(made))
    return str(file)


def test_a_failing_workflow_is_submitted_followed_and_explained(
    cluster: Cluster, namespace: str, operator: Operator, tmp_path: Path
) -> None:
    tasks = (
        task("extract", "echo extracted"),
        task("load", "echo no such table; exit 3", "extract"),
        task("publish", "true", "load"),
    )
    made = workflow(namespace, "etl", *tasks)
    code, out, err = typed(cluster, "submit", written(tmp_path, made), "--follow")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == "observatory.workflow.seventh-horizon.io/etl created"
    assert "extract: Succeeded" in lines
    assert lines[-1].startswith("etl: Failed after ")
    assert typed(cluster, "submit", written(tmp_path, made))[0] == 1, "it is there already"

    code, out, _ = typed(cluster, "why", "etl", "-n", namespace)
    assert code == 1
    assert '  First, task "load" failed: Error (ApplicationError, exit code 3)' in out
    assert "    | no such table" in out
    assert "  Skipped because of that: publish" in out

    code, out, _ = typed(cluster, "logs", "etl", "-n", namespace)
    assert (code, out) == (0, "extract | extracted\nload | no such table\n")
    code, out, _ = typed(cluster, "get", "etl", "-n", namespace)
    assert code == 0
    assert "Failed" in next(line for line in out.splitlines() if " load " in line)
    code, out, _ = typed(cluster, "events", "etl", "-n", namespace)
    reasons = [line.split()[2] for line in out.splitlines()[1:]]
    assert reasons.index("RunStarted") < reasons.index("TaskFailed") < reasons.index("RunFailed")
    code, out, _ = typed(cluster, "timeline", "etl", "-n", namespace, "-o", "svg")
    assert out.startswith("<svg ")
    code, out, _ = typed(cluster, "list", "-n", namespace, "-o", "json")
    assert [each["metadata"]["name"] for each in json.loads(out)["items"]] == ["etl"]


def test_logs_are_followed_to_the_end_of_the_run(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    tasks = (
        task("slow", "for i in 1 2 3; do echo $i; sleep 1; done"),
        task("after", "echo done", "slow"),
    )
    cluster.apply(workflow(namespace, "night", *tasks))
    eventually(partial(cluster.status, namespace, "night"), lambda status: "tasks" in status)
    code, out, _ = typed(cluster, "logs", "night", "-f", "-n", namespace)
    assert code == 0
    assert out == "slow | 1\nslow | 2\nslow | 3\nafter | done\n"


def test_it_is_a_plugin_of_kubectl_with_completion(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    cluster.apply(workflow(namespace, "plugged", task("only", "true")))
    cluster.wait_complete(namespace, "plugged")
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": cluster.kubeconfig}

    def kubectl(*words: str) -> list[str]:
        argv = [str(ROOT / "hack" / "kubectl"), *words]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    name = "observatory.workflow.seventh-horizon.io/plugged"
    assert kubectl("observatory", "list", "-n", namespace, "-o", "name") == [name]
    assert "usage: kubectl observatory get" in kubectl("observatory", "get", "--help")[0]
    words = ("__complete", "observatory", "logs", "-n", namespace, "plugged", "")
    assert "only" in kubectl(*words)
