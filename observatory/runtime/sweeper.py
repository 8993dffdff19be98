"""The sweeper: looks now and then for what is stuck, counts it, and has it worked on again.

It should never find anything. What it finds is a fault of the operator, and worth an alert.
"""

from __future__ import annotations

import asyncio

from observatory.api.names import Key
from observatory.api.status import Status, StatusError
from observatory.api.types import JsonObject
from observatory.core.desired import desire
from observatory.core.schedule import is_scheduled
from observatory.core.stuck import Stuck, fire_time_overdue, stuck
from observatory.runtime.cache import Cache, Scope
from observatory.runtime.clock import Clock
from observatory.runtime.watches import Enqueue
from observatory.telemetry.log import logger
from observatory.telemetry.metrics import Metrics

EVERY_SECONDS = 60.0

_log = logger("sweeper")


class Sweeper:
    """Looks at every Observatory of a cache once a minute."""

    def __init__(self, cache: Cache, clock: Clock, metrics: Metrics, enqueue: Enqueue) -> None:
        self._cache = cache
        self._clock = clock
        self._metrics = metrics
        self._enqueue = enqueue

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self._clock.sleep(EVERY_SECONDS)
            await self.sweep()

    async def sweep(self) -> None:
        """Look at everything once. Others get their turn in between."""
        for scope in self._cache.scopes.values():
            if not scope.synced:
                continue
            for observatory in list(scope.observatories.values()):
                if _waits_for_its_time(observatory):
                    self._look_at_schedule(observatory)
                elif _may_move(observatory):
                    self._look_at(observatory, scope)
                    await asyncio.sleep(0)

    def _look_at(self, observatory: JsonObject, scope: Scope) -> None:
        try:
            status = Status.from_wire(observatory.get("status") or {})
        except StatusError:
            return  # the reconciler reports it
        desired = desire(observatory)
        pods = [pod for pod in scope.pods_of(desired.key) if pod.owner_uid == desired.uid]
        for found in stuck(desired, status, pods, self._clock.now()):
            self._report(desired.key, found)

    def _look_at_schedule(self, observatory: JsonObject) -> None:
        if found := fire_time_overdue(observatory["status"], self._clock.now()):
            metadata = observatory["metadata"]
            self._report(Key(metadata["namespace"], metadata["name"]), found)

    def _report(self, key: Key, found: Stuck) -> None:
        self._metrics.invariant_violations.labels(found.invariant).inc()
        _log.error(
            "Found what should have moved; working on it again",
            namespace=key.namespace,
            name=key.name,
            invariant=found.invariant,
            what=found.what,
        )
        self._enqueue([key])


def _waits_for_its_time(observatory: JsonObject) -> bool:
    """Whether it is a schedule that has nothing of its own to run."""
    status, spec = observatory.get("status"), observatory.get("spec")
    if not isinstance(status, dict) or not isinstance(spec, dict):
        return False
    return is_scheduled(spec) and ("run" not in status or "completionTime" in status)


def _may_move(observatory: JsonObject) -> bool:
    """Whether it is worth a look: most have ended, and stay as they are."""
    status, spec = observatory.get("status"), observatory.get("spec")
    if not isinstance(status, dict) or not isinstance(spec, dict):
        return False
    return "completionTime" not in status or "ttlSecondsAfterFinished" in spec
