"""The metrics of `/metrics` over OTLP: the same registry, pushed instead of scraped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from observatory import __version__
from observatory.telemetry.otlp import exporter_of, resource

_CONVENTIONS = {
    "observatory_run_duration_seconds": ("cicd.pipeline.run.duration", "s"),
}
"""Where OpenTelemetry has a name for what we measure, it has that name."""
_ATTRIBUTES = {
    "cicd.pipeline.run.duration": {
        "namespace": "k8s.namespace.name",
        "workflow": "cicd.pipeline.name",
        "result": "cicd.pipeline.result",
    }
}
_CUMULATIVE = export.AggregationTemporality.CUMULATIVE


class MetricsSender:
    """Pushes a registry to the collector."""

    def __init__(self, registry: CollectorRegistry, protocol: str, started: float) -> None:
        """`started` is when counting began, in seconds since the epoch."""
        self._registry = registry
        self._exporter = exporter_of(protocol, "metric_exporter", "OTLPMetricExporter")
        self._resource = resource()
        self._started = int(started * 1e9)

    def collect(self, now: float) -> export.MetricsData:
        """What the registry says now, in the SDK's words."""
        return metrics_data(self._registry.collect(), self._resource, self._started, int(now * 1e9))

    def send(self, data: export.MetricsData) -> bool:
        """Send it, and say whether the collector has it. It blocks, for some seconds at most."""
        return bool(self._exporter.export(data) is export.MetricExportResult.SUCCESS)

    def close(self) -> None:
        """End what is being sent."""
        self._exporter.shutdown()


def metrics_data(
    families: Iterable[Metric],
    whose: Any,  # noqa: ANN401 -- the SDK's Resource
    started: int,
    now: int,
) -> export.MetricsData:
    """Prometheus' families as the SDK's metrics; times in nanoseconds since the epoch."""
    metrics = [made for family in families if (made := _metric(family, started, now))]
    scope = export.ScopeMetrics(InstrumentationScope("observatory", __version__), metrics, "")
    return export.MetricsData([export.ResourceMetrics(whose, [scope], "")])


def _metric(family: Metric, started: int, now: int) -> export.Metric | None:
    name, unit = _CONVENTIONS.get(family.name, (family.name, _unit(family.name)))
    data: export.Gauge | export.Sum | export.Histogram
    match family.type:
        case "histogram":
            histograms = tuple(_histograms(family.samples, name, started, now))
            data = export.Histogram(histograms, _CUMULATIVE)
            points: tuple[object, ...] = histograms
        case "counter":
            numbers = tuple(_numbers(family.samples, name, started, now, "_total"))
            data = export.Sum(numbers, _CUMULATIVE, is_monotonic=True)
            points = numbers
        case _:
            numbers = tuple(_numbers(family.samples, name, started, now))
            data, points = export.Gauge(numbers), numbers
    return export.Metric(name, family.documentation, unit, data) if points else None


def _unit(name: str) -> str:
    if name.endswith("_seconds"):
        return "s"
    return "By" if name.endswith("_bytes") else "1"


def _attributes(name: str, labels: Mapping[str, str]) -> dict[str, str]:
    names = _ATTRIBUTES.get(name, {})
    return {names.get(label, label): value for label, value in labels.items()}


def _numbers(
    samples: Iterable[Sample], name: str, started: int, now: int, suffix: str = ""
) -> Iterator[export.NumberDataPoint]:
    for sample in samples:
        if suffix and not sample.name.endswith(suffix):
            continue
        attributes = _attributes(name, sample.labels)
        yield export.NumberDataPoint(attributes, started, now, float(sample.value))


def _histograms(
    samples: Iterable[Sample], name: str, started: int, now: int
) -> Iterator[export.HistogramDataPoint]:
    buckets: defaultdict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = defaultdict(list)
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in samples:
        labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
        if sample.name.endswith("_bucket"):
            buckets[labels].append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    for labels, cumulative in buckets.items():
        cumulative.sort()
        counts = [int(count) for _, count in cumulative]
        each = [count - before for before, count in zip([0, *counts], counts, strict=False)]
        yield export.HistogramDataPoint(
            attributes=_attributes(name, dict(labels)),
            start_time_unix_nano=started,
            time_unix_nano=now,
            count=counts[-1],
            sum=sums.get(labels, 0.0),
            bucket_counts=each,
            explicit_bounds=[bound for bound, _ in cumulative[:-1]],
            # What a Prometheus histogram doesn't keep.
            min=float("nan"),
            max=float("nan"),
        )
