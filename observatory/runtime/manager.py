"""The manager: starts and stops the parts of the operator in order, as controller-runtime's does.

Start: servers, caches, leader election, workers. Stop: workers, Events, caches, the lease,
connections, servers. The lease goes when nothing writes any more, so that whoever takes it over
finds everything as it is going to stay.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import AsyncExitStack
from uuid import uuid4  # noqa: TID251 -- for the one name that must not be derived

from observatory import __version__
from observatory.api.names import Key
from observatory.kube import config
from observatory.kube.client import Call, Client
from observatory.kube.credentials import ClusterConfig
from observatory.kube.errors import LeaseLost
from observatory.runtime.authorization import Authorizer
from observatory.runtime.clock import Clock, SystemClock
from observatory.runtime.elector import Elector
from observatory.runtime.health import Checks, served
from observatory.runtime.operator import Operator
from observatory.runtime.options import Options
from observatory.runtime.telemetry import Telemetry
from observatory.runtime.webhook import Webhook
from observatory.telemetry.log import Level, configure, logger, set_level
from observatory.telemetry.metrics import Metrics

RELEASE_SECONDS = 5.0
"""For giving the lease back; else it runs out by itself."""

_log = logger("manager")


def run_operator(options: Options) -> int:
    """Run the operator until SIGTERM or SIGINT; the exit code.

    Raises:
        ConfigError: The kubeconfig can't be used.
        AddressError, CertificateError: What was asked to be served can't be.
        TelemetryError: What the `OTEL_*` variables ask for can't be done.
    """
    configure(options.log_level, options.log_format)
    clock = SystemClock()
    cluster = config.load(options.kubeconfig, options.context, clock)
    metrics = Metrics()
    telemetry = Telemetry(os.environ, metrics, clock)
    code = 0
    try:
        asyncio.run(Manager(options, cluster, clock, metrics, telemetry).run())
    except* LeaseLost as lost:
        _log.error("Stopped without the lease", error=str(lost.exceptions[0]))
        code = 1
    finally:
        telemetry.close()
    return code


class Manager:
    """One operator process."""

    def __init__(
        self,
        options: Options,
        cluster: ClusterConfig,
        clock: Clock,
        metrics: Metrics,
        telemetry: Telemetry,
    ) -> None:
        self._options = options
        self._cluster = cluster
        self._clock = clock
        # As with client-go, no two processes have the same: in containers the PID is always 1.
        self.identity = f"{socket.gethostname()}_{uuid4()}"
        self._metrics = metrics
        self._telemetry = telemetry
        self._operator = Operator(
            options.namespaces,
            workers=options.workers,
            clock=clock,
            identity=self.identity,
            metrics=self._metrics,
            traces=telemetry.traces,
            limits=options.limits,
        )

    async def run(self) -> None:
        """Run until `SIGTERM`, then stop in order.

        Raises:
            AddressError, CertificateError: What was asked to be served can't be.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_stop, number)
        for number, level in (
            (signal.SIGUSR1, Level.DEBUG),
            (signal.SIGUSR2, self._options.log_level),
        ):
            asyncio.get_running_loop().add_signal_handler(number, _show_from, level)
        _log.info("Started", version=__version__, server=self._cluster.server)
        elector = self._candidate() if self._options.leader_elect else None
        checks = self._checks(elector)
        endpoints, guard = self._options.endpoints, elector.check if elector else _no_guard
        async with AsyncExitStack() as stack:
            authorize = None
            if endpoints.secure:
                # Without the lease as well: standbys are scraped too.
                reviews = Client(self._cluster, observe=self._observe)
                authorize = Authorizer(
                    await stack.enter_async_context(reviews), self._clock.monotonic
                )
            await self._start_webhook(stack, checks)
            await stack.enter_async_context(
                served(endpoints, checks, self._metrics, self._clock, authorize)
            )
            pushing = asyncio.create_task(self._telemetry.run())
            stack.callback(pushing.cancel)
            client = Client(self._cluster, before_write=guard, observe=self._observe)
            await self._operator.work(await stack.enter_async_context(client), elector)
            if elector:
                await asyncio.to_thread(elector.release, RELEASE_SECONDS)
        _log.info("Stopped")

    async def _start_webhook(self, stack: AsyncExitStack, checks: Checks) -> None:
        """Serve the webhook until the stack unwinds, if it is asked for; without the lease."""
        options = self._options.webhook
        if not options.port:
            return
        api = await stack.enter_async_context(Client(self._cluster, observe=self._observe))
        webhook = Webhook(options, api, self._clock, self._metrics, identity=self.identity)
        checks.readyz["webhook"] = webhook.check
        serving = asyncio.create_task(webhook.run())
        stack.push_async_callback(asyncio.wait, {serving})
        stack.callback(serving.cancel)

    def _candidate(self) -> Elector:
        loop = asyncio.get_running_loop()

        def lead() -> None:
            loop.call_soon_threadsafe(self._operator.leads.set)

        namespace = self._options.lease_namespace or self._cluster.namespace or "default"
        elector = Elector(
            self._cluster,
            Key(namespace, self._options.lease_name),
            self.identity,
            self._options.durations,
            self._clock,
            on_started=lead,
            # Another process may lead already: whatever is in hand here must not go on.
            on_lost=lambda _: os._exit(1),
        )
        leading = self._metrics.master_status.labels(self._options.lease_name)
        leading.set_function(lambda: float(elector.leading))
        return elector

    def _checks(self, elector: Elector | None) -> Checks:
        checks = Checks()
        checks.readyz["caches"] = lambda: (
            None if self._operator.synced.is_set() else "not synced yet"
        )
        if elector:
            checks.healthz["elector"] = lambda: (
                None if elector.alive or not self._operator.leads.is_set() else "has ended"
            )
        return checks

    def _told_to_stop(self, number: int) -> None:
        if self._operator.stopping:
            os._exit(128 + number)  # asked twice: somebody is in a hurry
        _log.info("Stopping", signal=signal.Signals(number).name)
        self._operator.stop()

    def _observe(self, call: Call) -> None:
        self._metrics.request(
            method=call.method,
            verb=call.verb,
            host=call.host,
            code=call.code,
            seconds=call.seconds,
        )


def _show_from(level: Level) -> None:
    """Show log lines from this level on."""
    set_level(level)
    _log.warning("Changed log level", level=level.value)


def _no_guard() -> None:
    """Without leader election, every write may go out."""
