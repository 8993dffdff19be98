from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from observatory import __version__
from observatory.telemetry.metrics import QUEUE_BUCKETS, RECONCILE_BUCKETS, Metrics

# As in controller-runtime and client-go, whose dashboards have to work.
NAMES = {
    "controller_runtime_reconcile_total": {"controller", "result"},
    "controller_runtime_reconcile_errors_total": {"controller"},
    "controller_runtime_terminal_reconcile_errors_total": {"controller"},
    "controller_runtime_reconcile_panics_total": {"controller"},
    "controller_runtime_reconcile_timeouts_total": {"controller"},
    "controller_runtime_reconcile_time_seconds_count": {"controller"},
    "controller_runtime_max_concurrent_reconciles": {"controller"},
    "controller_runtime_active_workers": {"controller"},
    "workqueue_depth": {"name", "controller", "priority"},
    "workqueue_adds_total": {"name", "controller"},
    "workqueue_retries_total": {"name", "controller"},
    "workqueue_queue_duration_seconds_count": {"name", "controller"},
    "workqueue_work_duration_seconds_count": {"name", "controller"},
    "workqueue_unfinished_work_seconds": {"name", "controller"},
    "workqueue_longest_running_processor_seconds": {"name", "controller"},
    "certwatcher_read_certificate_total": set(),
    "certwatcher_read_certificate_errors_total": set(),
}


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics()
    made.initialise("observatory")
    return made


def samples(metrics: Metrics) -> dict[str, list[tuple[dict[str, str], float]]]:
    page, _ = metrics.exposition("text/plain")
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_series_is_there_from_the_start_with_zero(metrics: Metrics, name: str) -> None:
    series = samples(metrics)[name]
    assert {value for _, value in series} == {0}
    assert all(set(labels) == NAMES[name] for labels, _ in series)


def test_results_are_those_of_controller_runtime(metrics: Metrics) -> None:
    results = {
        labels["result"] for labels, _ in samples(metrics)["controller_runtime_reconcile_total"]
    }
    assert results == {"success", "error", "requeue", "requeue_after"}


def test_buckets_are_those_of_controller_runtime() -> None:
    assert len(RECONCILE_BUCKETS) == 40
    assert list(RECONCILE_BUCKETS) == sorted(RECONCILE_BUCKETS)
    assert (RECONCILE_BUCKETS[0], RECONCILE_BUCKETS[-1]) == (0.005, 60)
    assert QUEUE_BUCKETS == (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1000)


def test_requests_are_counted(metrics: Metrics) -> None:
    metrics.request(method="POST", verb="create", host="h:1", code="201", seconds=0.3)
    found = samples(metrics)
    labels = {"code": "201", "method": "POST", "host": "h:1"}
    assert found["rest_client_requests_total"] == [(labels, 1)]
    buckets = {
        labels["le"]: value
        for labels, value in found["rest_client_request_duration_seconds_bucket"]
    }
    assert (buckets["0.25"], buckets["0.5"]) == (0, 1)


def test_who_leads_is_shown_per_lease(metrics: Metrics) -> None:
    metrics.master_status.labels("lock").set(1)
    assert samples(metrics)["leader_election_master_status"] == [({"name": "lock"}, 1)]


def test_the_process_and_the_build_are_described(metrics: Metrics) -> None:
    found = samples(metrics)
    assert found["process_resident_memory_bytes"][0][1] > 0
    assert "python_gc_collections_total" in found
    assert "python_info" in found
    ((labels, _),) = found["observatory_build_info"]
    assert labels.keys() == {"version", "revision", "python_version"}
    assert labels["version"] == __version__
    assert not [name for name in found if name.endswith("_created")]


def test_two_processes_in_one_do_not_share_metrics() -> None:
    first, second = Metrics(), Metrics()
    first.adds.labels("a", "a").inc()
    assert "workqueue_adds_total" not in samples(second)


def test_the_format_is_the_one_that_the_scraper_accepts(metrics: Metrics) -> None:
    page, content_type = metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")
