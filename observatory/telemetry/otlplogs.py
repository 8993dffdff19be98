"""Log lines over OTLP, beside those on standard error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.trace import TraceFlags

from observatory.telemetry.otlp import exporter_of, resource

_SEVERITIES = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}
_OWN = frozenset({"event", "level", "ts", "trace_id", "span_id", "trace_flags"})


class LogSender:
    """Takes log lines and has them sent in batches by a thread of the SDK; it never blocks."""

    def __init__(self, protocol: str) -> None:
        # A collector that is down is told of once by the operator, not by each batch.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        self._provider = LoggerProvider(resource=resource(), shutdown_on_exit=False)
        exporter = exporter_of(protocol, "_log_exporter", "OTLPLogExporter")
        self._provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
        self._logger = self._provider.get_logger("observatory")

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Take one line, as its fields; see `telemetry.log.VOCABULARY`."""
        self._logger.emit(record_of(line))

    def close(self) -> None:
        """Send what is left, for some seconds at most."""
        self._provider.shutdown()


def record_of(line: Mapping[str, Any]) -> LogRecord:
    """A line as the SDK's record."""
    level = str(line.get("level", "info"))
    nanoseconds = None
    if isinstance(line.get("ts"), str):
        nanoseconds = int(datetime.fromisoformat(line["ts"]).timestamp() * 1e9)
    trace = line.get("trace_id")
    return LogRecord(
        timestamp=nanoseconds,
        observed_timestamp=nanoseconds,
        severity_text=level,
        severity_number=_SEVERITIES.get(level, SeverityNumber.INFO),
        body=str(line.get("event", "")),
        trace_id=int(trace, 16) if trace else None,
        span_id=int(line["span_id"], 16) if trace else None,
        trace_flags=TraceFlags(int(line.get("trace_flags", "01"), 16)) if trace else None,
        attributes={
            name: value if isinstance(value, str | bool | int | float) else str(value)
            for name, value in line.items()
            if name not in _OWN
        },
    )
