"""The life of an Observatory on a real control plane: how runs go, are changed, and are ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.account import WRITES, Account
from tests.integration.workflows import (
    FINALIZER,
    GATE,
    OTHER_GATE,
    Runs,
    condition,
    last_line,
    observatory,
    task,
)
from tests.support.cluster import LABELS, Cluster, JsonObject, Operator, eventually, now, stamp

pytestmark = pytest.mark.integration

SHAPES: dict[str, dict[str, tuple[str, ...]]] = {
    "chain": {"a": (), "b": ("a",), "c": ("b",)},
    "diamond": {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")},
    "fan-out": {"a": ()} | {f"b{n}": ("a",) for n in range(20)},
    "islands": {"a": (), "b": (), "c": ("b",)},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_run_succeeds_in_the_order_of_its_dependencies(runs: Runs, shape: str) -> None:
    tasks = SHAPES[shape]
    runs.apply(shape, *(task(name, *needs) for name, needs in tasks.items()))

    status = runs.end(shape)

    assert (status["phase"], status["progress"]) == ("Succeeded", f"{len(tasks)}/{len(tasks)}")
    assert [condition(status, name) for name in ("Valid", "Succeeded", "Failed", "Complete")] == [
        "True", "True", "False", "True",
    ]  # fmt: skip
    pods = eventually(lambda: runs.pods(shape), lambda _: not runs.tracked())
    by_task = {pod["metadata"]["labels"][f"{LABELS}/task"]: pod for pod in pods.values()}
    assert (len(pods), set(by_task)) == (len(tasks), set(tasks))
    for name, needs in tasks.items():
        begun = by_task[name]["status"]["startTime"]
        assert all(ended(by_task[need]) <= begun for need in needs)


def test_a_run_costs_few_writes_and_none_once_it_has_ended(
    cluster: Cluster, namespace: str, account: Account, tmp_path: Path
) -> None:
    runs, begun, log = Runs(cluster, namespace), now(), tmp_path / "log"
    flags = ("--namespace", namespace)
    with cluster.operator(*flags, log=log, kubeconfig=str(account.kubeconfig)) as operator:
        runs.apply("thrifty", task("a"), task("b", "a"), task("c", "b"))
        runs.end("thrifty")
        eventually(runs.tracked, lambda tracked: not tracked)
        quiet = now()
        assert operator.stop() == 0
        operator.restart()
        runs.apply("other", task("a"))
        runs.end("other")
        runs.merge("thrifty", {"metadata": {"labels": {"touched": "yes"}}})
        runs.merge("other", {"spec": {"suspend": True}})
        eventually(lambda: runs.status("other"), lambda status: status["observedGeneration"] == 2)
    writes = [
        each
        for each in cluster.audited(account.user, begun)
        if each["verb"] in WRITES
        and each["objectRef"]["resource"] != "events"
        and each["objectRef"]["name"].startswith("thrifty")
    ]
    assert len(writes) <= 4 * 3 + 5
    assert [each for each in writes if each["requestReceivedTimestamp"] > stamp(quiet)] == []


def ended(pod: JsonObject) -> str:
    [state] = pod["status"]["containerStatuses"]
    finished: str = state["state"]["terminated"]["finishedAt"]
    return finished


def test_a_failure_stops_its_dependents_and_no_others(runs: Runs) -> None:
    runs.apply(
        "failing",
        task("a"),
        task("b", "a", exit_code=3, message="no such table"),
        task("c", "a", duration="2s"),
        task("d", "b", "c"),
        task("e", "d"),
        task("f", "c"),
    )

    status = runs.end("failing")

    assert (status["phase"], status["progress"]) == ("Failed", "3/6")
    rows = {row["name"]: row for row in status["tasks"]}
    assert {name: row["phase"] for name, row in rows.items()} == {
        "a": "Succeeded", "b": "Failed", "c": "Succeeded",
        "d": "Skipped", "e": "Skipped", "f": "Succeeded",
    }  # fmt: skip
    assert rows["e"]["message"] == 'Task "d", which it depends on, was skipped'
    failure = status["failure"]
    assert failure["podName"] == rows["b"]["podName"]
    assert failure["nodeName"] == "kwok-0"
    digest = [failure[field] for field in ("task", "attempt", "exitCode", "reason", "message")]
    assert digest == ["b", 1, 3, "Error", "no such table"]
    shown = 'Task "b" failed: Error (exit code 3): no such table'
    assert runs.row_of_get("failing").endswith(shown)
    assert condition(status, "Failed") == condition(status, "Complete") == "True"
    assert eventually(lambda: runs.events("RunFailed"), bool)[0]["type"] == "Warning"
    names = {pod["metadata"]["labels"][f"{LABELS}/task"] for pod in runs.pods().values()}
    assert names == {"a", "b", "c", "f"}


def test_suspend_lets_what_runs_end_and_starts_nothing(runs: Runs) -> None:
    runs.apply("suspended", task("a", hold=True), task("b", "a"))
    runs.running("suspended", "a")
    runs.merge("suspended", {"spec": {"suspend": True}})

    runs.let_go("a")
    rows = runs.until("suspended", a="Succeeded", b="Pending")
    assert rows["b"]["reason"] == "Suspended"
    assert len(runs.pods()) == 1
    assert runs.row_of_get("suspended").endswith("Suspended: b")

    runs.merge("suspended", {"spec": {"suspend": False}})
    status = runs.end("suspended")
    assert (status["phase"], status["run"]) == ("Succeeded", 1)


def test_what_is_suspended_from_the_start_has_no_run(runs: Runs) -> None:
    runs.apply("later", task("a"), suspend=True)
    row = eventually(lambda: runs.row_of_get("later"), lambda seen: "Pending" in seen)
    assert row.endswith("Suspended: set spec.suspend to false to start")
    runs.merge("later", {"spec": {"suspend": None}})
    assert runs.end("later")["phase"] == "Succeeded"


def test_max_concurrent_is_obeyed_when_it_changes(runs: Runs) -> None:
    names = [f"t{number}" for number in range(7)]
    runs.apply("limited", *(task(name, hold=True) for name in names), maxConcurrent=3)

    def running(count: int) -> list[str]:
        def look() -> list[str]:
            return [name for name, phase in runs.phases("limited").items() if phase == "Running"]

        return eventually(look, lambda seen: len(seen) == count)

    first = running(3)
    eventually(lambda: len(runs.pods()), lambda count: count == 3)
    runs.merge("limited", {"spec": {"maxConcurrent": 1}})
    runs.let_go(*first[:2])
    [kept] = running(1)
    assert kept == first[2]
    assert len(runs.pods()) == 3, "one more was started although one ran already"

    runs.merge("limited", {"spec": {"maxConcurrent": 3}})
    now = running(3)
    assert len(runs.pods()) == 5
    runs.merge("limited", {"spec": {"maxConcurrent": None}})
    assert len(running(5)) == 5 > len(now)
    runs.let_go(*names)
    assert runs.end("limited")["phase"] == "Succeeded"


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_deletion_in_mid_run_takes_the_pods_along(runs: Runs, cascade: str) -> None:
    runs.apply("doomed", task("a", hold=True), task("b", gate=True), task("c", "a"))
    runs.running("doomed", "a")
    runs.pod("doomed", "b")

    runs.kubectl("delete", "observatory", "doomed", f"--cascade={cascade}", "--timeout=30s")

    assert eventually(runs.pods, lambda pods: not pods) == {}


def test_deletion_that_orphans_lets_the_pods_run_on(runs: Runs) -> None:
    runs.apply("parent", task("a", hold=True), task("b", "a"))
    before = runs.running("parent", "a")

    runs.kubectl("delete", "observatory", "parent", "--cascade=orphan", "--timeout=30s")

    after = runs.running("parent", "a")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert "ownerReferences" not in after["metadata"]
    assert "deletionTimestamp" not in after["metadata"]
    runs.let_go("a")
    eventually(runs.tracked, lambda tracked: not tracked)
    ended_pod = runs.pod("parent", "a")
    assert ended_pod["status"]["phase"] == "Succeeded"


@pytest.mark.parametrize("force", [False, True], ids=["gracefully", "by force"])
def test_a_running_pod_that_is_deleted_by_hand_has_failed(runs: Runs, *, force: bool) -> None:
    runs.apply("robbed", task("a", hold=True), task("b", "a"), task("c"))
    name = runs.running("robbed", "a")["metadata"]["name"]

    flags = ["--grace-period=0", "--force"] if force else []
    runs.kubectl("delete", "pod", name, "--wait=false", *flags)

    status = runs.end("robbed")
    rows = {row["name"]: row for row in status["tasks"]}
    assert (rows["a"]["phase"], rows["a"]["attempt"]) == ("Failed", 1)
    assert rows["a"]["exitCode"] == 137
    assert (rows["b"]["phase"], rows["c"]["phase"]) == ("Skipped", "Succeeded")
    eventually(runs.pods, lambda pods: name not in pods)


def test_a_pending_pod_that_is_deleted_by_hand_has_failed(runs: Runs) -> None:
    runs.apply("robbed", task("a", gate=True), task("b", "a"))
    runs.until("robbed", a="Running")
    name = runs.pod("robbed", "a")["metadata"]["name"]

    runs.kubectl("delete", "pod", name, "--wait=false")

    status = runs.end("robbed")
    assert status["failure"]["reason"] == "PodDeleted"
    assert runs.phases("robbed") == {"a": "Failed", "b": "Skipped"}
    eventually(runs.pods, lambda pods: not pods)


def test_a_foreign_gate_is_left_alone(runs: Runs) -> None:
    runs.apply("queued", task("a", gate=True))
    runs.until("queued", a="Running")
    pod = eventually(
        lambda: runs.pod("queued", "a"), lambda pod: len(pod["spec"]["schedulingGates"]) == 1
    )
    assert pod["spec"]["schedulingGates"] == [{"name": OTHER_GATE}]
    row = eventually(lambda: runs.row_of_get("queued"), lambda row: "SchedulingGated" in row)
    assert "Running" in row
    runs.ungate(pod["metadata"]["name"])
    assert runs.end("queued")["phase"] == "Succeeded"


def test_a_gated_pod_that_is_deleted_by_hand_is_made_anew(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    runs = Runs(cluster, namespace)
    with cluster.denied(namespace, "observatories/status", "UPDATE"):
        runs.apply("kept-gated", task("a"), task("b", "a"))
        first = runs.pod("kept-gated", "a")["metadata"]
        operator.kill()
        assert {"name": GATE} in runs.pod("kept-gated", "a")["spec"]["schedulingGates"]
        runs.kubectl("delete", "pod", first["name"], "--wait=false")
    assert runs.tracked() == [first["name"]]

    operator.restart()

    assert runs.end("kept-gated")["phase"] == "Succeeded"
    second = runs.pod("kept-gated", "a")["metadata"]
    assert (second["name"], second["uid"] == first["uid"]) == (first["name"], False)
    assert runs.rows("kept-gated")["a"]["attempt"] == 1


def test_what_an_operator_left_gated_is_adopted_by_the_next(
    cluster: Cluster, namespace: str, operator: Operator
) -> None:
    runs = Runs(cluster, namespace)
    with cluster.denied(namespace, "observatories/status", "UPDATE"):
        runs.apply("adopted", task("a"))
        first = runs.pod("adopted", "a")["metadata"]
        operator.kill()
    operator.restart()

    status = runs.end("adopted")

    assert (status["phase"], status["tasks"][0]["podUID"]) == ("Succeeded", first["uid"])


def test_a_pod_that_vanishes_is_lost_and_never_made_again(runs: Runs) -> None:
    runs.apply("bereft", task("a", hold=True), task("b", "a"), task("c"))
    name = runs.running("bereft", "a")["metadata"]["name"]

    remove = '{"metadata": {"finalizers": null}}'
    runs.kubectl("patch", "pod", name, "--type=merge", "-p", remove)
    runs.kubectl("delete", "pod", name, "--grace-period=0", "--force")

    status = runs.end("bereft")
    rows = {row["name"]: row for row in status["tasks"]}
    assert (rows["a"]["phase"], rows["a"]["reason"]) == ("Failed", "PodLost")
    assert (rows["b"]["phase"], rows["c"]["phase"]) == ("Skipped", "Succeeded")
    assert name not in runs.pods()


def test_a_pod_without_its_label_is_found_again(runs: Runs) -> None:
    runs.apply("unlabelled", task("a", hold=True), task("b", "a"))
    name = runs.running("unlabelled", "a")["metadata"]["name"]

    runs.kubectl("label", "pod", name, f"{LABELS}/observatory-")
    eventually(lambda: runs.pods("unlabelled"), lambda pods: name in pods)
    runs.let_go("a")

    assert runs.end("unlabelled")["phase"] == "Succeeded"


def test_the_same_name_at_once_is_another_run(runs: Runs) -> None:
    runs.apply("phoenix", task("a", hold=True))
    first = runs.running("phoenix", "a")["metadata"]

    runs.kubectl("delete", "observatory", "phoenix", "--wait=false")
    eventually(
        lambda: runs.kubectl("get", "observatory", "phoenix", check=False),
        lambda said: "NotFound" in said,
        pause=0.01,
    )
    runs.apply("phoenix", task("a"))

    status = runs.end("phoenix")
    assert (status["phase"], status["run"]) == ("Succeeded", 1)
    assert status["tasks"][0]["podUID"] != first["uid"]
    pods = eventually(runs.pods, lambda pods: first["name"] not in pods)
    assert list(pods) == [status["tasks"][0]["podName"]]


def test_an_edit_in_mid_run_is_the_next_run(runs: Runs) -> None:
    runs.apply("edited", task("a", hold=True), task("b", "a"))
    runs.running("edited", "a")
    runs.apply("edited", task("x", hold=True), task("y", "x"))

    runs.let_go("a")
    runs.running("edited", "x")
    status = runs.status("edited")
    assert (status["run"], [row["name"] for row in status["tasks"]]) == (2, ["x", "y"])
    told = eventually(lambda: runs.events("RunSucceeded"), bool)
    assert "Run 1 succeeded: 2/2 tasks" in told[0]["note"]
    runs.let_go("x")

    assert runs.end("edited", run=2)["phase"] == "Succeeded"
    runs_of_pods = {
        pod["metadata"]["labels"][f"{LABELS}/task"]: pod["metadata"]["labels"][f"{LABELS}/run"]
        for pod in runs.pods().values()
    }
    assert runs_of_pods == {"a": "1", "b": "1", "x": "2", "y": "2"}


def test_an_edit_after_the_end_runs_again_and_so_does_its_reversal(runs: Runs) -> None:
    runs.apply("again", task("a"))
    first = runs.end("again")
    runs.apply("again", task("a", exit_code=1))
    second = runs.end("again", run=2)
    runs.apply("again", task("a"))
    third = runs.end("again", run=3)

    assert [run["phase"] for run in (first, second, third)] == ["Succeeded", "Failed", "Succeeded"]
    assert first["revision"] == third["revision"] != second["revision"]
    assert "failure" not in third
    revisions = runs.cluster.get("controllerrevisions", "-n", runs.namespace)["items"]
    numbers = {item["metadata"]["name"]: item["revision"] for item in revisions}
    assert numbers == {first["revision"]: 3, second["revision"]: 2}
    assert eventually(runs.tracked, lambda tracked: not tracked) == []


def test_an_edit_of_how_a_run_is_driven_starts_none(runs: Runs) -> None:
    runs.apply("driven", task("a"))
    runs.end("driven")
    runs.merge("driven", {"spec": {"maxConcurrent": 5}})
    status = eventually(
        lambda: runs.status("driven"), lambda status: status["observedGeneration"] == 2
    )
    assert (status["run"], status["phase"]) == (1, "Succeeded")


def test_a_namespace_that_is_deleted_in_mid_run_ends_in_seconds(
    runs: Runs, operator: Operator
) -> None:
    runs.apply("inside", task("a", hold=True), task("b", gate=True), task("c", "a"))
    runs.running("inside", "a")
    runs.pod("inside", "b")

    runs.cluster.kubectl("delete", "namespace", runs.namespace, "--timeout=30s")

    assert operator.process.poll() is None


def test_a_lost_revision_of_an_edited_run_is_a_failure_that_is_told(
    runs: Runs, operator: Operator
) -> None:
    runs.apply("unpinned", task("a", hold=True), task("b", "a"))
    runs.running("unpinned", "a")
    revision = runs.status("unpinned")["revision"]
    runs.apply("unpinned", task("x"), suspend=True)
    operator.kill()
    runs.kubectl("delete", "controllerrevision", revision)
    operator.restart()
    runs.until("unpinned", a="Running", b="Failed")
    runs.let_go("a")

    status = runs.end("unpinned")
    rows = {row["name"]: row for row in status["tasks"]}
    assert (rows["a"]["phase"], rows["b"]["reason"]) == ("Succeeded", "RevisionLost")
    assert revision in status["message"]
    runs.merge("unpinned", {"spec": {"suspend": False}})
    assert runs.end("unpinned", run=2)["phase"] == "Succeeded"


def test_a_lost_revision_of_an_unedited_run_does_no_harm(runs: Runs, operator: Operator) -> None:
    runs.apply("pinned", task("a", hold=True), task("b", "a"))
    runs.running("pinned", "a")
    runs.kubectl("delete", "controllerrevision", runs.status("pinned")["revision"])
    operator.kill()
    operator.restart()
    runs.let_go("a")
    assert runs.end("pinned")["phase"] == "Succeeded"


INVALID = {
    "a cycle": (
        {"tasks": [task("a", "b"), task("b", "a")]},
        'spec.tasks: Invalid value: "a -> b -> a"',
    ),
    "an unknown dependency": (
        {"tasks": [task("build"), task("b", "bild")]},
        'spec.tasks[1].dependencies[0]: Not found: "bild" (did you mean "build"?)',
    ),
    "itself": (
        {"tasks": [task("a", "a")]},
        'spec.tasks[0].dependencies[0]: Invalid value: "a"',
    ),
    "one name twice": (
        {"tasks": [task("a"), task("a")]},
        'spec.tasks[1].name: Duplicate value: "a"',
    ),
    "a bad cron expression": (
        {"tasks": [task("a")], "schedule": "61 * * * *"},
        'spec.schedule: Invalid value: "61 * * * *"',
    ),
}


@pytest.mark.parametrize("mistake", INVALID)
def test_what_is_invalid_says_why_and_runs_once_it_is_mended(runs: Runs, mistake: str) -> None:
    spec, text = INVALID[mistake]
    made = observatory(runs.namespace, "mistaken")
    runs.cluster.apply({**made, "spec": spec})

    status = eventually(lambda: runs.status("mistaken"), lambda status: "conditions" in status)
    assert (status["phase"], condition(status, "Valid")) == ("Pending", "False")
    [valid] = [each for each in status["conditions"] if each["type"] == "Valid"]
    assert valid["message"].startswith(text)
    assert text in last_line(runs.kubectl("get", "observatory", "mistaken"))
    assert text in eventually(lambda: runs.events("Invalid"), bool)[0]["note"]
    assert "Warning Invalid" in " ".join(runs.kubectl("describe", "obsy", "mistaken").split())
    assert runs.pods() == {}

    runs.cluster.apply({**made, "spec": {"tasks": [task("a"), task("b", "a")]}})
    status = runs.end("mistaken")
    assert (status["phase"], condition(status, "Valid")) == ("Succeeded", "True")


def test_what_becomes_invalid_in_mid_run_ends_as_it_was(runs: Runs) -> None:
    runs.apply("spoilt", task("a", hold=True), task("b", "a"))
    runs.running("spoilt", "a")
    runs.apply("spoilt", task("a", "b"), task("b", "a"))
    eventually(lambda: runs.status("spoilt"), lambda seen: condition(seen, "Valid") == "False")
    runs.let_go("a")

    status = runs.end("spoilt")
    assert (status["phase"], status["run"]) == ("Succeeded", 1)
    assert 'Edited spec is invalid: spec.tasks: Invalid value: "a -> b -> a"' in status["message"]


def test_the_finalizer_of_the_operator_is_the_only_one_it_removes(runs: Runs) -> None:
    runs.apply("shared", task("a", hold=True))
    name = runs.running("shared", "a")["metadata"]["name"]
    both = f'{{"metadata": {{"finalizers": ["example.com/mine", "{FINALIZER}"]}}}}'
    runs.kubectl("patch", "pod", name, "--type=merge", "-p", both)
    runs.let_go("a")
    runs.end("shared")
    eventually(runs.tracked, lambda tracked: not tracked)
    assert runs.pod("shared", "a")["metadata"]["finalizers"] == ["example.com/mine"]
    runs.kubectl("patch", "pod", name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
