"""The controller: a work queue and the workers that it feeds, as in controller-runtime.

Watch events become keys, keys become reconciles. A key that fails comes back with exponential
back-off; nothing that one object does can stop the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from observatory.api.names import Key
from observatory.kube.errors import ApiError, KubeError, LeaseLost
from observatory.machinery.instant import Instant
from observatory.machinery.ratelimit import RateLimiter
from observatory.machinery.workqueue import Priority, Taken, WorkQueue
from observatory.runtime.reconciler import Result, TerminalError
from observatory.telemetry.metrics import ControllerMetrics

log = structlog.get_logger()

NAME = "observatory"
"""The controller's name in logs and metrics."""


class Reconcile(Protocol):
    """What a controller drives; see `Reconciler.reconcile`."""

    async def __call__(self, key: Key) -> Result:
        """One step for one key."""


class Controller:
    """Works keys off, `workers` at a time and never one key twice at once."""

    def __init__(
        self,
        reconcile: Reconcile,
        *,
        monotonic: Callable[[], Instant],
        metrics: ControllerMetrics,
        workers: int,
    ) -> None:
        self._reconcile = reconcile
        self._monotonic = monotonic
        self._metrics = metrics
        self._queue: WorkQueue[Key] = WorkQueue(group=lambda key: key.namespace)
        self._limiter: RateLimiter[Key] = RateLimiter()
        self._wake = asyncio.Event()
        self._workers = asyncio.Semaphore(workers)
        self._sequence = 0
        metrics.started(self._queue, monotonic, workers)

    def enqueue(self, keys: Iterable[Key], *, initial: bool = False) -> None:
        """Have these keys reconciled soon. Those of an initial list yield to what happens now."""
        now, priority = self._monotonic(), Priority.LOW if initial else Priority.NORMAL
        for key in keys:
            self._queue.add(key, now, priority=priority)
        self._wake.set()

    async def run(self) -> None:
        """Work until `shut_down` was called and every key in hand is done.

        Raises:
            LeaseLost: Another process leads: this one must end at once.
        """
        async with asyncio.TaskGroup() as group:
            while True:
                await self._workers.acquire()
                taken = await self._next()
                if taken is None:
                    return
                group.create_task(self._work(taken), name=f"reconcile {taken.key}")

    def shut_down(self) -> None:
        """Begin no more reconciles. Those in hand come to their end; the rest waits for a restart."""
        self._queue.shut_down()
        self._wake.set()

    async def _next(self) -> Taken[Key] | None:
        while not self._queue.shutting_down:
            self._wake.clear()
            now = self._monotonic()
            if taken := self._queue.get(now):
                self._metrics.took(taken)
                return taken
            deadline = self._queue.next_deadline()
            timeout = None if deadline is None else max(deadline - now, 0.0)
            try:
                await asyncio.wait_for(self._wake.wait(), timeout)
            except TimeoutError:
                continue
        return None

    async def _work(self, taken: Taken[Key]) -> None:
        key, begun = taken.key, self._monotonic()
        self._sequence += 1
        context = {"namespace": key.namespace, "name": key.name, "reconcileID": self._sequence}
        try:
            with structlog.contextvars.bound_contextvars(controller=NAME, **context):
                outcome = await self._attempt(taken)
        finally:
            self._queue.done(key)
            self._workers.release()
            self._wake.set()
        self._metrics.reconciled(outcome, self._monotonic() - begun)

    async def _attempt(self, taken: Taken[Key]) -> str:
        """One reconcile, and what becomes of its key; the outcome, in controller-runtime's words."""
        key = taken.key
        try:
            result = await self._reconcile(key)
        except LeaseLost:
            raise
        except TerminalError as error:
            self._limiter.forget(key)
            log.error("Reconcile failed for good", error=str(error))
            return "terminal_error"
        except KubeError as error:
            self._retry(taken, error)
            return "error"
        except Exception as error:
            # A defect, or an object that nobody foresaw: it is this key's alone.
            log.exception("Reconcile crashed")
            self._retry(taken, error)
            return "panic"
        self._limiter.forget(key)
        if result.requeue_after is None:
            return "success"
        due = Instant(self._monotonic() + result.requeue_after)
        self._queue.add_at(key, due, priority=taken.priority)
        return "requeue_after"

    def _retry(self, taken: Taken[Key], error: Exception) -> None:
        delay = self._limiter.when(taken.key)
        if isinstance(error, ApiError) and error.retry_after:
            delay = max(delay, error.retry_after)
        failures = self._limiter.num_requeues(taken.key)
        log.warning(
            "Reconcile failed", error=str(error), failures=failures, retryAfter=round(delay, 3)
        )
        self._metrics.retried()
        due = Instant(self._monotonic() + delay)
        self._queue.add_at(taken.key, due, priority=taken.priority)
