from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from observatory.api.names import EVENTS, Key
from observatory.api.types import JsonObject
from observatory.kube.errors import LeaseLost, TooManyRequests, TransportError
from observatory.machinery.instant import Instant
from observatory.runtime.events import TRIES, Recorder
from observatory.simulation.apiserver import ApiServer, Request
from observatory.telemetry.events import NORMAL

OBJECT: JsonObject = {
    "apiVersion": "workflow.seventh-horizon.io/v1alpha1",
    "kind": "Observatory",
    "metadata": {"namespace": "default", "name": "one", "uid": "u"},
}


class Clock:
    """Moves a millisecond whenever it is read, and as far as somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        self.seconds += 0.001
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> Instant:
        self.seconds += 0.001
        return Instant(self.seconds)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


class Bench:
    def __init__(self, capacity: int = 100) -> None:
        self.clock = Clock()
        self.server = ApiServer(self.clock.now)
        self.recorder = Recorder(self.server, self.clock, "host", capacity)

    def record(self, note: str = "Started task a") -> None:
        self.recorder.record(OBJECT, NORMAL, "TaskStarted", "StartTask", note)

    def stored(self) -> list[tuple[str, int]]:
        """The note and count of every Event."""
        items = [item for _, item in self.server.storage.items(EVENTS, None)]
        return [(item["note"], item.get("series", {}).get("count", 1)) for item in items]


def run(
    body: Callable[[Bench], Coroutine[Any, Any, None]] | None, bench: Bench, seconds: float = 5
) -> None:
    async def main() -> None:
        task = asyncio.create_task(bench.recorder.run())
        if body is not None:
            await body(bench)
        await bench.recorder.drain(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_events_are_written_and_repeated_ones_counted() -> None:
    bench = Bench()
    for _ in range(4):
        bench.record()
    bench.record("Started task b")
    run(None, bench)
    assert bench.stored() == [("Started task a", 4), ("Started task b", 1)]
    assert [request.verb for request in bench.server.requests] == [
        *("create", "patch", "patch", "create")
    ]
    assert bench.recorder.dropped == 0


def test_an_event_that_the_server_has_removed_is_written_anew() -> None:
    async def body(bench: Bench) -> None:
        bench.record()
        await bench.recorder.drain(5)
        ((key, _),) = bench.server.storage.items(EVENTS, None)
        bench.server.delete_now(EVENTS, Key(*key))
        bench.record()

    bench = Bench()
    run(body, bench)
    assert bench.stored() == [("Started task a", 1)]


def test_an_answer_that_is_lost_makes_no_second_event() -> None:
    lost = iter([True])

    def lose(_: Request) -> None:
        if next(lost, False):
            raise TransportError("lost")

    bench = Bench()
    bench.server.after = lose
    bench.record()
    run(None, bench)
    assert bench.stored() == [("Started task a", 1)]
    assert [request.verb for request in bench.server.requests] == ["create", "create"]
    assert bench.recorder.dropped == 0


def test_a_busy_server_is_given_the_time_that_it_wants() -> None:
    busy = iter([True])

    def refuse(_: Request) -> None:
        if next(busy, False):
            raise TooManyRequests(429, "TooManyRequests", "later", retry_after=7)

    bench = Bench()
    bench.server.before = refuse
    bench.record()
    run(None, bench)
    assert bench.stored() == [("Started task a", 1)]
    assert bench.clock.slept == [7]


def test_a_server_that_is_away_costs_the_event_and_nothing_else() -> None:
    def away(_: Request) -> None:
        raise TransportError("away")

    bench = Bench()
    bench.server.before = away
    bench.record()
    run(None, bench)
    assert len(bench.server.requests) == TRIES
    assert bench.recorder.dropped == 1
    bench = Bench()
    bench.server.before = lambda _: (_ for _ in ()).throw(LeaseLost("lost"))
    bench.record()
    run(None, bench)
    assert bench.recorder.dropped == 1


def test_too_many_and_malformed_ones_are_dropped_without_an_error() -> None:
    bench = Bench(capacity=2)
    for number in range(5):
        bench.record(f"note {number}")
    bench.recorder.record({}, NORMAL, "A", "B", "c")
    run(None, bench)
    assert bench.recorder.dropped == 4
    assert [note for note, _ in bench.stored()] == ["note 0", "note 1"]


def test_an_event_that_no_request_can_carry_costs_only_itself() -> None:
    bench = Bench()

    def before(request: Request) -> None:
        if len(bench.server.requests) == 1:
            raise ValueError(f"{request.verb}: a name may not be ..")

    bench.server.before = before
    bench.record("Started task ..")
    bench.record("Started task b")
    run(None, bench)
    assert bench.stored() == [("Started task b", 1)]
    assert bench.recorder.dropped == 1


def test_the_end_does_not_wait_for_ever() -> None:
    stuck = asyncio.Event()

    class Stuck(Clock):
        async def sleep(self, seconds: float) -> None:
            await stuck.wait()

    bench = Bench()
    bench.recorder = Recorder(bench.server, Stuck(), "host")
    bench.server.before = lambda _: (_ for _ in ()).throw(TransportError("away"))
    bench.record()
    run(None, bench, seconds=0.05)
    assert bench.stored() == []
