"""Traces get exported, once at least, and whatever the collector does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.api.names import Key
from observatory.api.status import Status
from observatory.core.desired import desire
from observatory.core.spans import Span, Telling, spans
from observatory.runtime.observer import Observer
from observatory.runtime.tracing import (
    AGAIN_SECONDS,
    BATCH,
    CAPACITY,
    LATEST_SECONDS,
    PAUSE_SECONDS,
    Tracing,
)
from observatory.telemetry.metrics import Metrics
from tests.runtime.world import KEY, Controller, World, observatory, task
from tests.support.clock import FrozenClock


class Bench:
    """A world whose operator traces to a collector that may be down."""

    def __init__(self, *names: str) -> None:
        self.up = True
        self.sent: list[Span] = []
        self.batches: list[int] = []
        self.woken: list[Key] = []
        self.failures = 0
        self.world = World()
        self.restart()
        self.world.apply(observatory("night", *map(task, names or ("a",))))

    def restart(self) -> None:
        """Another operator, which remembers nothing."""
        self.clock = FrozenClock()
        self.tracing = Tracing(
            self._send,
            lambda *_: True,
            clock=self.clock,
            exported=self.woken.extend,
            failed=self._fail,
        )
        observer = Observer(Metrics().workflows, self.tracing)
        self.world.controller = Controller(self.world, observer=observer)

    def _send(self, spans: Sequence[Span]) -> bool:
        self.batches.append(len(spans))
        if self.up:
            self.sent += spans
        return self.up

    def _fail(self) -> None:
        self.failures += 1

    def export(self, seconds: float = 1.0) -> None:
        """Let what waits be exported."""
        asyncio.run(self.tracing.drain(seconds))

    @property
    def exported(self) -> bool:
        return bool(self.world.status("night")["trace"].get("exported"))

    def telling(self) -> Telling:
        stored = self.world.get("night")
        desired = desire(stored)
        return Telling(desired, Status.from_wire(stored["status"]), desired.program)


def test_the_trace_of_a_run_that_has_ended_is_exported_and_the_status_says_so() -> None:
    bench = Bench("a", "b")
    bench.world.run("night")
    assert (bench.exported, bench.sent) == (False, [])
    bench.export()
    assert bench.woken == [KEY]
    assert {span.name for span in bench.sent} >= {"RUN night", "a", "a #1", "b", "b #1"}
    bench.world.run("night")
    assert bench.exported
    bench.export()
    assert len({span.context for span in bench.sent}) == len(bench.sent), "nothing twice"


def test_until_it_is_exported_the_run_comes_back() -> None:
    bench = Bench()
    bench.world.run("night")
    assert bench.world.step("night").requeue_after == AGAIN_SECONDS
    bench.export()
    assert bench.world.step("night").requeue_after is None
    assert bench.world.step("night").requeue_after is None


def test_after_a_crash_the_next_operator_exports_the_same_spans() -> None:
    bench = Bench("a", "b")
    bench.world.run("night")
    bench.export()  # and dies before a status says so
    first = list(bench.sent)
    bench.sent.clear()
    bench.restart()
    bench.world.run("night")
    bench.export()
    bench.world.run("night")
    assert bench.sent == first
    assert bench.exported


def test_a_collector_that_is_down_holds_nothing_up_and_gets_it_later() -> None:
    bench = Bench()
    bench.up = False
    bench.world.run("night")
    bench.export()
    assert bench.world.status("night")["phase"] == "Succeeded"
    assert (bench.exported, bench.woken) == (False, [])
    bench.up = True
    bench.world.step("night")
    bench.export()
    bench.world.run("night")
    assert bench.exported


def test_after_a_failure_nothing_is_sent_for_a_while_and_it_is_counted() -> None:
    bench = Bench()
    bench.up = False
    bench.world.run("night")

    async def work() -> None:
        running = asyncio.create_task(bench.tracing.run())
        await bench.clock.asleep.wait()
        running.cancel()

    asyncio.run(asyncio.wait_for(work(), 10))
    assert (bench.failures, bench.clock.slept[0]) == (1, PAUSE_SECONDS)
    # The longer it fails, the more rarely a run is looked at for it.
    waits = []
    for seconds in (30, 600, 100_000):
        bench.clock.seconds += seconds
        waits.append(bench.world.step("night").requeue_after)
    assert waits == [AGAIN_SECONDS, pytest.approx(650, abs=60), LATEST_SECONDS]


@given(st.lists(st.sampled_from(["round", "export", "restart", "down", "up"]), max_size=25))
@settings(max_examples=25, deadline=None)
def test_whatever_happens_the_trace_is_whole_in_the_end(happens: list[str]) -> None:
    """Restarts at any moment of a run with a retry, and a collector that comes and goes."""
    once = {"limit": 1, "backoff": {"initialSeconds": 1}}
    bench = Bench()
    bench.world = World()
    bench.restart()
    bench.world.exit_codes = {"a": 1}
    bench.world.apply(observatory("night", task("a", retry=once), task("b", "a"), task("c")))
    for what in (*happens, "up"):
        match what:
            case "round":
                bench.world.round("night")
            case "export":
                bench.export()
            case "restart":
                bench.restart()
            case _:
                bench.up = what == "up"
    for _ in range(10):
        bench.world.round("night")
    bench.export()
    bench.world.round("night")

    assert bench.exported
    wanted = {span.context: span for span in spans(bench.telling())}
    assert {span.context for span in bench.sent} == wanted.keys()
    for span in bench.sent:
        assert span == wanted[span.context], "sent twice, and not the same"


def test_without_tracing_a_trace_that_was_begun_rests_unexported() -> None:
    bench = Bench()
    bench.world.run("night")
    bench.world.controller = Controller(bench.world)
    assert bench.world.step("night").requeue_after is None


def test_many_spans_go_in_several_requests() -> None:
    bench = Bench(*(f"t{number}" for number in range(BATCH // 3 + 10)))
    bench.world.run("night", rounds=400)
    bench.export(30)
    assert bench.batches[0] == BATCH
    assert len(bench.batches) > 1
    assert sum(bench.batches) == len(bench.sent)


def test_no_more_runs_wait_than_there_is_room_for() -> None:
    bench = Bench()
    bench.world.run("night")
    some = tuple(spans(bench.telling()))[:1]
    for _ in range(CAPACITY + 10):
        bench.tracing.tell(some)
    bench.export(30)
    assert len(bench.batches) <= CAPACITY + 1


@pytest.mark.parametrize("seconds", [0.0])
def test_what_takes_too_long_at_the_end_is_left_to_the_next_operator(seconds: float) -> None:
    bench = Bench()
    bench.world.run("night")
    bench.export(seconds)
    assert not bench.exported
