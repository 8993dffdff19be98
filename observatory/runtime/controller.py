"""The controller: a work queue and the workers that it feeds, as in controller-runtime.

Watch events become keys, keys become reconciles. A key that fails comes back with exponential
back-off; nothing that one object does can stop the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import partial
from typing import Protocol

from structlog.contextvars import bound_contextvars

from observatory.api.names import Key
from observatory.kube.errors import ApiError, KubeError, LeaseLost
from observatory.machinery.instant import Instant
from observatory.machinery.ratelimit import RateLimiter
from observatory.machinery.workqueue import Priority, Taken, WorkQueue
from observatory.runtime.reconciler import Result, TerminalError
from observatory.telemetry.log import logger
from observatory.telemetry.metrics import Metrics

NAME = "observatory"
"""The controller's name in logs and metrics."""

_log = logger("controller")


class Outcome(StrEnum):
    """How a reconcile ended; where controller-runtime has a word for it, that one."""

    SUCCESS = "success"
    REQUEUE_AFTER = "requeue_after"
    ERROR = "error"
    TERMINAL_ERROR = "terminal_error"
    PANIC = "panic"


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
        metrics: Metrics,
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
        self._counted_adds = 0
        self._running = False
        self._show(workers)

    def enqueue(self, keys: Iterable[Key], *, initial: bool = False) -> None:
        """Have these keys reconciled soon. Those of an initial list yield to what happens now.

        Before `run` there is nobody to work them off: a standby would only collect them.
        """
        if not self._running:
            return
        now, priority = self._monotonic(), Priority.LOW if initial else Priority.NORMAL
        for key in keys:
            self._queue.add(key, now, priority=priority)
        self._wake.set()

    async def run(self, initial: Iterable[Key]) -> None:
        """Work, beginning with these keys, until `shut_down`; then end those in hand.

        Raises:
            ExceptionGroup: Of LeaseLost: another process leads, this one must end at once.
        """
        self._running = True
        self.enqueue(initial, initial=True)
        async with asyncio.TaskGroup() as group:
            while True:
                # Also when there is always more to do, watches and probes get their turn.
                await asyncio.sleep(0)
                await self._workers.acquire()
                taken = await self._next()
                if taken is None:
                    return
                group.create_task(self._work(taken), name=f"reconcile {taken.key}")

    def shut_down(self) -> None:
        """Begin no more reconciles. Those in hand end; the rest waits for the next process."""
        self._queue.shut_down()
        self._wake.set()

    async def _next(self) -> Taken[Key] | None:
        while not self._queue.shutting_down:
            self._wake.clear()
            now = self._monotonic()
            if taken := self._queue.get(now):
                self._metrics.queue_duration.labels(NAME, NAME).observe(taken.waited_seconds)
                self._metrics.adds.labels(NAME, NAME).inc(self._queue.adds - self._counted_adds)
                self._counted_adds = self._queue.adds
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
        self._metrics.active_workers.labels(NAME).inc()
        context = {"namespace": key.namespace, "name": key.name, "reconcileID": self._sequence}
        try:
            with bound_contextvars(controller=NAME, **context):
                outcome = await self._attempt(taken)
        finally:
            self._queue.done(key)
            self._metrics.active_workers.labels(NAME).dec()
            self._workers.release()
            self._wake.set()
        self._count(outcome, self._monotonic() - begun)

    async def _attempt(self, taken: Taken[Key]) -> Outcome:
        """One reconcile, and what becomes of its key."""
        key = taken.key
        try:
            result = await self._reconcile(key)
        except LeaseLost:
            raise
        except TerminalError as error:
            self._limiter.forget(key)
            _log.error("Reconcile failed for good", error=str(error))
            return Outcome.TERMINAL_ERROR
        except KubeError as error:
            self._retry(taken, error)
            return Outcome.ERROR
        except Exception as error:  # noqa: BLE001 -- a defect must not end the others' work
            _log.exception("Reconcile crashed")
            self._retry(taken, error)
            return Outcome.PANIC
        self._limiter.forget(key)
        if result.requeue_after is None:
            return Outcome.SUCCESS
        due = Instant(self._monotonic() + result.requeue_after)
        self._queue.add_at(key, due, priority=taken.priority)
        return Outcome.REQUEUE_AFTER

    def _retry(self, taken: Taken[Key], error: Exception) -> None:
        delay = self._limiter.when(taken.key)
        if isinstance(error, ApiError) and error.retry_after:
            delay = max(delay, error.retry_after)
        failures = self._limiter.num_requeues(taken.key)
        _log.warning(
            "Reconcile failed", error=str(error), count=failures, retryAfter=round(delay, 3)
        )
        self._metrics.retries.labels(NAME, NAME).inc()
        due = Instant(self._monotonic() + delay)
        self._queue.add_at(taken.key, due, priority=taken.priority)

    def _show(self, workers: int) -> None:
        """Have the gauges read what they show when they are asked."""
        metrics, queue, now = self._metrics, self._queue, self._monotonic
        metrics.initialise(NAME)
        metrics.max_concurrent_reconciles.labels(NAME).set(workers)
        unfinished = metrics.unfinished_work.labels(NAME, NAME)
        unfinished.set_function(lambda: queue.unfinished_work_seconds(now()))
        longest = metrics.longest_running_processor.labels(NAME, NAME)
        longest.set_function(lambda: queue.longest_running_seconds(now()))
        for priority in Priority:
            depth = metrics.depth.labels(NAME, NAME, str(int(priority)))
            depth.set_function(partial(self._depth, priority))

    def _depth(self, priority: Priority) -> float:
        return self._queue.depth().get(priority, 0)

    def _count(self, outcome: Outcome, seconds: float) -> None:
        metrics = self._metrics
        failed = outcome not in (Outcome.SUCCESS, Outcome.REQUEUE_AFTER)
        # As controller-runtime has it, terminal errors and panics are errors too.
        result = Outcome.ERROR if failed else outcome
        metrics.reconcile_total.labels(NAME, result.value).inc()
        metrics.reconcile_time.labels(NAME).observe(seconds)
        metrics.work_duration.labels(NAME, NAME).observe(seconds)
        if failed:
            metrics.reconcile_errors.labels(NAME).inc()
        if outcome is Outcome.TERMINAL_ERROR:
            metrics.terminal_reconcile_errors.labels(NAME).inc()
        if outcome is Outcome.PANIC:
            metrics.reconcile_panics.labels(NAME).inc()
