"""What the operator exports over OTLP, if anything: made from the environment, run, and ended."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from observatory.api.trace import Sampler
from observatory.runtime.clock import Clock
from observatory.runtime.daemon import in_daemon
from observatory.runtime.tracing import Send
from observatory.telemetry import log
from observatory.telemetry.log import logger
from observatory.telemetry.metrics import Metrics
from observatory.telemetry.otlp import Settings, SpanSender, TelemetryError, sampler

if TYPE_CHECKING:
    from observatory.telemetry.otlpmetrics import MetricsSender

_INTERVAL = "OTEL_METRIC_EXPORT_INTERVAL"
_INTERVAL_DEFAULT = 60_000
CLOSE_SECONDS = 3.0
"""For the log lines that are left; a Pod has 30 seconds, and this is the last that is done."""

_log = logger("telemetry")


@dataclass(frozen=True, slots=True)
class Traces:
    """How traces are exported, and which."""

    send: Send
    sampler: Sampler


class Telemetry:
    """The exporters of one process. Raises `TelemetryError` for what the environment asks."""

    def __init__(self, environment: Mapping[str, str], metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._ends = ExitStack()
        self._settings = settings = Settings.of(environment)
        self._interval = _seconds(environment)
        self.traces: Traces | None = None
        """None where nothing is traced."""
        self._metrics_sender: MetricsSender | None = None
        if settings.traces:
            self.traces = self._made_traces(settings.traces)
        if settings.metrics:
            self._metrics_sender = self._made_metrics(settings.metrics)
        if settings.logs:
            self._made_logs(settings.logs)

    def _made_traces(self, protocol: str) -> Traces:
        sender = SpanSender(protocol)
        self._ends.callback(sender.close)
        return Traces(sender, sampler())

    def _made_metrics(self, protocol: str) -> MetricsSender:
        from observatory.telemetry.otlpmetrics import MetricsSender  # noqa: PLC0415

        started = self._clock.now().timestamp()
        sender = MetricsSender(self._metrics.registry, protocol, started)
        self._ends.callback(sender.close)
        return sender

    def _made_logs(self, protocol: str) -> None:
        from observatory.telemetry.otlplogs import LogSender  # noqa: PLC0415

        sender = LogSender(protocol)
        self._ends.callback(sender.close)
        log.send_to(sender)
        self._ends.callback(log.send_to, None)

    async def run(self) -> None:
        """Push the metrics until cancelled."""
        for signal, protocol in asdict(self._settings).items():
            if protocol:
                _log.info("Started exporting", signal=signal, protocol=protocol)
        while (sender := self._metrics_sender) is not None:
            await self._clock.sleep(self._interval)
            # Here, in the loop, as the page is: what is collected are caches that it changes.
            data = sender.collect(self._clock.now().timestamp())
            if not await in_daemon(partial(sender.send, data)):
                self._metrics.export_failures.labels("metrics").inc()

    def close(self) -> None:
        """Send what is left of the logs, and end: within `CLOSE_SECONDS`, come what may."""
        closing = threading.Thread(target=self._ends.close, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


def _seconds(environment: Mapping[str, str]) -> float:
    text = environment.get(_INTERVAL, "").strip() or str(_INTERVAL_DEFAULT)
    if not text.isdecimal() or not int(text):
        raise TelemetryError(f'{_INTERVAL} is "{text}": must be milliseconds, such as 60000')
    return int(text) / 1000
