"""What becomes of tasks that fail, on a real kubelet: the rows of docs/failures.md marked so.

All of it is one run, as bad as a run can be; each test looks at one task of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from e2e.workflows import rows
from tests.support.cluster import LABELS, Cluster, JsonObject, eventually

pytestmark = pytest.mark.e2e

NAMESPACE = "failure-table"
ATTEMPT = {
    "name": "ATTEMPT",
    "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{LABELS}/attempt']"}},
}
EAT = "exec dd if=/dev/zero of=/dev/null bs=40M count=1"
"""Process 1 needs so much memory: where a child is killed for it, its shell lives on."""
SMALL = {"limits": {"memory": "16Mi"}}
ON_TERM = "trap 'echo asked to end; exit 0' TERM; sleep 600 & wait"


def missing(kind: str, name: str, key: str) -> list[JsonObject]:
    """An environment that needs a key of an object."""
    return [{"name": "X", "valueFrom": {f"{kind}KeyRef": {"name": name, "key": key}}}]


def rule(action: str, code: int) -> list[JsonObject]:
    return [{"action": action, "onExitCodes": {"operator": "In", "values": [code]}}]


@dataclass(frozen=True)
class Case:
    """A task, and how it ends: attempts, phase, class, reason, exit code, words of its message."""

    script: str
    attempts: int
    phase: str
    class_: str | None = None
    reason: str | None = None
    code: int | None = None
    says: str = ""
    needs: tuple[str, ...] = ()
    fields: JsonObject | None = None


CASES = {
    "well": Case("echo fine", 1, "Succeeded", code=0),
    "exit-3": Case("echo boom; exit 3", 1, "Failed", "ApplicationError", "Error", 3, "boom"),
    "exit-3-thrice": Case(
        "exit 3", 3, "Failed", "ApplicationError", "Error", 3, "retry limit 2 reached",
        fields={"retry": {"limit": 2}}),
    "second-time": Case(
        "[ $ATTEMPT -ge 2 ]", 2, "Succeeded", code=0,
        fields={"retry": {"limit": 5}, "env": [ATTEMPT]}),
    "killed": Case("sh -c 'kill -9 $$$$'; exit $?", 1, "Failed", "ApplicationError", "Error", 137),
    "terminated": Case(
        "sh -c 'kill -15 $$$$'; exit $?", 1, "Failed", "ApplicationError", "Error", 143),
    "no-program": Case(
        "", 1, "Failed", "ApplicationError", "StartError", 128, "executable file not found",
        fields={"command": ["nonsense"], "args": []}),
    "out-of-memory": Case(EAT, 1, "Failed", "OutOfMemory", "OOMKilled", 137,
                          fields={"resources": SMALL}),
    "more-memory": Case(
        EAT, 2, "Succeeded", code=0,
        fields={"resources": SMALL, "retry": {"limit": 3, "memory": {"factor": 8, "max": "1Gi"}}}),
    "attempt-too-long": Case(
        "sleep 600", 1, "Failed", "Timeout", "DeadlineExceeded", says="specified deadline",
        fields={"attemptDeadlineSeconds": 4, "terminationGracePeriodSeconds": 1}),
    "twice-too-long": Case(
        "sleep 600", 2, "Failed", "Timeout", "DeadlineExceeded", says="retry limit 1 reached",
        fields={"attemptDeadlineSeconds": 3, "terminationGracePeriodSeconds": 1,
                "retry": {"limit": 1}}),
    "task-too-long": Case(
        ON_TERM, 1, "Failed", "Timeout", "DeadlineExceeded", 0, "activeDeadlineSeconds (20 s)",
        fields={"activeDeadlineSeconds": 20, "retry": {"limit": 9}}),
    "deaf": Case(
        "trap '' TERM; sleep 600 & wait; sleep 600",
        1, "Failed", "Timeout", "DeadlineExceeded", 137,
        fields={"activeDeadlineSeconds": 5, "terminationGracePeriodSeconds": 1}),
    "pause-too-long": Case(
        "exit 3", 1, "Failed", "Timeout", "DeadlineExceeded", 3, "came before attempt 2",
        fields={"activeDeadlineSeconds": 40,
                "retry": {"limit": 9, "backoff": {"initialSeconds": 90, "maxSeconds": 90}}}),
    "no-image": Case(
        "", 1, "Failed", "ImagePull", "ImagePull", says="registry.invalid",
        fields={"image": "registry.invalid/no/such:1", "startingDeadlineSeconds": 20}),
    "no-config-map": Case(
        "", 1, "Failed", "Configuration", "CreateContainerConfigError", says='"missing" not found',
        fields={"env": missing("configMap", "missing", "a"), "startingDeadlineSeconds": 20,
                "retry": {"limit": 3}}),
    "no-secret-key": Case(
        "", 1, "Failed", "Configuration", "CreateContainerConfigError", says="couldn't find key b",
        fields={"env": missing("secret", "half", "b"), "startingDeadlineSeconds": 20}),
    "late-config-map": Case(
        'test "$X" = here', 1, "Succeeded", code=0,
        fields={"env": missing("configMap", "late", "a")}),
    "no-room": Case(
        "true", 1, "Failed", "Timeout", "StartDeadlineExceeded", says="Insufficient cpu",
        fields={"resources": {"requests": {"cpu": "1000"}}, "startingDeadlineSeconds": 5}),
    "rule-fails": Case(
        "exit 42", 1, "Failed", "ApplicationError", "Error", 42,
        fields={"retry": {"limit": 5, "rules": rule("FailTask", 42)}}),
    "rule-ignores": Case(
        "exit 75", 2, "Failed", "ApplicationError", "Error", 75, "disruption limit 1 reached",
        fields={"retry": {"disruptionLimit": 1, "rules": rule("Ignore", 75)}}),
    "ignored": Case("exit 1", 1, "Failed", "ApplicationError", "Error", 1,
                    fields={"onFailure": "Ignore"}),
    "after-ignored": Case("true", 1, "Succeeded", code=0, needs=("ignored",)),
    "after-failed": Case("true", 0, "Skipped", reason="DependencyFailed",
                         says='Task "exit-3", which it depends on, failed', needs=("exit-3",)),
    "handler": Case("true", 1, "Succeeded", code=0, needs=("exit-3", "task-too-long"),
                    fields={"triggerRule": "AnyFailed"}),
    "no-handler": Case("true", 0, "Skipped", reason="TriggerRule", needs=("well",),
                       fields={"triggerRule": "AnyFailed"}),
    "all-failed": Case("true", 1, "Succeeded", code=0, needs=("exit-3", "after-failed"),
                       fields={"triggerRule": "AllFailed"}),
    "all-done": Case("true", 1, "Succeeded", code=0, needs=("exit-3", "well", "no-handler"),
                     fields={"triggerRule": "AllDone"}),
    "any-succeeded": Case("true", 1, "Succeeded", code=0, needs=("exit-3", "well"),
                          fields={"triggerRule": "AnySucceeded"}),
    "none-failed": Case("true", 1, "Succeeded", code=0, needs=("well", "no-handler"),
                        fields={"triggerRule": "NoneFailed"}),
}  # fmt: skip


def made(name: str, case: Case) -> JsonObject:
    task: JsonObject = {
        "name": name,
        "image": "busybox:1.36",
        "command": ["sh", "-c"],
        "args": [case.script],
        **(case.fields or {}),
    }
    return task | ({"dependencies": list(case.needs)} if case.needs else {})


@pytest.fixture(scope="module")
def storm(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[JsonObject, str]]:
    """The status of the run, and what `kubectl describe` says."""
    log = tmp_path_factory.mktemp("storm") / "operator.log"
    kubectl = cluster.kubectl
    with (
        cluster.namespace(NAMESPACE),
        cluster.operator("--namespace", NAMESPACE, log=log),
    ):
        kubectl("create", "secret", "generic", "half", "-n", NAMESPACE, "--from-literal=a=x")
        cluster.apply(
            {
                "apiVersion": f"{LABELS}/v1alpha1",
                "kind": "Observatory",
                "metadata": {"name": "storm", "namespace": NAMESPACE},
                "spec": {
                    "retry": {"backoff": {"initialSeconds": 1, "maxSeconds": 2}},
                    "tasks": [made(name, case) for name, case in CASES.items()],
                    "finally": [
                        made("last", Case("env | grep OBSERVATORY_PHASE=Failed", 1, "Succeeded"))
                    ],
                },
            }
        )
        eventually(
            lambda: rows(cluster.status(NAMESPACE, "storm")).get("late-config-map", {}),
            lambda row: row.get("reason") == "CreateContainerConfigError",
        )
        kubectl("create", "configmap", "late", "-n", NAMESPACE, "--from-literal=a=here")
        status = cluster.wait_complete(NAMESPACE, "storm", seconds=240)
        describe = ("describe", "observatory", "storm", "-n", NAMESPACE)
        # Events come a little after the status that they tell of.
        described = eventually(lambda: kubectl(*describe), lambda said: "Run 1 failed" in said)
        yield status, described


@pytest.mark.parametrize("name", CASES)
def test_each_task_ends_as_it_must(storm: tuple[JsonObject, str], name: str) -> None:
    case, row = CASES[name], rows(storm[0])[name]

    assert (row["phase"], row.get("class"), row.get("reason")) == (
        case.phase,
        case.class_,
        case.reason,
    ), row
    assert row.get("attempt", 0) == case.attempts
    if case.code is not None:
        assert row.get("exitCode") == case.code
    assert case.says in row.get("message", "")


def test_the_run_as_a_whole_is_told_in_one_line_and_in_detail(
    storm: tuple[JsonObject, str],
) -> None:
    status, described = storm
    failed = {name for name, case in CASES.items() if case.phase == "Failed"} - {"ignored"}

    assert status["phase"] == "Failed"
    assert f"the first of {len(failed)}, failed" in status["message"]
    assert status["failure"]["task"] in failed
    assert status["finally"][0]["phase"] == "Succeeded"
    for name in failed:
        assert f'Task "{name}" failed' in described
    for said in ("tries again: attempt 2 at ", "which is ignored", "Run 1 failed after"):
        assert said in described


def test_memory_was_raised_and_each_attempt_is_on_record(storm: tuple[JsonObject, str]) -> None:
    row = rows(storm[0])["more-memory"]

    assert row["memory"] == "128Mi"
    assert [(each["attempt"], each["class"]) for each in row["attempts"]] == [(1, "OutOfMemory")]
