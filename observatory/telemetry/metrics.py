"""Metrics, with the names, labels and buckets of controller-runtime and client-go.

So the dashboards and alerts that people have for other operators work for this one too. Every
series of a known label set is there from the start with 0, so that rates are right from the start.
"""

from __future__ import annotations

import os

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from observatory.core.stuck import INVARIANTS
from observatory.telemetry.build import build
from observatory.telemetry.workflowmetrics import WorkflowMetrics

# controller-runtime's buckets of reconcile times.
RECONCILE_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8),
    *(0.9, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50),
    60,
)
# prometheus.ExponentialBuckets(10e-9, 10, 12) of its work queue.
QUEUE_BUCKETS = tuple(float(f"1e{exponent}") for exponent in range(-8, 4))
# client-go's buckets of requests.
REQUEST_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)

RESULTS = ("success", "error", "requeue", "requeue_after")


class Metrics:
    """All metrics of one process, in a registry of their own; the attributes are their names."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=True)
        self._add_reconcile()
        self._add_workqueue()
        self._add_rest()
        self._add_process()
        self._add_invariants()
        self._add_watches()
        self._add_telemetry()
        self.workflows = WorkflowMetrics(self.registry)

    def _add_invariants(self) -> None:
        self.invariant_violations = self._counter(
            "observatory_invariant_violations_total",
            "What should have moved by itself and did not, as the sweeper found it",
            ["invariant"],
        )
        for invariant in INVARIANTS:
            self.invariant_violations.labels(invariant)

    def _add_watches(self) -> None:
        self.watch_failures = self._counter(
            "observatory_watch_failures_total",
            "Lists and watches that failed or fell silent, by the HTTP status of the answer",
            ["resource", "code"],
        )

    def _add_telemetry(self) -> None:
        self.events_dropped = self._gauge(
            "observatory_events_dropped", "Events that were lost since the start", []
        )
        self.export_failures = self._counter(
            "observatory_otel_export_failures_total",
            "Batches that the OpenTelemetry collector did not take",
            ["signal"],
        )
        for signal in ("traces", "metrics"):
            self.export_failures.labels(signal)

    def _add_reconcile(self) -> None:
        one, result = ["controller"], ["controller", "result"]
        prefix = "controller_runtime"
        self.reconcile_total = self._counter(
            f"{prefix}_reconcile_total", "Total number of reconciliations per controller", result
        )
        self.reconcile_errors = self._counter(
            f"{prefix}_reconcile_errors_total",
            "Total number of reconciliation errors per controller",
            one,
        )
        self.terminal_reconcile_errors = self._counter(
            f"{prefix}_terminal_reconcile_errors_total",
            "Total number of terminal reconciliation errors per controller",
            one,
        )
        self.reconcile_panics = self._counter(
            f"{prefix}_reconcile_panics_total",
            "Total number of unexpected exceptions in reconciliations per controller",
            one,
        )
        self.reconcile_timeouts = self._counter(
            f"{prefix}_reconcile_timeouts_total",
            "Total number of reconciliation timeouts per controller",
            one,
        )
        self.reconcile_time = self._histogram(
            f"{prefix}_reconcile_time_seconds",
            "Length of time per reconciliation per controller",
            one,
            RECONCILE_BUCKETS,
        )
        self.max_concurrent_reconciles = self._gauge(
            f"{prefix}_max_concurrent_reconciles",
            "Maximum number of concurrent reconciles per controller",
            one,
        )
        self.active_workers = self._gauge(
            f"{prefix}_active_workers", "Number of currently used workers per controller", one
        )

    def _add_workqueue(self) -> None:
        labels = ["name", "controller"]
        self.depth = self._gauge(
            "workqueue_depth",
            "Current depth of workqueue by workqueue and priority",
            [*labels, "priority"],
        )
        self.adds = self._counter(
            "workqueue_adds_total", "Total number of adds handled by workqueue", labels
        )
        self.retries = self._counter(
            "workqueue_retries_total", "Total number of retries handled by workqueue", labels
        )
        self.queue_duration = self._histogram(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested",
            labels,
            QUEUE_BUCKETS,
        )
        self.work_duration = self._histogram(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes",
            labels,
            QUEUE_BUCKETS,
        )
        self.unfinished_work = self._gauge(
            "workqueue_unfinished_work_seconds",
            "How many seconds of work has been done that is in progress and not observed yet",
            labels,
        )
        self.longest_running_processor = self._gauge(
            "workqueue_longest_running_processor_seconds",
            "How many seconds has the longest running processor for workqueue been running",
            labels,
        )

    def _add_rest(self) -> None:
        self.requests = self._counter(
            "rest_client_requests_total",
            "Number of HTTP requests, partitioned by status code, method, and host",
            ["code", "method", "host"],
        )
        self.request_duration = self._histogram(
            "rest_client_request_duration_seconds",
            "Request latency in seconds, until the answer begins, by verb and host",
            ["verb", "host"],
            REQUEST_BUCKETS,
        )
        self.master_status = self._gauge(
            "leader_election_master_status",
            "Gauge of if the reporting system is master of the relevant lease",
            ["name"],
        )
        self.certificate_reads = self._counter(
            "certwatcher_read_certificate_total", "Total number of certificate reads", []
        )
        self.certificate_read_errors = self._counter(
            "certwatcher_read_certificate_errors_total",
            "Total number of certificate read errors",
            [],
        )

    def _add_process(self) -> None:
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        Info("observatory_build", "What runs here", registry=self.registry).info(build(os.environ))

    def initialise(self, controller: str) -> None:
        """Show the series of one controller, whose queue has its name, with 0."""
        for result in RESULTS:
            self.reconcile_total.labels(controller, result)
        for metric in (
            *(self.reconcile_errors, self.terminal_reconcile_errors, self.reconcile_panics),
            *(self.reconcile_timeouts, self.reconcile_time),
            *(self.max_concurrent_reconciles, self.active_workers),
        ):
            metric.labels(controller)
        for queued in (
            *(self.adds, self.retries, self.queue_duration, self.work_duration),
            *(self.unfinished_work, self.longest_running_processor),
        ):
            queued.labels(controller, controller)
        self.depth.labels(controller, controller, "0")

    def request(self, *, method: str, verb: str, host: str, code: str, seconds: float) -> None:
        """Count one request to an API server."""
        self.requests.labels(code, method, host).inc()
        self.request_duration.labels(verb, host).observe(seconds)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The page for a scraper that accepts this, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: list[str]) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, labels: list[str], buckets: tuple[float, ...]
    ) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)
