"""The metrics of the webhook, with the names of controller-runtime."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

CODES = ("200", "500")
"""Those that controller-runtime shows from the start."""


class WebhookMetrics:
    """They have no series before `initialise`: most operators serve no webhook."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "controller_runtime_webhook_requests_total",
            "Total number of admission requests by HTTP status code",
            ["webhook", "code"],
            registry=registry,
        )
        self._latency = Histogram(
            "controller_runtime_webhook_latency_seconds",
            "Histogram of the latency of processing admission requests",
            ["webhook"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "controller_runtime_webhook_requests_in_flight",
            "Current number of admission requests being served",
            ["webhook"],
            registry=registry,
        )
        self._registered = Gauge(
            "observatory_webhook_registered",
            "Whether the API server was told of the certificate that is served",
            ["webhook"],
            registry=registry,
        )

    def initialise(self, path: str) -> None:
        """Show the series of one webhook with 0."""
        for code in CODES:
            self._requests.labels(path, code)
        self._latency.labels(path)
        self._in_flight.labels(path)

    def registered(self, path: str, *, registered: bool) -> None:
        """Whether the API server can trust what is served."""
        self._registered.labels(path).set(registered)

    def began(self, path: str) -> None:
        """A request has come."""
        self._in_flight.labels(path).inc()

    def ended(self, path: str, status: int, seconds: float) -> None:
        """It was answered; status 0: it was cut, as client-go says it."""
        self._in_flight.labels(path).dec()
        self._requests.labels(path, str(status) if status else "<error>").inc()
        self._latency.labels(path).observe(seconds)
