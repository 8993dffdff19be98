"""What tenants are held to: by quota, LimitRange and PodSecurity, and by the operator's flags."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.workflows import Runs, task
from tests.support.cluster import LABELS, Cluster, JsonObject, Operator, eventually

pytestmark = pytest.mark.integration

RUN = f"{LABELS}/observatory"
RESOURCES: JsonObject = {"resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "2"}}}
WITHIN = "set the task's resources within the namespace's LimitRange"


def limit_range(kind: str, **limits: JsonObject) -> JsonObject:
    return {"kind": "LimitRange", "spec": {"limits": [{"type": kind, **limits}]}}


def quota(**hard: str) -> JsonObject:
    named = {name.replace("_", "."): value for name, value in hard.items()}
    return {"kind": "ResourceQuota", "spec": {"hard": named}}


REFUSALS = [
    (
        quota(pods="0"),
        "QuotaExceeded",
        "exceeded quota: it",
        "it goes on when others end, or the quota is raised",
    ),
    (
        quota(requests_memory="1Gi"),
        "AdmissionDenied",
        "failed quota: it: must specify requests.memory",
        "set the resources that the quota asks for in the task",
    ),
    (
        limit_range("Container", max={"cpu": "1"}),
        "AdmissionDenied",
        "maximum cpu usage per Container is 1, but limit is 2",
        WITHIN,
    ),
    (
        limit_range("Container", min={"cpu": "100m"}),
        "AdmissionDenied",
        "minimum cpu usage per Container is 100m, but request is 50m",
        WITHIN,
    ),
    (
        limit_range("Pod", max={"cpu": "1"}),
        "AdmissionDenied",
        "maximum cpu usage per Pod is 1, but limit is 2",
        WITHIN,
    ),
    (
        limit_range("Container", maxLimitRequestRatio={"cpu": "4"}),
        "AdmissionDenied",
        "cpu max limit to request ratio per Container is 4",
        WITHIN,
    ),
]


@pytest.mark.parametrize(("made", "reason", "fact", "remedy"), REFUSALS)
def test_what_a_namespace_does_not_take_is_one_line_with_its_remedy_and_goes_on_when_lifted(
    runs: Runs, made: JsonObject, reason: str, fact: str, remedy: str
) -> None:
    metadata = {"name": "it", "namespace": runs.namespace}
    runs.cluster.apply({"apiVersion": "v1", "metadata": metadata, **made})
    if made["kind"] == "ResourceQuota":
        find = ("resourcequota", "it", "-n", runs.namespace)
        eventually(lambda: runs.cluster.get(*find), lambda it: "used" in it.get("status", {}))
    runs.apply("bounded", {**task("a"), **RESOURCES}, task("b", "a"))

    line = eventually(lambda: runs.row_of_get("bounded"), lambda line: reason in line)
    assert f"{reason}: a: " in line
    assert fact in line
    assert remedy in line
    assert line.count("\n") == 0
    (wait,) = [one for one in runs.status("bounded")["waitingFor"] if one["reason"] == reason]
    assert (wait["tasks"], wait["task"]) == (1, "a")
    assert remedy in wait["message"]

    runs.kubectl("delete", made["kind"].lower(), "it")
    assert runs.end("bounded")["phase"] == "Succeeded"


def test_a_restricted_namespace_is_told_in_one_line_and_goes_on_when_it_takes_the_pod(
    runs: Runs,
) -> None:
    label = "pod-security.kubernetes.io/enforce"
    runs.cluster.kubectl("label", "namespace", runs.namespace, f"{label}=restricted")
    runs.apply("bounded", task("a"))

    line = eventually(lambda: runs.row_of_get("bounded"), lambda line: "AdmissionDenied" in line)
    assert 'violates PodSecurity "restricted:latest": runAsNonRoot != true' in line
    # Nothing else of a task's Pod offends: the rest of the profile is kept as it is.
    assert line.count("!= ") == 1
    assert "have the namespace enforce a level such as baseline" in line

    runs.cluster.kubectl("label", "namespace", runs.namespace, f"{label}=baseline", "--overwrite")
    assert runs.end("bounded")["phase"] == "Succeeded"


@contextmanager
def limited(
    cluster: Cluster, namespaces: list[str], folder: Path, *flags: str
) -> Iterator[Operator]:
    """An operator with these flags for these namespaces; it must not crash."""
    spaces = ("--namespace", ",".join(namespaces))
    with cluster.operator(*spaces, *flags, log=folder / "limited.log") as started:
        yield started
    assert not [line for line in started.lines() if line["msg"] == "Reconcile crashed"]


def reasons(runs: Runs, name: str) -> list[str]:
    return sorted(str(row.get("reason", row["phase"])) for row in runs.rows(name).values())


def test_more_tasks_than_a_flag_allows_are_refused_with_the_flag_and_no_pod(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    runs = Runs(cluster, namespace)
    with limited(cluster, [namespace], tmp_path, "--max-tasks-per-run=2"):
        runs.apply("wide", task("a"), task("b"), task("c"))
        line = eventually(lambda: runs.row_of_get("wide"), lambda line: "Too many" in line)
        assert "spec.tasks: Too many: 3: this operator lets a run have at most 2 tasks" in line
        assert "(--max-tasks-per-run) (split the workflow" in line
        valid = next(c for c in runs.status("wide")["conditions"] if c["type"] == "Valid")
        assert (valid["status"], runs.pods()) == ("False", {})
        runs.apply("wide", task("a"), task("b"))
        assert runs.end("wide")["phase"] == "Succeeded"


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("--max-active-pods-per-run", "RunLimit"),
        ("--max-active-pods-per-namespace", "NamespaceLimit"),
        ("--max-active-pods", "ClusterLimit"),
    ],
)
def test_what_is_over_a_limit_says_so_and_goes_on_also_after_a_restart(
    cluster: Cluster, namespace: str, tmp_path: Path, flag: str, reason: str
) -> None:
    runs = Runs(cluster, namespace)
    with limited(cluster, [namespace], tmp_path, f"{flag}=2") as operator:
        runs.apply("wide", *(task(name, hold=True) for name in "abcd"))
        runs.until("wide", a="Running", b="Running", c="Pending", d="Pending")
        line = eventually(lambda: runs.row_of_get("wide"), lambda line: reason in line)
        assert f"{reason}: c and 1 more: this operator lets" in line
        assert f"have 2 active Pods ({flag})" in line
        assert len(runs.pods()) == 2

        operator.kill()
        runs.running("wide", "a")
        runs.let_go("a")
        operator.restart()
        runs.until("wide", a="Succeeded", c="Running", d="Pending")
        assert len(runs.pods()) == 3
        for name in "bcd":
            runs.running("wide", name)
            runs.let_go(name)
        assert runs.end("wide")["phase"] == "Succeeded"


def test_a_small_tenant_gets_the_next_slot_of_a_hog(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    hog = Runs(cluster, namespace)
    with cluster.namespace(f"{namespace}-small") as other:
        small = Runs(cluster, other)
        with limited(cluster, [namespace, other], tmp_path, "--max-active-pods=3"):
            for number in range(10):
                hog.apply(f"r{number}", task("a", hold=True), task("b", "a", hold=True))
            eventually(hog.pods, lambda pods: len(pods) == 3)
            small.apply("one", task("a"), task("b", "a"))
            eventually(lambda: reasons(small, "one"), lambda found: "ClusterLimit" in found)
            # A Pod of the hog ends, and its next task is ready at once; nine others wait as well.
            first = next(iter(hog.pods().values()))["metadata"]["labels"][RUN]
            hog.running(first, "a")
            wish = "kwok.observatory/hold-"
            hog.kubectl("annotate", "pods", "-l", f"{RUN}={first}", wish)
            assert small.end("one")["phase"] == "Succeeded"
            eventually(hog.pods, lambda pods: len(pods) == 4)


def test_a_deleted_run_has_its_finally_in_a_full_cluster_and_frees_its_slots(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    runs = Runs(cluster, namespace)
    with limited(cluster, [namespace], tmp_path, "--max-active-pods=1"):
        runs.apply("first", task("a", hold=True), **{"finally": [task("clean-up")]})
        runs.running("first", "a")
        runs.apply("second", task("a"))
        eventually(lambda: reasons(runs, "second"), lambda found: found == ["ClusterLimit"])
        runs.kubectl("delete", "observatory", "first", "--wait=false")
        eventually(lambda: runs.kubectl("get", "observatory", "-o", "name"),
                   lambda names: "first" not in names)  # fmt: skip
        assert runs.end("second")["phase"] == "Succeeded"
