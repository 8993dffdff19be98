"""An operator as a process: it starts, works, stands still, is killed, and starts again.

What runs is the real one, `runtime.operator.Operator` with its caches, queue and workers, and the
real `machinery.lease.Election`. Only sockets, clocks and the thread of the elector are played.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Self, cast

from observatory.api.limits import NO_LIMITS, Limits
from observatory.api.names import LEASES, Key
from observatory.api.types import JsonObject
from observatory.kube.api import PatchKind
from observatory.kube.errors import KubeError, LeaseLost, NotFound
from observatory.machinery.instant import Instant
from observatory.machinery.lease import (
    Create,
    Durations,
    Election,
    Get,
    Lost,
    Released,
    Update,
    Wait,
)
from observatory.runtime.operator import Operator
from observatory.simulation.line import Line
from observatory.simulation.loop import VirtualLoop
from observatory.simulation.scenario import Fault
from observatory.simulation.wire import Wire
from observatory.telemetry.metrics import Metrics

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""When every history begins."""
NAMESPACE = "default"
LEASE = Key(NAMESPACE, "observatory-operator")
DURATIONS = Durations(lease=4, renew_deadline=3, retry_period=1)
WORKERS = 4
SHORTEST_BREAK = 0.1
"""Seconds between two lives of a process, at the least."""
_NEVER = Instant(float("-inf"))


class VirtualClock:
    """The clocks of a process; `skew` is how far its time of day is off, in seconds."""

    def __init__(self, loop: VirtualLoop, skew: Callable[[], float]) -> None:
        self._loop = loop
        self._skew = skew

    def now(self) -> datetime:
        """See `Clock.now`."""
        return EPOCH + timedelta(seconds=self._loop.time() + self._skew())

    def monotonic(self) -> Instant:
        """See `Clock.monotonic`."""
        return Instant(self._loop.time())

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(max(seconds, 0))


class Panics:
    """Metrics that count nothing but reconciles that crashed: everything else costs time."""

    def __init__(self) -> None:
        self.count = 0
        self.reconcile_panics = self
        self._ignored = _Ignored()

    def __getattr__(self, name: str) -> object:
        return self._ignored

    def labels(self, *_: object) -> Self:
        """The one series."""
        return self

    def inc(self, *_: object) -> None:
        """Another reconcile has crashed."""
        self.count += 1


class _Ignored:
    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return self

    def __call__(self, *_: object, **__: object) -> Self:
        return self


