"""Gauges are worked out from the caches, and only where the operator leads."""

from __future__ import annotations

from datetime import UTC, datetime

from observatory.api.types import JsonObject
from observatory.runtime.cache import Cache
from observatory.runtime.statemetrics import StateCollector
from observatory.telemetry.workflowmetrics import MOST_WORKFLOWS
from tests.runtime.world import World, observatory, task

Series = dict[tuple[str, ...], float]
NIGHT = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def gauges(cache: Cache, *, leads: bool = True) -> dict[str, Series]:
    collected = StateCollector(cache, lambda: leads).collect()
    return {
        family.name.removeprefix("observatory_"): {
            tuple(sample.labels.values()): sample.value for sample in family.samples
        }
        for family in collected
    }


def cache_of(*objects: JsonObject) -> Cache:
    cache = Cache([])
    for number, obj in enumerate(objects):
        stamp = {"uid": f"u{number}", "resourceVersion": "1", "generation": 1}
        obj["metadata"] |= {"creationTimestamp": "2026-01-01T00:00:00Z", **stamp}
    cache.scope("default").observatories.replace(list(objects), 1)
    cache.scope("default").pods.replace([], 1)
    return cache


def test_runs_by_phase_and_pods_by_state() -> None:
    world = World()
    world.exit_codes = {"b": None}
    world.apply(observatory("done", task("a")))
    world.apply(observatory("on", task("b")))
    world.run("done")
    world.run("on")
    world.controller.sync()
    found = gauges(world.controller.cache)
    assert found["runs"] == {
        ("default", "Pending"): 0,
        ("default", "Running"): 1,
        ("default", "Succeeded"): 1,
        ("default", "Failed"): 0,
    }
    assert found["pods"] == {("gated",): 0, ("waiting",): 0, ("running",): 1, ("ended",): 1}
    assert found["informer_objects"] == {("observatories",): 2, ("pods",): 2}
    assert found["informer_synced"] == {("observatories",): 1, ("pods",): 1}


def test_a_standby_tells_of_its_caches_and_of_nothing_else() -> None:
    found = gauges(cache_of(observatory("x", task("a"))), leads=False)
    assert set(found) == {"informer_synced", "informer_objects", "operator_leading"}
    assert found["operator_leading"] == {(): 0}


def scheduled(**status: object) -> JsonObject:
    made = observatory(
        "nightly",
        task("a"),
        schedule="0 3 * * *",
        alerts={"severity": "Critical", "notSucceededForSeconds": 90_000, "runningForSeconds": 600},
    )
    return {**made, "status": status}


def test_a_schedule_tells_its_times_its_runs_and_what_is_worth_an_alert() -> None:
    ended = {"phase": "Failed"}
    found = gauges(
        cache_of(
            scheduled(
                nextRunTimes=["2026-01-02T03:00:00Z", "2026-01-03T03:00:00Z"],
                lastRunTime="2026-01-01T03:00:00Z",
                lastSuccessTime="2025-12-31T03:10:00Z",
                consecutiveFailures=2,
                activeRuns=[
                    {"startTime": "2026-01-01T03:00:00Z"},
                    {"startTime": "2026-01-01T02:00:00Z"},
                ],
                runHistory=[{"phase": "Succeeded"}, ended],
            )
        )
    )
    of = ("default", "nightly")
    assert found["workflow_alert_info"] == {(*of, "critical"): 1}
    assert found["workflow_last_run_failed"] == {of: 1}
    assert found["workflow_alert_not_succeeded_seconds"] == {of: 90_000}
    assert found["workflow_alert_running_seconds"] == {of: 600}
    assert found["workflow_running_since_timestamp_seconds"] == {of: NIGHT + 2 * 3600}
    assert found["workflow_last_success_timestamp_seconds"] == {of: NIGHT - 75_000}
    assert found["schedule_next_run_timestamp_seconds"] == {of: NIGHT + 27 * 3600}
    assert found["schedule_active_runs"] == {of: 2}
    assert found["schedule_consecutive_failures"] == {of: 2}
    assert found["schedule_suspended"] == {of: 0}
    assert found["runs"] == {}, "it is none itself"


def test_a_workflow_that_never_succeeded_counts_from_when_it_was_made() -> None:
    found = gauges(cache_of(scheduled()))
    assert found["workflow_last_success_timestamp_seconds"] == {("default", "nightly"): NIGHT}


def test_who_wants_no_alerts_gets_none_and_who_says_nothing_gets_warnings() -> None:
    silent = observatory("silent", task("a"), schedule="@daily", alerts={"severity": "None"})
    plain = observatory("plain", task("a"), schedule="@daily")
    found = gauges(cache_of(silent, plain))
    assert found["workflow_alert_info"] == {("default", "plain", "warning"): 1}


def test_observatories_that_run_once_have_no_series_of_their_own() -> None:
    """So ten thousand runs are as many series as one."""
    once = gauges(cache_of(observatory("once-0", task("a"))))
    many = gauges(cache_of(*(observatory(f"once-{n}", task("a")) for n in range(10_000))))
    assert sum(map(len, many.values())) == sum(map(len, once.values()))
    assert many["runs"]["default", "Pending"] == 10_000


def test_no_more_workflows_have_series_than_there_is_room_for() -> None:
    objects = [
        observatory(f"w{n:04}", task("a"), schedule="@daily") for n in range(MOST_WORKFLOWS + 7)
    ]
    found = gauges(cache_of(*objects))
    assert found["workflows_without_series"] == {(): 7}
    assert len(found["workflow_alert_info"]) == MOST_WORKFLOWS


def test_whatever_is_in_a_spec_or_a_status_the_page_is_there() -> None:
    wrong = observatory("wrong", task("a"), schedule=7, alerts="yes")
    wrong["status"] = {"nextRunTimes": "x", "runHistory": [3], "activeRuns": [None], "phase": []}
    broken = {**observatory("broken"), "spec": "none", "status": {"lastSuccessTime": "never"}}
    assert gauges(cache_of(wrong, broken))["runs"]["default", "Pending"] == 1
