"""OpenTelemetry's exporters: made as the standard `OTEL_*` variables say, and only where they do.

The SDK is imported when something is exported, and not before: most operators export nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from observatory import __version__
from observatory.api.names import GROUP
from observatory.api.trace import Sampler, SpanContext
from observatory.core.spans import Span

SERVICE = "observatory-operator"
_SCOPE = "observatory"
_UNNAMED = "unknown_service"
_PROTOCOLS = ("http/protobuf", "grpc")
_SIGNALS = ("traces", "metrics", "logs")


class TelemetryError(ValueError):
    """A variable can't be used; the message names it and says what can be given."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The protocol by which each signal is exported; None where it is off."""

    traces: str | None = None
    metrics: str | None = None
    logs: str | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """What the variables say: a signal is on where an endpoint is given for it.

        Raises:
            TelemetryError: A protocol or an exporter is unknown.
        """
        if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            return cls()
        return cls(**{signal: _protocol(environment, signal) for signal in _SIGNALS})


def _protocol(environment: Mapping[str, str], signal: str) -> str | None:
    def get(name: str) -> tuple[str, str]:
        own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}"
        for variable in (own, f"OTEL_EXPORTER_OTLP_{name}"):
            if value := environment.get(variable, "").strip():
                return variable, value
        return own, ""

    chosen = f"OTEL_{signal.upper()}_EXPORTER"
    exporter = environment.get(chosen, "otlp").strip() or "otlp"
    if exporter not in ("otlp", "none"):
        raise TelemetryError(f'{chosen} is "{exporter}": must be otlp or none')
    if exporter == "none" or not get("ENDPOINT")[1]:
        return None
    variable, protocol = get("PROTOCOL")
    if protocol and protocol not in _PROTOCOLS:
        allowed = " or ".join(_PROTOCOLS)
        raise TelemetryError(f'{variable} is "{protocol}": must be {allowed}')
    protocol = protocol or _PROTOCOLS[0]
    variable, endpoint = get("ENDPOINT")
    if protocol != "grpc" and not endpoint.startswith(("http://", "https://")):
        raise TelemetryError(f'{variable} is "{endpoint}": must be http://… or https://…')
    return protocol


def exporter_of(protocol: str, module: str, name: str) -> Any:  # noqa: ANN401 -- one of six classes
    """The SDK's exporter of that name, set up by its own variables; raises `TelemetryError`."""
    place = "http" if protocol == "http/protobuf" else "grpc"
    path = f"opentelemetry.exporter.otlp.proto.{place}.{module}"
    try:
        return getattr(importlib.import_module(path), name)()
    except ValueError as error:
        raise TelemetryError(f"OTEL_EXPORTER_OTLP_*: {error}") from error


def resource() -> Any:  # noqa: ANN401 -- the SDK's Resource
    """Who tells: the operator, the same for all its replicas, as they tell the same."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    made = Resource.create({"service.version": __version__})
    if str(made.attributes.get("service.name", _UNNAMED)).startswith(_UNNAMED):
        made = made.merge(Resource({"service.name": SERVICE}))
    return made


class SpanSender:
    """Hands spans to the collector."""

    def __init__(self, protocol: str) -> None:
        """The one that the environment asks for; raises `TelemetryError`."""
        self._exporter = exporter_of(protocol, "trace_exporter", "OTLPSpanExporter")
        self._resource = resource()

    def __call__(self, spans: Sequence[Span]) -> bool:
        """Send them, and say whether the collector has them. It blocks for some seconds."""
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415

        made = [_readable(span, self._resource) for span in spans]
        return bool(self._exporter.export(made) is SpanExportResult.SUCCESS)

    def close(self) -> None:
        """End what is being sent."""
        self._exporter.shutdown()


def sampler() -> Sampler:
    """The sampler that OTEL_TRACES_SAMPLER names; all traces are recorded unless it is given.

    It goes by the id of the trace, so that every operator decides alike.
    """
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.trace import (  # noqa: PLC0415
        NonRecordingSpan,
        set_span_in_context,
    )

    chosen = TracerProvider(shutdown_on_exit=False).sampler

    def sample(trace_id: str, caller: SpanContext | None) -> bool:
        parent = set_span_in_context(NonRecordingSpan(_context(caller))) if caller else None
        return bool(chosen.should_sample(parent, int(trace_id, 16), "RUN").decision.is_sampled())  # type: ignore[no-untyped-call]

    return sample


def _context(context: SpanContext, *, remote: bool = True) -> Any:  # noqa: ANN401
    from opentelemetry.trace import SpanContext as Context  # noqa: PLC0415
    from opentelemetry.trace import TraceFlags  # noqa: PLC0415

    flags = TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT
    return Context(int(context.trace_id, 16), int(context.span_id, 16), remote, TraceFlags(flags))


def _readable(span: Span, whose: Any) -> Any:  # noqa: ANN401
    """The SDK's span. Users aren't meant to make these, but no other way takes ids and times."""
    from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415
    from opentelemetry.trace import Link, SpanKind, Status, StatusCode  # noqa: PLC0415

    status = (
        Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error)
    )
    return ReadableSpan(
        name=span.name,
        context=_context(span.context, remote=False),
        parent=_context(span.parent) if span.parent else None,
        resource=whose,
        attributes=dict(span.attributes),
        links=tuple(
            Link(_context(link.to), {f"{GROUP}.relation": link.relation}) for link in span.links
        ),
        kind=SpanKind[span.kind.value],
        status=status,
        start_time=_nanoseconds(span.start),
        end_time=_nanoseconds(span.end),
        instrumentation_scope=InstrumentationScope(_SCOPE, __version__),
    )


def _nanoseconds(time: datetime) -> int:
    return int(time.timestamp()) * 1_000_000_000
