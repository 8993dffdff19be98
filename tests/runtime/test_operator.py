"""Parts start and stop in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime

from observatory.api.names import OBSERVATORIES, PODS
from observatory.kube.errors import Forbidden, TransportError
from observatory.runtime.clock import SystemClock
from observatory.runtime.operator import Operator
from observatory.simulation.apiserver import ApiServer, Request
from observatory.telemetry.metrics import Metrics
from tests.runtime.world import NAMESPACE, observatory, task

TURNS = 20_000
"""Turns of the loop after which what hasn't happened won't."""


class Candidate:
    """Leads when the test says so."""

    def __init__(self) -> None:
        self.started = False

    def start(self) -> None:
        self.started = True


def operator(*namespaces: str) -> Operator:
    return Operator(namespaces, workers=2, clock=SystemClock(), identity="test", metrics=Metrics())


def server() -> ApiServer:
    made = ApiServer(lambda: datetime(2026, 1, 1, tzinfo=UTC))
    made.create_now(OBSERVATORIES, NAMESPACE, observatory("night", task("a")))
    return made


def writes(api: ApiServer) -> list[Request]:
    reads = {"get", "list", "watch"}
    return [request for request in api.requests if request.verb not in reads]


async def until(condition: Callable[[], object]) -> bool:
    """Whether it comes true within many turns of the loop."""
    for _ in range(TURNS):
        if condition():
            return True
        await asyncio.sleep(0)
    return False


def play(
    made: Operator, work: Coroutine[None, None, None], scene: Coroutine[None, None, None]
) -> None:
    async def both() -> None:
        working = asyncio.create_task(work)
        try:
            await scene
        finally:
            made.stop()
            await working

    asyncio.run(both())


def test_a_workflow_is_worked_on_and_stopping_ends_the_watches() -> None:
    made, api = operator(), server()

    async def scene() -> None:
        assert await until(lambda: api.storage.items(PODS, NAMESPACE))

    play(made, made.work(api, None), scene())

    assert api.watches.open == []


def test_nothing_is_worked_on_before_every_cache_is_synced() -> None:
    made, api = operator(), server()

    def no_pods(request: Request) -> None:
        if request.resource == PODS:
            raise TransportError("connection refused")

    api.before = no_pods

    async def scene() -> None:
        assert not await until(lambda: writes(api))

    play(made, made.work(api, None), scene())


def test_a_namespace_that_cannot_be_read_keeps_no_other_one_waiting() -> None:
    made, api = operator("forbidden", NAMESPACE), server()

    def forbidden(request: Request) -> None:
        if request.key.namespace == "forbidden":
            raise Forbidden(403, "Forbidden", "not here")

    api.before = forbidden

    async def scene() -> None:
        assert await until(lambda: api.storage.items(PODS, NAMESPACE))

    play(made, made.work(api, None), scene())


def test_a_standby_fills_its_caches_and_writes_nothing_until_it_leads() -> None:
    made, api, candidate = operator(), server(), Candidate()

    async def scene() -> None:
        assert await until(lambda: candidate.started)
        assert not await until(lambda: writes(api))
        made.leads.set()
        assert await until(lambda: api.storage.items(PODS, NAMESPACE))

    play(made, made.work(api, candidate), scene())


def test_a_standby_that_is_told_to_stop_never_starts_its_workers() -> None:
    made, api, candidate = operator(), server(), Candidate()

    async def scene() -> None:
        assert await until(lambda: candidate.started)

    play(made, made.work(api, candidate), scene())

    assert writes(api) == []
