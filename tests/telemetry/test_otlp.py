"""What the `OTEL_*` variables ask for, and what arrives at a collector."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from concurrent import futures
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as services
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric

from observatory.api.trace import SpanContext
from observatory.core.spans import Telling, spans
from observatory.runtime.clock import SystemClock
from observatory.runtime.telemetry import Telemetry
from observatory.telemetry.log import Format, Level, configure, logger
from observatory.telemetry.metrics import Metrics
from observatory.telemetry.otlp import Settings, SpanSender, TelemetryError, sampler
from observatory.telemetry.otlplogs import record_of
from observatory.telemetry.otlpmetrics import MetricsSender, metrics_data
from tests.runtime.test_tracing import Bench
from tests.support.collector import Collector

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
HTTP = "http/protobuf"


@pytest.mark.parametrize(
    ("environment", "settings"),
    [
        ({}, Settings()),
        (ENDPOINT, Settings(HTTP, HTTP, HTTP)),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"}, Settings()),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, Settings("grpc", "grpc", "grpc")),
        ({**ENDPOINT, "OTEL_METRICS_EXPORTER": "none"}, Settings(HTTP, None, HTTP)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, Settings(HTTP)),
        (
            {**ENDPOINT, "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"},
            Settings(HTTP, HTTP, "grpc"),
        ),
    ],
)
def test_a_signal_is_exported_where_an_endpoint_is_given_for_it(
    environment: dict[str, str], settings: Settings
) -> None:
    assert Settings.of(environment) == settings


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
            'OTEL_EXPORTER_OTLP_PROTOCOL is "http/json": must be http/protobuf or grpc',
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"},
            'OTEL_EXPORTER_OTLP_ENDPOINT is "collector:4318": must be http://… or https://…',
        ),
        (
            {**ENDPOINT, "OTEL_TRACES_EXPORTER": "zipkin"},
            'OTEL_TRACES_EXPORTER is "zipkin": must be otlp or none',
        ),
    ],
)
def test_what_is_unknown_is_an_error_that_names_it(
    environment: dict[str, str], message: str
) -> None:
    with pytest.raises(TelemetryError) as caught:
        Settings.of(environment)
    assert str(caught.value) == message


def test_an_interval_that_is_none_is_an_error() -> None:
    with pytest.raises(TelemetryError, match="OTEL_METRIC_EXPORT_INTERVAL"):
        Telemetry({"OTEL_METRIC_EXPORT_INTERVAL": "soon"}, Metrics(), SystemClock())


def telling() -> Telling:
    bench = Bench("a")
    bench.world.exit_codes = {"a": 1}
    bench.world.run("night")
    return bench.telling()


def test_spans_arrive_over_http_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list(spans(telling()))
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        sender = SpanSender(HTTP)
        assert sender(made)
        sender.close()
    arrived = {span.span_id: span for span in collector.spans}
    for span in made:
        got = arrived[span.context.span_id]
        assert got.trace_id == span.context.trace_id
        assert got.parent_id == (span.parent.span_id if span.parent else "")
        assert (got.name, got.error) == (span.name, span.error)
        assert (got.start, got.end) == (
            int(span.start.timestamp()) * 10**9,
            int(span.end.timestamp()) * 10**9,
        )
        assert got.attributes == dict(span.attributes)
        assert got.service == "observatory-operator"


def test_spans_arrive_over_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[messages.ExportTraceServiceRequest] = []

    class Service(services.TraceServiceServicer):
        def Export(  # noqa: N802 -- the name of the method of the service
            self, request: messages.ExportTraceServiceRequest, context: object
        ) -> messages.ExportTraceServiceResponse:
            got.append(request)
            return messages.ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    services.add_TraceServiceServicer_to_server(  # type: ignore[no-untyped-call]
        Service(), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    try:
        sender = SpanSender("grpc")
        made = list(spans(telling()))
        assert sender(made)
        sender.close()
    finally:
        server.stop(None).wait()
    (request,) = got
    arrived = request.resource_spans[0].scope_spans[0].spans
    assert [span.name for span in arrived] == [span.name for span in made]


def test_a_collector_that_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with Collector(status=400) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        sender = SpanSender(HTTP)
        assert not sender(list(spans(telling())))
        sender.close()


@pytest.mark.parametrize(
    ("name", "argument", "caller", "sampled"),
    [
        ("", "", None, True),
        ("always_off", "", None, False),
        ("parentbased_always_on", "", SpanContext("1" * 32, "2" * 16, sampled=False), False),
        ("parentbased_always_off", "", SpanContext("1" * 32, "2" * 16, sampled=True), True),
        ("traceidratio", "0.0", None, False),
        ("traceidratio", "1.0", None, True),
    ],
)
def test_the_standard_samplers_decide(
    monkeypatch: pytest.MonkeyPatch, name: str, argument: str, caller: SpanContext, *, sampled: bool
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name or "parentbased_always_on")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    assert sampler()("f" * 32, caller) is sampled


def test_metrics_are_those_of_the_page() -> None:
    registry = CollectorRegistry()
    Counter("things_total", "Things", ["kind"], registry=registry).labels("x").inc(3)
    histogram = Histogram(
        "observatory_run_duration_seconds",
        "Runs",
        ["namespace", "workflow", "result"],
        registry=registry,
        buckets=(1, 10),
    )
    for seconds in (0.5, 5, 5, 50):
        histogram.labels("etl", "nightly", "success").observe(seconds)
    data: Any = metrics_data(registry.collect(), None, 1, 2)
    found = {metric.name: metric for metric in data.resource_metrics[0].scope_metrics[0].metrics}
    (point,) = found["things"].data.data_points
    assert (point.value, dict(point.attributes)) == (3, {"kind": "x"})
    metric = found["cicd.pipeline.run.duration"]
    (bars,) = metric.data.data_points
    assert metric.unit == "s"
    assert (bars.count, bars.sum, list(bars.bucket_counts)) == (4, 60.5, [1, 2, 1])
    assert list(bars.explicit_bounds) == [1, 10]
    assert dict(bars.attributes) == {
        "k8s.namespace.name": "etl",
        "cicd.pipeline.name": "nightly",
        "cicd.pipeline.result": "success",
    }


def test_metrics_arrive_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    metrics.initialise("observatory")
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        sender = MetricsSender(metrics.registry, HTTP, 1.0)
        assert sender.send(sender.collect(2.0))
        sender.close()
    assert {"controller_runtime_reconcile", "workqueue_depth", "process_cpu_seconds"} <= set(
        collector.metrics
    )


def test_metrics_are_pushed_again_and_again_while_the_operator_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics = Metrics()
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        environment = {
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": collector.endpoint,
            "OTEL_METRIC_EXPORT_INTERVAL": "10",
        }
        telemetry = Telemetry(environment, metrics, SystemClock())

        collected_by: set[threading.Thread] = set()

        class Watched:
            def collect(self) -> Iterable[Metric]:
                collected_by.add(threading.current_thread())
                return ()

        metrics.registry.register(Watched())

        async def until_it_arrives() -> None:
            collected_by.clear()
            running = asyncio.create_task(telemetry.run())
            assert await asyncio.to_thread(collector.measured.wait, 20)
            running.cancel()

        asyncio.run(until_it_arrives())
        telemetry.close()
    # What is collected are caches, which change in the loop: no other thread may look at them.
    assert collected_by == {threading.current_thread()}


@pytest.mark.usefixtures("log_as_before")
def test_log_lines_arrive_with_their_fields_and_their_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        environment = {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{collector.endpoint}/v1/logs"}
        configure(Level.INFO, Format.JSON)
        telemetry = Telemetry(environment, Metrics(), SystemClock())
        log = logger("test")
        log.warning("Something happened", name="night", trace_id="ab" * 16, span_id="cd" * 8)
        log.debug("Not worth a line")
        telemetry.close()
        log.warning("After the end")
    (record,) = collector.logs
    assert record.body.string_value == "Something happened"
    assert (record.trace_id.hex(), record.span_id.hex()) == ("ab" * 16, "cd" * 8)
    assert record.severity_text == "warning"
    assert {each.key for each in record.attributes} == {"name", "logger"}


def test_a_line_without_a_trace_has_none() -> None:
    record = record_of({"event": "x", "level": "info", "count": 3, "odd": [1]})
    assert not record.trace_id
    assert record.attributes == {"count": 3, "odd": "[1]"}


def test_the_senders_module_is_not_loaded_where_nothing_is_exported() -> None:
    telemetry = Telemetry({}, Metrics(), SystemClock())
    assert telemetry.traces is None
    asyncio.run(asyncio.wait_for(telemetry.run(), 5))
    telemetry.close()
