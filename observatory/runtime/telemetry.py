"""What the operator exports over OTLP, if anything: made from the environment, run, and ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from observatory.api.trace import Sampler
from observatory.runtime.clock import Clock
from observatory.runtime.daemon import in_daemon
from observatory.runtime.tracing import Send
from observatory.telemetry import log
from observatory.telemetry.log import logger
from observatory.telemetry.metrics import Metrics
from observatory.telemetry.otlp import Settings, TelemetryError

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
        self._push: Callable[[float], bool] | None = None
        if settings.traces:
            self.traces = self._made_traces(settings.traces)
        if settings.metrics:
            self._push = self._made_push(settings.metrics)
        if settings.logs:
            self._made_logs(settings.logs)

    def _made_traces(self, protocol: str) -> Traces:
        from observatory.telemetry.otlp import SpanSender, sampler  # noqa: PLC0415

        sender = SpanSender.of(protocol)
        self._ends.callback(sender.close)
        return Traces(sender, sampler())

    def _made_push(self, protocol: str) -> Callable[[float], bool]:
        from observatory.telemetry.otlpmetrics import MetricsSender  # noqa: PLC0415

        started = self._clock.now().timestamp()
        sender = MetricsSender(self._metrics.registry, protocol, started)
        self._ends.callback(sender.close)
        return lambda now: sender.send(sender.collect(now))

    def _made_logs(self, protocol: str) -> None:
        from observatory.telemetry.otlplogs import LogSender  # noqa: PLC0415

        sender = LogSender(protocol)
        self._ends.callback(sender.close)
        log.send_to(sender)
        self._ends.callback(log.send_to, None)

    async def run(self) -> None:
        """Push the metrics until cancelled."""
        signals = {name: getattr(self._settings, name) for name in ("traces", "metrics", "logs")}
        for signal, protocol in signals.items():
            if protocol:
                _log.info("Started exporting", signal=signal, protocol=protocol)
        while self._push is not None:
            await self._clock.sleep(self._interval)
            if not await in_daemon(partial(self._push, self._clock.now().timestamp())):
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
