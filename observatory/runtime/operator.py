"""What works on the objects of one cluster: the caches, the workers that they feed, the Events.

Start: caches, then the lease, then the workers. Stop: workers, Events, caches. Whatever plays the
API server, and whoever decides about leading, is passed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from itertools import chain
from typing import Any, Protocol

from observatory.api.limits import NO_LIMITS, Limits
from observatory.api.names import Key
from observatory.api.types import JsonObject
from observatory.core.model import Event
from observatory.kube.api import Api
from observatory.runtime.cache import Cache, Scope
from observatory.runtime.clock import Clock
from observatory.runtime.clockwatch import ClockWatch
from observatory.runtime.controller import Controller
from observatory.runtime.events import Recorder
from observatory.runtime.observer import Observer
from observatory.runtime.reconciler import Reconciler
from observatory.runtime.shares import Shares
from observatory.runtime.statemetrics import StateCollector
from observatory.runtime.sweeper import Sweeper
from observatory.runtime.telemetry import Traces
from observatory.runtime.tracing import Tracing
from observatory.runtime.watches import Watched, watches
from observatory.telemetry.log import logger
from observatory.telemetry.metrics import Metrics

GRACE_SECONDS = 20.0
"""For the reconciles in hand after SIGTERM; a Pod has 30, and the lease takes some of them."""
EVENTS_SECONDS = 2.0
"""For the Events that are not written yet."""

TRACES_SECONDS = 2.0
"""For the traces that are not exported yet; those that are left, the next operator exports."""

_log = logger("manager")


class Candidate(Protocol):
    """Who stands for election; see `Elector`."""

    def start(self) -> None:
        """Begin to take part."""


class Operator:
    """Works on all Observatories of these namespaces, or for none of all namespaces.

    `identity` keeps the jitter of two operators apart, and is told in Events.
    """

    def __init__(
        self,
        namespaces: Sequence[str],
        *,
        workers: int,
        clock: Clock,
        identity: str,
        metrics: Metrics,
        traces: Traces | None = None,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self._namespaces = namespaces
        self._workers = workers
        self._clock = clock
        self._identity = identity
        self._metrics = metrics
        self._traces = traces
        self._limits = limits
        self._working = False
        self._stop = asyncio.Event()
        self.synced = asyncio.Event()
        """Set when every cache holds its initial list."""
        self.leads = asyncio.Event()
        """To be set when this process has come to lead."""

    async def work(self, api: Api, candidate: Candidate | None) -> None:
        """Work until `stop`: caches first, then the lease, then the workers; back in that order."""
        cache = Cache(self._namespaces)
        recorder = Recorder(api, self._clock, self._identity)
        self._metrics.events_dropped.set_function(lambda: float(recorder.dropped))
        tracing = self._tracing(lambda keys: controller.enqueue(keys))  # noqa: PLW0108 -- comes next
        shares = Shares(self._limits, lambda keys: controller.enqueue(keys))  # noqa: PLW0108
        reconciler = Reconciler(
            api,
            cache,
            now=self._clock.now,
            record=_Record(recorder),
            observer=Observer(self._metrics.workflows, tracing),
            shares=shares,
        )
        controller = Controller(
            reconciler.reconcile,
            monotonic=self._clock.monotonic,
            metrics=self._metrics,
            workers=self._workers,
        )
        watched = watches(
            api,
            cache,
            enqueue=controller.enqueue,
            clock=self._clock,
            identity=self._identity,
            saw=shares.saw,
            failed=lambda resource, code: self._metrics.watch_failures.labels(resource, code).inc(),
        )
        state = StateCollector(cache, lambda: self._working)
        self._metrics.registry.register(state)
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
                sweeper = Sweeper(cache, self._clock, self._metrics, controller.enqueue)
                clockwatch = ClockWatch(cache, self._clock, controller.enqueue)
                background += map(group.create_task, (sweeper.run(), clockwatch.run()))
                exporting = group.create_task(tracing.run()) if tracing else None
                self._working = True
                await self._stop.wait()
                controller.shut_down()
                await asyncio.wait({work}, timeout=GRACE_SECONDS)
                self._working = False
                await recorder.drain(EVENTS_SECONDS)
                if tracing and exporting:
                    exporting.cancel()
                    await tracing.drain(TRACES_SECONDS)
                work.cancel()
            for task in (*background, *opening):
                task.cancel()
        self._metrics.registry.unregister(state)

    def _tracing(self, enqueue: Callable[[Iterable[Key]], None]) -> Tracing | None:
        if self._traces is None:
            return None
        failures = self._metrics.export_failures.labels("traces")
        return Tracing(
            self._traces.send,
            self._traces.sampler,
            clock=self._clock,
            exported=enqueue,
            failed=failures.inc,
        )

    async def _open(self, watched: Watched, cache: Cache, controller: Controller) -> None:
        """Have a scope worked on from when its caches are synced."""
        await watched.synced()
        controller.enqueue(watched.scope.keys(), initial=True)
        if all(scope.synced for scope in cache.scopes.values()):
            self.synced.set()
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
        try:
            await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (waiting, stopped):
                task.cancel()
        if waiting.cancelled() or not waiting.done():
            return False
        await waiting
        return not self._stop.is_set()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Come to the end, in order."""
        self._stop.set()


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
