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
from collections.abc import Coroutine, Sequence
from itertools import chain
from typing import Any, Protocol
from uuid import uuid4  # noqa: TID251 -- for the one name that must not be derived

from observatory import __version__
from observatory.api.names import Key
from observatory.api.types import JsonObject
from observatory.core.model import Event
from observatory.kube import config
from observatory.kube.api import Api
from observatory.kube.client import Call, Client
from observatory.kube.credentials import ClusterConfig
from observatory.kube.errors import LeaseLost
from observatory.runtime.cache import Cache, Scope
from observatory.runtime.clock import Clock, SystemClock
from observatory.runtime.controller import Controller
from observatory.runtime.elector import Elector
from observatory.runtime.events import Recorder
from observatory.runtime.health import Checks, served
from observatory.runtime.options import Options
from observatory.runtime.reconciler import Reconciler
from observatory.runtime.watches import Watched, watches
from observatory.telemetry.log import configure, logger
from observatory.telemetry.metrics import Metrics

GRACE_SECONDS = 20.0
"""For the reconciles in hand after SIGTERM; a Pod has 30, and the lease takes some of them."""
EVENTS_SECONDS = 2.0
"""For the Events that are not written yet."""
RELEASE_SECONDS = 5.0
"""For giving the lease back; else it runs out by itself."""

_log = logger("manager")


def run_operator(options: Options) -> int:
    """Run the operator until SIGTERM or SIGINT; the exit code.

    Raises:
        ConfigError: The kubeconfig can't be used.
        AddressError, CertificateError: What was asked to be served can't be.
    """
    configure(options.log_level, options.log_format)
    clock = SystemClock()
    cluster = config.load(options.kubeconfig, options.context, clock)
    code = 0
    try:
        asyncio.run(Manager(options, cluster, clock).run())
    except* LeaseLost as lost:
        _log.error("Stopped without the lease", error=str(lost.exceptions[0]))
        code = 1
    return code


class Candidate(Protocol):
    """Who stands for election; see `Elector`."""

    def start(self) -> None:
        """Begin to take part."""


class Manager:
    """One operator process."""

    def __init__(self, options: Options, cluster: ClusterConfig, clock: Clock) -> None:
        self._options = options
        self._cluster = cluster
        self._clock = clock
        # As with client-go, no two processes have the same: in containers the PID is always 1.
        self.identity = f"{socket.gethostname()}_{uuid4()}"
        self._metrics = Metrics()
        self._stop = asyncio.Event()
        self._synced = asyncio.Event()
        self.leads = asyncio.Event()
        """Set when this process has come to lead."""

    async def run(self) -> None:
        """Run until `SIGTERM`, then stop in order.

        Raises:
            AddressError, CertificateError: What was asked to be served can't be.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_stop, number)
        _log.info("Started", version=__version__, server=self._cluster.server)
        elector = self._candidate() if self._options.leader_elect else None
        checks = self._checks(elector)
        async with served(self._options.endpoints, checks, self._metrics, self._clock):
            guard = elector.check if elector else _no_guard
            async with Client(self._cluster, before_write=guard, observe=self._observe) as client:
                await self.work(client, elector)
                if elector:
                    await asyncio.to_thread(elector.release, RELEASE_SECONDS)
        _log.info("Stopped")

    def _candidate(self) -> Elector:
        loop = asyncio.get_running_loop()

        def lead() -> None:
            loop.call_soon_threadsafe(self.leads.set)

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
        checks.readyz["caches"] = lambda: None if self._synced.is_set() else "not synced yet"
        if elector:
            checks.healthz["elector"] = lambda: (
                None if elector.alive or not self.leads.is_set() else "has ended"
            )
        return checks

    async def work(self, api: Api, candidate: Candidate | None) -> None:
        """Work until `stop`: caches first, then the lease, then the workers; back in that order."""
        cache = Cache(self._options.namespaces)
        recorder = Recorder(api, self._clock, self.identity)
        reconciler = Reconciler(api, cache, now=self._clock.now, record=_Record(recorder))
        controller = Controller(
            reconciler.reconcile,
            monotonic=self._clock.monotonic,
            metrics=self._metrics,
            workers=self._options.workers,
        )
        watched = watches(
            api, cache, enqueue=controller.enqueue, clock=self._clock, identity=self.identity
        )
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(reflector.run())
                for one in watched
                for reflector in one.reflectors
            ]
            background.append(group.create_task(recorder.run()))
            opening = [group.create_task(self._open(one, cache, controller)) for one in watched]
            # A namespace that can't be read keeps no other one waiting.
            if await self._unless_stopped(_first(opening)) and await self._leads(candidate):
                ready = [scope for scope in cache.scopes.values() if scope.synced]
                work = group.create_task(controller.run(chain(*map(Scope.keys, ready))))
                await self._stop.wait()
                controller.shut_down()
                await asyncio.wait({work}, timeout=GRACE_SECONDS)
                await recorder.drain(EVENTS_SECONDS)
                work.cancel()
            for task in (*background, *opening):
                task.cancel()

    async def _open(self, watched: Watched, cache: Cache, controller: Controller) -> None:
        """Have a scope worked on from when its caches are synced."""
        await watched.synced()
        controller.enqueue(watched.scope.keys(), initial=True)
        if all(scope.synced for scope in cache.scopes.values()):
            self._synced.set()
            _log.info("Caches synced", count=len(cache))

    async def _leads(self, candidate: Candidate | None) -> bool:
        """Whether this process has come to lead."""
        if candidate is None:
            return True
        candidate.start()
        return await self._unless_stopped(self.leads.wait())

    async def _unless_stopped(self, awaitable: Coroutine[Any, Any, object]) -> bool:
        """Wait for something, but no longer than until SIGTERM; whether it came to be."""
        waiting = asyncio.create_task(awaitable)
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, stopped):
            task.cancel()
        if waiting.cancelled() or not waiting.done():
            return False
        await waiting
        return not self._stop.is_set()

    def _told_to_stop(self, number: int) -> None:
        if self._stop.is_set():
            os._exit(128 + number)  # asked twice: somebody is in a hurry
        _log.info("Stopping", signal=signal.Signals(number).name)
        self.stop()

    def stop(self) -> None:
        """Have the operator come to its end, in order."""
        self._stop.set()

    def _observe(self, call: Call) -> None:
        self._metrics.request(
            method=call.method,
            verb=call.verb,
            host=call.host,
            code=call.code,
            seconds=call.seconds,
        )


async def _first(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Return when one of them is done."""
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


class _Record:
    """Makes the planner's Events Kubernetes' Events."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __call__(self, observatory: JsonObject, event: Event) -> None:
        metadata = observatory["metadata"]
        tell = _log.warning if event.warning else _log.info
        # The note may quote a container's output, which is not for everybody who reads this log.
        tell(
            "Recorded Event",
            namespace=metadata["namespace"],
            name=metadata["name"],
            reason=event.reason,
        )
        kind = "Warning" if event.warning else "Normal"
        self._recorder.record(observatory, kind, event.reason, event.action, event.note)


def _no_guard() -> None:
    """Without leader election, every write may go out."""