class Process:
    """One operator over all its lives. `name` tells it from the other one."""

    def __init__(
        self,
        name: str,
        loop: VirtualLoop,
        connect: Callable[[str], Wire],
        *,
        leader_election: bool,
        tell: Callable[[str, str], None],
        workers: int = WORKERS,
        limits: Limits = NO_LIMITS,
    ) -> None:
        """`connect` makes the wire of a new life; `tell` hears of starts and ends."""
        self.name = name
        self.panics = Panics()
        self.failures: list[str] = []
        """What ended a life that nothing had killed."""
        self._loop = loop
        self._connect = connect
        self._election = leader_election
        self._tell = tell
        self._workers = workers
        self._limits = limits
        self._line = Line()
        self._lives = 0
        self._skew = 0.0
        self._again = SHORTEST_BREAK
        self._down = True
        self.start()

    def start(self) -> None:
        """Begin another life, unless it lives."""
        if not self._down:
            return
        self._down = False
        self._lives += 1
        identity = f"{self.name}-{self._lives}"
        self.wire = self._connect(identity)
        # What keeps one life from the server keeps the next one from it too.
        self._line.reconnect()
        self.wire.line = self._line
        clock = VirtualClock(self._loop, lambda: self._skew)
        self._operator = Operator(
            (),
            workers=self._workers,
            clock=clock,
            identity=identity,
            metrics=cast("Metrics", self.panics),
            limits=self._limits,
        )
        candidate = None
        if self._election:
            candidate = SimulatedElector(
                self._loop,
                self.wire,
                identity,
                clock,
                lead=self._operator.leads.set,
                lose=self._lose,
            )
            self.wire.guard = candidate.check
        self._tell(self.name, "starts")
        self._work = self._loop.create_task(self._live(self._operator, self.wire, candidate))

    def suffer(self, fault: Fault) -> None:
        """Have happen to the process, or to its line, what a fault says."""
        match fault.do:
            case "crash":
                self.crash(max(fault.seconds, SHORTEST_BREAK))
            case "stop":
                self.stop(max(fault.seconds, SHORTEST_BREAK))
            case "skew":
                self._skew = float(fault.value)
            case _:
                self.wire.suffer(fault)

    def crash(self, seconds: float) -> None:
        """SIGKILL: nothing more is done or heard; another life begins after so long."""
        if self._down:
            return
        self._tell(self.name, "is killed")
        self._end()
        self._loop.call_later(seconds, self.start)

    def stop(self, seconds: float) -> None:
        """SIGTERM: it ends in order; another life begins so long after its end."""
        if not self._down:
            self._tell(self.name, "is told to stop")
            self._operator.stop()
            self._again = seconds

    def end(self) -> None:
        """End it for good, with the history."""
        if not self._down:
            self._end()

    def _end(self) -> None:
        self._down = True
        self.wire.die()
        self._work.cancel()

    def _lose(self, reason: str) -> None:
        self._tell(self.name, f"lost the lease: {reason}")
        self.crash(1.0)

    async def _live(
        self, operator: Operator, wire: Wire, candidate: SimulatedElector | None
    ) -> None:
        try:
            await operator.work(wire, candidate)
            if candidate is not None:
                await candidate.release()
        except* LeaseLost:
            pass  # as the process ends with 1 then
        except* Exception as error:  # noqa: BLE001 -- it is what the history has found
            if not wire.dead:
                self.failures.append(f"operator {self.name} ended: {error.exceptions!r}")
        if not wire.dead:
            self._tell(self.name, "ends")
            self._end()
            self._loop.call_later(self._again, self.start)


class SimulatedElector:
    """Drives an `Election` over the wire, as `runtime.elector.Elector` does in its thread."""

    def __init__(
        self,
        loop: VirtualLoop,
        wire: Wire,
        identity: str,
        clock: VirtualClock,
        *,
        lead: Callable[[], None],
        lose: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._wire = wire
        self._clock = clock
        self._election = Election(identity, DURATIONS)
        self._lead = lead
        self._lose = lose
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """See `Elector.start`."""
        self._task = self._loop.create_task(self._run())

    def check(self) -> None:
        """See `Elector.check`."""
        if self._clock.monotonic() >= self._election.valid_until:
            raise LeaseLost("this process does not hold the Lease")

    async def release(self) -> None:
        """See `Elector.release`."""
        if self._task is not None:
            self._task.cancel()
        self._election.release(self._clock.monotonic())
        await self._run()

    async def _run(self) -> None:
        election, led = self._election, False
        while not self._wire.dead:
            await self._wire.running()
            match election.next(self._clock.monotonic(), self._clock.now()):
                case Wait(until):
                    await self._clock.sleep(until - self._clock.monotonic())
                case Lost(reason):
                    self._lose(reason)
                    return
                case Released():
                    return
                case Get() | Create() | Update() as move:
                    await self._carry_out(move)
            if election.leading and not led:
                led = True
                self._lead()

    async def _carry_out(self, move: Get | Create | Update) -> None:
        election = self._election
        try:
            match move:
                case Get():
                    election.received(await self._get(), self._clock.monotonic())
                case Create(spec):
                    body = {"metadata": {"name": LEASE.name}, "spec": spec}
                    made = await self._wire.create(LEASES, LEASE.namespace, body)
                    election.wrote(made, self._clock.monotonic())
                case Update(spec, version):
                    patch = {"metadata": {"resourceVersion": version}, "spec": spec}
                    made = await self._wire.patch(LEASES, LEASE, patch, kind=PatchKind.MERGE)
                    election.wrote(made, self._clock.monotonic())
        except KubeError:
            election.failed(self._clock.monotonic())

    async def _get(self) -> JsonObject | None:
        with suppress(NotFound):
            return await self._wire.get(LEASES, LEASE)
        return None
