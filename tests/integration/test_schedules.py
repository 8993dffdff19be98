"""Schedules on a real API server: what it stores, refuses and shows, and what deletion does."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.integration.test_control import observatory as command
from tests.integration.workflows import FINALIZER, Runs, task
from tests.support.cluster import LABELS, Cluster, JsonObject, Operator, eventually, now

pytestmark = pytest.mark.integration

NEVER = {"schedule": "0 0 29 2 *", "timeZone": "Europe/Berlin"}
"""As good as never, within a test."""


def ask(runs: Runs, name: str, what: str, nonce: str, **more: str) -> JsonObject:
    """The answer to a request."""
    annotations = {f"{LABELS}/{what}": nonce}
    annotations |= {f"{LABELS}/{key.replace('_', '-')}": value for key, value in more.items()}
    runs.merge(name, {"metadata": {"annotations": annotations}})
    status = eventually(
        lambda: runs.status(name),
        lambda seen: any(each["nonce"] == nonce for each in seen.get("requests", ())),
    )
    return next(each for each in status["requests"] if each["nonce"] == nonce)


def made(runs: Runs, name: str = "night") -> dict[str, JsonObject]:
    """The runs of a schedule, by name, as `kubectl get -l` finds them."""
    selector = f"{LABELS}/parent={name}"
    arguments = ("observatories", "-n", runs.namespace, "-l", selector)
    return {each["metadata"]["name"]: each for each in runs.cluster.get(*arguments)["items"]}


def ended(runs: Runs, count: int, name: str = "night") -> list[JsonObject]:
    """The history, once it has so many runs and none is on."""
    status = eventually(
        lambda: runs.status(name),
        lambda seen: len(seen.get("runHistory", ())) >= count and not seen.get("activeRuns"),
    )
    history: list[JsonObject] = status["runHistory"]
    return history


def known(runs: Runs, name: str = "night") -> JsonObject:
    """The status, once the schedule is known."""
    return eventually(lambda: runs.status(name), lambda seen: seen.get("nextRunTimes"))


def test_a_run_now_runs_the_tasks_and_is_let_go(runs: Runs) -> None:
    runs.apply("night", task("a"), task("b", "a"), **NEVER)
    assert len(known(runs)["nextRunTimes"]) == 5
    answer = ask(runs, "night", "run-now", "n1")
    assert answer["outcome"] == "Accepted"
    (history,) = ended(runs, 1)
    assert (history["phase"], history["trigger"]) == ("Succeeded", "RunNow")
    (run,) = made(runs).values()
    assert run["status"]["progress"] == "2/2"
    eventually(lambda: made(runs)[history["name"]]["metadata"].get("finalizers"), lambda it: not it)
    table = runs.kubectl("get", "observatory", "night")
    assert f"Last run {history['name']} succeeded" in table
    events = eventually(
        lambda: runs.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}"),
        lambda seen: "RunSucceeded" in seen,
    )
    assert "RunStarted" in events


def test_a_fire_time_is_run_on_time(runs: Runs) -> None:
    runs.apply("night", task("a"), schedule="* * * * *")
    eventually(lambda: runs.status("night"), lambda seen: seen.get("runHistory"), seconds=90)
    (history,) = ended(runs, 1)
    late = datetime.fromisoformat(history["startTime"]) - datetime.fromisoformat(history["time"])
    assert timedelta(0) <= late < timedelta(seconds=20)
    assert history["trigger"] == "Schedule"


def test_a_backfill_is_asked_for_by_command_and_goes_on_after_a_kill(
    runs: Runs, cluster: Cluster, operator: Operator
) -> None:
    runs.apply("night", task("a"), schedule="0 * * * *", successfulRunsHistoryLimit=10)
    known(runs)
    span = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T05:00:00Z")
    name = ("night", "-n", runs.namespace)
    code, said = command(cluster, "backfill", *name, *span, "--max-concurrent", "2")
    assert (code, "2 at a time" in said) == (0, True)
    eventually(lambda: runs.status("night"), lambda seen: seen["backfill"]["created"] >= 2)
    operator.kill()
    operator.restart()
    status = eventually(
        lambda: runs.status("night"), lambda seen: "completionTime" in seen["backfill"]
    )
    assert (status["backfill"]["created"], status["backfill"]["succeeded"]) == (6, 6)
    times = {
        run["metadata"]["annotations"][f"{LABELS}/scheduled-time"] for run in made(runs).values()
    }
    assert times == {f"2026-01-01T0{hour}:00:00Z" for hour in range(6)}
    code, said = command(cluster, "backfill", *name, "--from", "x", "--to", "y")
    assert (code, "backfill-range must be two times" in said) == (1, True)
    code, said = command(cluster, "run-now", *name)
    assert (code, "run 7 begins" in said) == (0, True)


@pytest.mark.parametrize("policy", ["Forbid", "Queue", "Replace"])
def test_a_run_that_is_on_and_another_that_is_asked_for(runs: Runs, policy: str) -> None:
    runs.apply("night", task("a", hold=True), **NEVER, concurrencyPolicy=policy)
    known(runs)
    ask(runs, "night", "run-now", "n1")
    (first,) = eventually(lambda: runs.status("night").get("activeRuns"), bool) or []
    runs.running(first["name"], "a")
    answer = ask(runs, "night", "run-now", "n2")
    if policy == "Forbid":
        assert answer["outcome"] == "Refused"
        runs.let_go("a")
        assert len(ended(runs, 1)) == 1
        return
    assert answer["outcome"] == "Accepted"
    if policy == "Queue":
        assert [each["number"] for each in runs.status("night")["activeRuns"]] == [1]
        runs.let_go("a")
    second = eventually(
        lambda: runs.status("night").get("activeRuns", [{}]),
        lambda active: active[0].get("number") == 2,
    )[0]
    runs.running(second["name"], "a")
    runs.let_go("a")
    history = ended(runs, 2)
    assert [each["phase"] for each in history] == [
        "Failed" if policy == "Replace" else "Succeeded",
        "Succeeded",
    ]
    assert history[1]["startTime"] >= history[0]["completionTime"]


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_deletion_of_a_schedule(runs: Runs, cascade: str) -> None:
    runs.apply("night", task("a", hold=True), **NEVER)
    known(runs)
    ask(runs, "night", "run-now", "n1")
    (run,) = eventually(lambda: made(runs), bool)
    runs.running(run, "a")
    runs.kubectl("delete", "observatory", "night", f"--cascade={cascade}", "--wait=false")
    if cascade != "orphan":
        eventually(lambda: (made(runs), runs.pods()), lambda seen: seen == ({}, {}))
        eventually(
            lambda: runs.kubectl("get", "observatory", "night", check=False),
            lambda said: "NotFound" in said,
        )
        return
    eventually(lambda: made(runs)[run]["metadata"].get("ownerReferences"), lambda it: not it)
    assert made(runs)[run]["metadata"]["finalizers"] == [FINALIZER]
    runs.let_go("a")
    assert runs.end(run)["phase"] == "Succeeded"
    eventually(lambda: made(runs)[run]["metadata"].get("finalizers"), lambda it: not it)


def test_a_run_is_retried_as_its_parent_lets_it(runs: Runs, cluster: Cluster) -> None:
    runs.apply("night", task("a", exit_code=3), **NEVER, concurrencyPolicy="Forbid")
    known(runs)
    ask(runs, "night", "run-now", "n1")
    (first,) = ended(runs, 1)
    assert (first["phase"], first["reason"]) == ("Failed", "TaskFailed")
    code, said = command(cluster, "retry", first["name"], "-n", runs.namespace)
    assert (code, "run 2" in said) == (0, True)
    history = ended(runs, 2)
    assert [each["number"] for each in history] == [1, 1]
    assert runs.status(first["name"])["run"] == 2


def test_what_the_api_server_refuses_of_a_schedule(cluster: Cluster, namespace: str) -> None:
    runs = Runs(cluster, namespace)
    for spec in (
        {"concurrencyPolicy": "Deny"},
        {"startingDeadlineSeconds": 1},
        {"catchUp": {"policy": "Some"}},
        {"schedules": [{"name": "a", "schedule": "@daily"}] * 2},
        {"blackouts": [{"name": "x", "dates": ["25.12."]}]},
        {"jitterSeconds": -1},
    ):
        with pytest.raises(AssertionError, match=r"[Ii]nvalid|[Dd]uplicate|Unsupported"):
            runs.apply("night", task("a"), **{"schedule": "@daily", **spec})


def test_a_bad_time_zone_is_told_and_mended(runs: Runs) -> None:
    runs.apply("night", task("a"), schedule="@daily", timeZone="Europe/Bärlin")
    status = eventually(lambda: runs.status("night"), lambda seen: seen.get("message"))
    assert 'did you mean "Europe/Berlin"?' in status["message"]
    runs.merge("night", {"spec": {"timeZone": "Europe/Berlin"}})
    times = known(runs)["nextRunTimes"]
    assert datetime.fromisoformat(times[0]) - now() < timedelta(days=1, hours=1)
