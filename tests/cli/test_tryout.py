"""`observatory try`: real commands, run by the real controller."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from observatory.cli.localnode import CannotRunError, engine, environment, expand
from observatory.cli.main import main
from tests.support.cluster import eventually

pytestmark = pytest.mark.usefixtures("log_as_before")

Output = pytest.CaptureFixture[str]
SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"


def written(folder: Path, *tasks: dict[str, object], **spec: object) -> str:
    file = folder / "w.yaml"
    workflow = {
        "apiVersion": "workflow.seventh-horizon.io/v1alpha1",
        "kind": "Observatory",
        "metadata": {"name": "w"},
        "spec": {"tasks": list(tasks), **spec},
    }
    file.write_text(yaml.safe_dump(workflow))
    return str(file)


def sh(name: str, script: str, *dependencies: str, **fields: object) -> dict[str, object]:
    made: dict[str, object] = {"name": name, "image": "any", "command": ["sh", "-c", script]}
    return made | fields | ({"dependencies": list(dependencies)} if dependencies else {})


def tried(capsys: Output, *arguments: str) -> tuple[int, list[str]]:
    code = main(["try", "--engine", "none", *arguments])
    return code, capsys.readouterr().out.splitlines()


def test_a_run_is_seen_through_in_order(tmp_path: Path, capsys: Output) -> None:
    file = written(tmp_path, sh("a", "echo one"), sh("b", "echo two; echo three >&2", "a"))
    code, lines = tried(capsys, file)
    assert code == 0
    assert lines[0] == (
        "Trying it without a cluster: tasks run as your own processes, and not in their images."
    )
    assert [line for line in lines if " | " in line] == ["a | one", "b | two", "b | three"]
    assert lines[-1].startswith("w: Succeeded after ")


def test_a_failure_is_told_and_is_the_exit_code(tmp_path: Path, capsys: Output) -> None:
    file = written(tmp_path, sh("a", "echo broken; exit 3"), sh("b", "true", "a"))
    code, lines = tried(capsys, file, "--quiet")
    assert code == 1
    assert "a | broken" not in lines
    assert re.fullmatch(
        r'w: Failed after \d+s: Task "a" failed: Error \(exit code 3\): broken', lines[-1]
    )


def test_retries_finally_and_the_environment_are_the_operators(
    tmp_path: Path, capsys: Output
) -> None:
    label = "metadata.labels['workflow.seventh-horizon.io/attempt']"
    env = [
        {"name": "ATTEMPT", "valueFrom": {"fieldRef": {"fieldPath": label}}},
        {"name": "TWICE", "value": "$(ATTEMPT)$(ATTEMPT)"},
    ]
    once = {"limit": 1, "backoff": {"initialSeconds": 1}}
    file = written(
        tmp_path,
        sh("a", "echo $TWICE; test $ATTEMPT = 2", env=env, retry=once),
        **{"finally": [sh("last", "echo $OBSERVATORY_PHASE")]},
    )
    code, lines = tried(capsys, file)
    assert code == 0
    assert [line for line in lines if " | " in line] == ["a | 11", "a | 22", "last | Succeeded"]


def test_a_deadline_ends_the_process_and_what_it_has_started(
    tmp_path: Path, capsys: Output
) -> None:
    mark = tmp_path / "mark"
    script = f"(trap '' TERM; sleep 30; touch {mark}) & trap 'exit 5' TERM; wait"
    file = written(tmp_path, sh("a", script, activeDeadlineSeconds=1))
    code, lines = tried(capsys, file)
    assert code == 1
    assert "DeadlineExceeded" in lines[-1]
    assert not mark.exists()


def test_what_cannot_be_run_here_says_why(tmp_path: Path, capsys: Output) -> None:
    secret = {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    file = written(
        tmp_path,
        {"name": "own-command", "image": "any"},
        sh("secret", "true", env=[secret]),
        {"name": "missing", "image": "any", "command": ["no-such-program-here"]},
    )
    code, lines = tried(capsys, file)
    assert code == 1
    text = "\n".join(lines)
    assert "what image any would run is not known without podman or docker" in text
    assert 'variable "S" has a valueFrom, and there is no cluster to take it from' in text
    assert "no program 'no-such-program-here' on this machine" in text


def test_a_schedule_and_a_suspension_are_left_out(tmp_path: Path, capsys: Output) -> None:
    file = written(tmp_path, sh("a", "true"), schedule="0 0 29 2 *", suspend=True)
    assert tried(capsys, file)[0] == 0


def test_the_object_at_its_end_is_written_where_it_is_asked_for(
    tmp_path: Path, capsys: Output
) -> None:
    file = written(tmp_path, sh("a", "echo hello"))
    assert main(["try", "--engine", "none", "-o", "json", file]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["status"]["phase"] == "Succeeded"
    assert "a | hello" in err


@pytest.mark.parametrize("sample", ["diamond", "fan-out", "finally", "failures"])
def test_the_samples_can_be_tried(sample: str, capsys: Output) -> None:
    code, lines = tried(capsys, str(SAMPLES / f"{sample}.yaml"))
    assert (code, ": Succeeded after " in lines[-1]) == (0, True), lines


def test_containers_are_run_by_the_engine_that_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """With a stand-in that writes how it was called."""
    fake = tmp_path / "bin" / "podman"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\n[ "$1" = version ] && exit 0\necho "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    assert engine() == "podman"
    task: dict[str, object] = {
        "name": "a",
        "image": "busybox:1.36",
        "command": ["sh", "-c"],
        "args": ["echo $(X)"],
        "env": [{"name": "X", "value": "1"}],
        "resources": {"limits": {"memory": "64Mi"}},
        "securityContext": {"runAsUser": 7, "runAsGroup": 8, "readOnlyRootFilesystem": True},
    }
    assert main(["try", written(tmp_path, task)]) == 0
    out = capsys.readouterr().out
    assert "tasks run in podman." in out
    (line,) = [line for line in out.splitlines() if line.startswith("a | ")]
    assert line.startswith("a | run --rm --name w-a-1-")
    assert line.endswith("--user 7:8 --entrypoint sh busybox:1.36 -c echo 1")
    assert "-e X=1 --memory 64m --read-only" in line


def test_an_engine_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert engine() is None
    assert main(["try", "--engine", "podman", str(SAMPLES / "diamond.yaml")]) == 2


def test_ctrl_c_ends_what_runs_and_leaves_nothing(tmp_path: Path) -> None:
    began = tmp_path / "began"
    file = written(tmp_path, sh("a", f"echo $$$$ > {began}.new; mv {began}.new {began}; sleep 300"))
    argv = [sys.executable, "-m", "observatory", "try", "--engine", "none", file]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    # As in a terminal, also where these tests run in the background of a shell, which ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, env=environment) as process:
        signal.signal(signal.SIGINT, before)
        eventually(began.exists, bool)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int(began.read_text()), 0)
    assert not list(tmp_path.glob("observatory-try-*"))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("$$(A)", "$(A)"),
        ("$(B)", "$(B)"),
        ("$A ${A}", "$A ${A}"),
        ("a$(A)b$(A)", "a1b1"),
    ],
)
def test_variables_are_expanded_as_kubernetes_does_it(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


def test_the_environment_knows_the_pods_metadata_and_nothing_of_a_cluster() -> None:
    def field(path: str) -> dict[str, object]:
        return {"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}]}

    metadata = {"name": "p", "labels": {"a/b": "c"}}
    assert environment(field("metadata.name"), metadata) == {"X": "p"}
    assert environment(field("metadata.labels['a/b']"), metadata) == {"X": "c"}
    with pytest.raises(CannotRunError):
        environment(field("status.podIP"), metadata)
