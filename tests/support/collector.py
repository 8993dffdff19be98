"""An OpenTelemetry collector that keeps what it is sent: OTLP over HTTP, on loopback."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

RELATION = "workflow.seventh-horizon.io.relation"


@dataclass(frozen=True)
class Received:
    """A span as it was sent, with its ids in hexadecimal and its attributes as a dict."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start: int
    end: int
    error: str | None
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    service: str


@dataclass
class Collector:
    """What was sent so far. `port` 0 takes any that is free; it may come back on the same one."""

    port: int = 0
    host: str = "127.0.0.1"
    status: int = 200
    spans: list[Received] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    logs: list[Any] = field(default_factory=list)
    measured: threading.Event = field(default_factory=threading.Event)
    """Set when metrics have arrived."""

    def __enter__(self) -> Self:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            paths: ClassVar[dict[str, Callable[[bytes], None]]] = {
                "/v1/traces": collector.take_spans,
                "/v1/metrics": collector.take_metrics,
                "/v1/logs": collector.take_logs,
            }

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if collector.status == 200:
                    if "json" in self.headers.get("Content-Type", ""):
                        collector.take_json_spans(body)
                    else:
                        self.paths[self.path](body)
                self.send_response(collector.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((self.host, self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        """For OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://{self.host}:{self.port}"

    def take_spans(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _values(resource.resource.attributes).get("service.name", "")
            for scope in resource.scope_spans:
                self.spans += [_received(span, service) for span in scope.spans]

    def take_json_spans(self, body: bytes) -> None:
        """OTLP's JSON, as it is written by hand with curl: ids are hexadecimal there."""
        for resource in json.loads(body)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    self.spans.append(
                        Received(
                            trace_id=span["traceId"],
                            span_id=span["spanId"],
                            parent_id=span.get("parentSpanId", ""),
                            name=span["name"],
                            start=int(span["startTimeUnixNano"]),
                            end=int(span["endTimeUnixNano"]),
                            error=None,
                            attributes={},
                            links=(),
                            service="",
                        )
                    )

    def take_metrics(self, body: bytes) -> None:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in resource.scope_metrics:
                self.metrics.update({metric.name: metric for metric in scope.metrics})
        self.measured.set()

    def take_logs(self, body: bytes) -> None:
        for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
            for scope in resource.scope_logs:
                self.logs.extend(scope.log_records)

    def trace(self, trace_id: str) -> dict[str, Received]:
        """The spans of one trace by their ids. One that was sent twice must have been the same."""
        found: dict[str, Received] = {}
        for span in self.spans:
            if span.trace_id == trace_id:
                assert found.setdefault(span.span_id, span) == span, span.name
        return found


def _received(span: Any, service: str) -> Received:  # noqa: ANN401
    return Received(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        error=span.status.message if span.status.code == 2 else None,
        attributes=_values(span.attributes),
        links=tuple(
            (
                link.span_id.hex(),
                _values(link.attributes).get("workflow.seventh-horizon.io.relation", ""),
            )
            for link in span.links
        ),
        service=service,
    )


def _values(attributes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
