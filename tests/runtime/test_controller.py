from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import pytest
from structlog.testing import capture_logs

from observatory.api.names import Key
from observatory.kube.errors import LeaseLost, TooManyRequests, TransportError
from observatory.machinery.instant import Instant
from observatory.runtime.controller import NAME, Controller
from observatory.runtime.reconciler import Result, TerminalError
from observatory.telemetry.metrics import Metrics

A, B = Key("ns", "a"), Key("ns", "b")
Step = Callable[[Key], Awaitable[Result]]


class Bench:
    """A controller whose reconciles are scripted, under a clock that stands still."""

    def __init__(self, step: Step, workers: int = 1) -> None:
        self.now = 100.0
        self.metrics = Metrics()
        self.seen: list[Key] = []
        self._step = step
        self.controller = Controller(
            self._reconcile,
            monotonic=lambda: Instant(self.now),
            metrics=self.metrics,
            workers=workers,
        )

    async def _reconcile(self, key: Key) -> Result:
        self.seen.append(key)
        return await self._step(key)

    def work(self, *keys: Key, initial: Iterable[Key] = ()) -> None:
        """Work these keys off, and whatever is due by then."""

        async def all_of_it() -> None:
            running = asyncio.create_task(self.controller.run(initial))
            await asyncio.sleep(0)
            self.controller.enqueue(keys)
            for _ in range(80):
                await asyncio.sleep(0)
            self.controller.shut_down()
            await running

        asyncio.run(all_of_it())

    def count(self, result: str) -> float | None:
        labels = {"controller": NAME, "result": result}
        return self.metrics.registry.get_sample_value("controller_runtime_reconcile_total", labels)


def answering(answer: Result | Exception) -> Step:
    async def step(_: Key) -> Result:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return step


def delay_after(answer: Result | Exception) -> float | None:
    """When a key comes back whose reconcile ended like that, in seconds."""
    bench = Bench(answering(answer))
    due: list[float] = []

    async def first_only() -> None:
        running = asyncio.create_task(bench.controller.run([A]))
        for _ in range(50):
            await asyncio.sleep(0)
        deadline = bench.controller._queue.next_deadline()
        due.extend([] if deadline is None else [deadline - bench.now])
        bench.controller.shut_down()
        await running

    with capture_logs():
        asyncio.run(first_only())
    assert bench.seen == [A]
    return due[0] if due else None


def test_a_key_that_is_done_does_not_come_back() -> None:
    assert delay_after(Result()) is None


def test_a_key_comes_back_when_it_wants_to() -> None:
    assert delay_after(Result(30.0)) == 30


def test_a_key_that_failed_comes_back_soon() -> None:
    delay = delay_after(TransportError("cut"))

    assert delay is not None
    assert 0 < delay < 0.01


def test_a_busy_server_is_given_the_time_that_it_asks_for() -> None:
    assert delay_after(TooManyRequests(429, "TooManyRequests", "busy", retry_after=7)) == 7


def test_a_success_makes_the_next_failure_the_first_again() -> None:
    cut = TransportError("cut")
    answers: list[Result | Exception] = [cut, cut, Result(), cut]

    async def step(key: Key) -> Result:
        answer = answers.pop(0)
        if answers:
            bench.controller.enqueue([key])
        if isinstance(answer, Exception):
            raise answer
        return answer

    bench = Bench(step)
    with capture_logs() as logs:
        bench.work(A)

    assert [log["count"] for log in logs if log["event"] == "Reconcile failed"] == [1, 2, 1]


def test_a_key_for_which_nothing_helps_waits_for_a_change() -> None:
    assert delay_after(TerminalError("status")) is None


def test_a_defect_is_retried_and_harms_no_other_key() -> None:
    async def step(key: Key) -> Result:
        if key == A:
            raise ZeroDivisionError
        return Result()

    bench = Bench(step)
    with capture_logs() as logs:
        bench.work(A, B)

    assert bench.seen == [A, B]
    assert bench.count("success") == 1
    assert "Reconcile crashed" in [entry["event"] for entry in logs]


@pytest.mark.parametrize(
    ("answer", "result", "others"),
    [
        (Result(), "success", {}),
        (Result(5.0), "requeue_after", {}),
        (TransportError("cut"), "error", {"reconcile_errors"}),
        (TerminalError("no"), "error", {"reconcile_errors", "terminal_reconcile_errors"}),
        (ZeroDivisionError(), "error", {"reconcile_errors", "reconcile_panics"}),
    ],
)
def test_each_end_is_counted_as_controller_runtime_counts_it(
    answer: Result | Exception, result: str, others: set[str]
) -> None:
    bench = Bench(answering(answer))
    with capture_logs():
        bench.work(A)

    assert bench.count(result) == 1
    for name in ("reconcile_errors", "terminal_reconcile_errors", "reconcile_panics"):
        sample = f"controller_runtime_{name}_total"
        counted = bench.metrics.registry.get_sample_value(sample, {"controller": NAME})
        assert counted == (1 if name in others else 0), name


def test_no_more_keys_are_in_hand_than_there_are_workers() -> None:
    at_once, most = 0, 0

    async def step(_: Key) -> Result:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        for _round in range(3):
            await asyncio.sleep(0)
        at_once -= 1
        return Result()

    bench = Bench(step, workers=2)
    bench.work(*(Key("ns", str(number)) for number in range(6)))

    assert most == 2
    assert len(bench.seen) == 6


def test_a_key_that_changes_while_it_is_worked_on_comes_back_once_it_is_done() -> None:
    async def step(key: Key) -> Result:
        if len(bench.seen) == 1:
            bench.controller.enqueue([key])
            for _ in range(3):
                await asyncio.sleep(0)
            assert bench.seen == [A]
        return Result()

    bench = Bench(step, workers=2)
    bench.work(A)

    assert bench.seen == [A, A]


def test_what_happens_now_goes_before_the_initial_list() -> None:
    bench = Bench(answering(Result()))

    bench.work(B, initial=[A])

    assert bench.seen == [B, A]


def test_a_standby_collects_no_keys() -> None:
    bench = Bench(answering(Result()))
    bench.controller.enqueue([A])

    bench.work(B)

    assert bench.seen == [B]


def test_endless_work_leaves_others_their_turn() -> None:
    async def again(key: Key) -> Result:
        bench.controller.enqueue([key])
        return Result()

    bench = Bench(again)
    bench.work(A)  # ends, since whoever tells it to stop gets a turn

    assert len(bench.seen) > 1


def test_told_to_stop_it_finishes_what_is_in_hand_and_begins_nothing() -> None:
    finished: list[Key] = []

    async def step(key: Key) -> Result:
        bench.controller.shut_down()
        await asyncio.sleep(0)
        finished.append(key)
        return Result()

    bench = Bench(step)
    bench.work(A, B)

    assert finished == [A]


def test_a_lost_lease_ends_the_work_at_once() -> None:
    bench = Bench(answering(LeaseLost("not held")))

    with pytest.raises(ExceptionGroup) as caught, capture_logs():
        bench.work(A, B)

    assert caught.group_contains(LeaseLost)
    assert bench.seen == [A]
