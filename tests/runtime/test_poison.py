"""Poison in the caches, at the start and in mid-watch: nobody but the poisoned is worse off."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
import structlog
from structlog.testing import capture_logs

from observatory.api.names import (
    CONTROLLER_REVISIONS,
    EVENTS,
    LABEL_OBSERVATORY,
    OBSERVATORIES,
    PODS,
    Key,
    Resource,
)
from observatory.api.types import JsonObject
from observatory.core.owners import owner_reference
from observatory.kube.errors import Invalid
from observatory.runtime.operator import Operator
from observatory.simulation.apiserver import ApiServer
from observatory.simulation.kubelet import Kubelet
from observatory.simulation.loop import virtual_loop
from observatory.simulation.process import VirtualClock
from observatory.telemetry.metrics import Metrics
from tests.runtime.world import CHAIN, observatory
from tests.support.poison import (
    LINES,
    PARTS_OF_PODS,
    REVISIONS,
    SOME_TIME,
    SPECS,
    STATUSES,
    TAMPERED,
    pod_of,
)
from tests.support.poison import (
    PODS as LOOKALIKES,
)

BAD, GOOD = "bad", "good"
FIRST, SECOND = 60.0, 3600.0
"""Seconds in which what was there at the start, and what came later, is looked at."""
EACH = 8
"""Requests about one name; a revision and an owner that several of them name have the most, 6."""
ITEMS: list[object] = [None, 5, "x", [], {}, {"metadata": 5}, {"metadata": {"uid": "x"}}]
"""What a List may have among its items."""


class Poisoned(ApiServer):
    """Puts lines into its watches that no API server sends."""

    def __init__(self, clock: VirtualClock, *, listed: bool) -> None:
        super().__init__(clock.now, (BAD, GOOD, "default"))
        self._listed = listed
        self.garbage: dict[Resource, list[bytes]] = {OBSERVATORIES: [], PODS: []}

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        if self._listed and "sendInitialEvents" in params:
            raise Invalid(422, "Invalid", "sendInitialEvents: Forbidden: it is not known here")
        async with super().watch(resource, namespace, params) as lines:
            yield self._garbled(resource, lines)

    async def list(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> JsonObject:
        page = await super().list(resource, namespace, params)
        return page | {"items": [*ITEMS, *page["items"]]} if self.garbage.get(resource) else page

    async def _garbled(
        self, resource: Resource, lines: AsyncIterator[bytes]
    ) -> AsyncGenerator[bytes, None]:
        async for line in lines:
            garbage, self.garbage[resource] = self.garbage[resource], []
            for one in garbage:
                yield one
            yield line

    def poison(self, suffix: str) -> int:
        """All there is; how many objects it is."""
        before = len(self.storage.objects)
        for number, (name, fields) in enumerate(_observatories()):
            raw = observatory(f"{name}-{suffix}", {"name": "a", "image": "x"}) | fields
            raw["metadata"] |= raw.pop("odd", {})
            self._put(OBSERVATORIES, raw, f"{suffix}-{number}")
            if name == "tampered-far-future":  # its next run is one after which old ones are pruned
                self._crowd(f"{name}-{suffix}", f"{suffix}-{number}")
        for number, data in enumerate(REVISIONS):
            self._pinned(f"pinned-{number}-{suffix}", data)
        victim = self.create_now(
            OBSERVATORIES, BAD, _in_bad(observatory(f"victim-{suffix}", CHAIN[0]))
        )
        uid = victim["metadata"]["uid"]
        for name, wish in LOOKALIKES.items():
            self.create_now(
                PODS, BAD, pod_of(f"pod-{name}-{suffix}", wish, f"victim-{suffix}", uid)
            )
        for number, (path, value) in enumerate(PARTS_OF_PODS):
            pod = self._pod(f"part-{number}-{suffix}", f"victim-{suffix}", uid, path, value)
            self._put(PODS, pod, f"{suffix}-pod-{number}")
            self._recorded(f"recorded-{number}-{suffix}", path, value)
        self.garbage = {OBSERVATORIES: [*LINES], PODS: [*LINES]}
        return len(self.storage.objects) - before

    def _pod(
        self, name: str, victim: str, uid: str, path: tuple[str, ...], value: object
    ) -> JsonObject:
        """A good Pod of the victim, but for one value."""
        wish = {"labels": {"observatory": victim, "task": "a", "run": "1", "attempt": "1"}}
        pod = pod_of(name, wish | {"owner": "victim", "tracked": True}, victim, uid)
        pod |= {"status": {"phase": "Pending"}}
        pod["metadata"]["creationTimestamp"] = SOME_TIME
        *way, last = path
        place = pod
        for step in way:
            place = place[step]
        place[last] = value
        return pod

    def _recorded(self, name: str, path: tuple[str, ...], value: object) -> None:
        """A run whose one Pod, recorded and running, has that value."""
        row = {"name": "a", "phase": "Running", "attempt": 1, "podName": f"{name}-pod"}
        status = {
            "phase": "Running",
            "run": 1,
            "revision": f"{name}-bcdfghjk",
            "startTime": SOME_TIME,
            "tasks": [row | {"podUID": f"{name}-pod"}],
        }
        self._put(OBSERVATORIES, observatory(name, CHAIN[0]) | {"status": status}, name)
        self._put(PODS, self._pod(f"{name}-pod", name, name, path, value), f"{name}-pod")

    def _pinned(self, name: str, data: object) -> None:
        """An Observatory in mid-run, whose revision somebody else wrote."""
        status = {
            "phase": "Running",
            "run": 1,
            "revision": f"{name}-bcdfghjk",
            "startTime": SOME_TIME,
            "tasks": [{"name": "a", "phase": "Pending"}],
        }
        self._put(OBSERVATORIES, observatory(name, CHAIN[0]) | {"status": status}, name)
        metadata = {"name": status["revision"], "ownerReferences": [owner_reference(name, name)]}
        self._put(
            CONTROLLER_REVISIONS, {"metadata": metadata, "data": data, "revision": 1}, "r" + name
        )

    def _crowd(self, name: str, uid: str) -> None:
        """Revisions of an Observatory that nobody could prune by their number."""
        owners: list[JsonObject] = [owner_reference(name, uid)]
        odd: list[tuple[object, object]] = [(5, 1), ("x", 1), ([None], 1), ({"uid": uid}, 1)]
        odd += [(owners, "x"), (owners, None), (owners, [1]), (owners, {}), (owners, 1e300)]
        for number, (by, revision) in enumerate(odd):
            metadata = {"name": f"crowd-{number}-{name}", "labels": {LABEL_OBSERVATORY: name}}
            body = {"metadata": metadata | {"ownerReferences": by}, "revision": revision}
            self._put(CONTROLLER_REVISIONS, body, f"crowd-{number}-{uid}")

    def _put(self, resource: Resource, raw: JsonObject, uid: str) -> None:
        """Straight into the storage, past whatever looks at it."""
        raw = _in_bad(raw)
        raw["metadata"] = {"uid": uid, "creationTimestamp": SOME_TIME} | raw["metadata"]
        if resource == OBSERVATORIES:
            raw["metadata"] = {"generation": 1} | raw["metadata"]
        self.storage.put(resource, Key(BAD, raw["metadata"]["name"]), raw)


def _in_bad(raw: JsonObject) -> JsonObject:
    copied: JsonObject = orjson.loads(json.dumps(raw))  # with the numbers that a decoder makes
    copied["metadata"]["namespace"] = BAD
    return copied


def _observatories() -> Iterator[tuple[str, JsonObject]]:
    for name, spec in SPECS.items():
        yield name, {"spec": spec}
    for name, status in STATUSES.items():
        yield f"status-{name}", {"status": status}
    for name, status in TAMPERED.items():
        yield f"tampered-{name}", {"status": status}
    for part, value in (("generation", "x"), ("finalizers", 5), ("annotations", 5)):
        yield f"metadata-{part}", {"odd": {part: value}}


@dataclass
class Seen:
    """What happened in a world."""

    finished: dict[str, float] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    """Requests in the good namespace, by verb and resource."""
    poisonous: int = 0
    early: Counter[str] = field(default_factory=Counter)
    """Requests about each object of the bad namespace while all of it was new."""
    late: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    logs: Sequence[Mapping[str, Any]] = ()
    reconciles: float = 0.0
    panics: float = 0.0


def live(*, poison: bool, listed: bool = False) -> Seen:
    """An hour with an operator: one good workflow at the start, one a minute later."""
    seen, loop, metrics = Seen(), virtual_loop(), Metrics()
    clock = VirtualClock(loop, lambda: 0.0)
    server = Poisoned(clock, listed=listed)

    async def scene() -> None:
        operator = Operator((), workers=2, clock=clock, identity="test", metrics=metrics)
        if poison:
            seen.poisonous += server.poison("0")
        server.create_now(OBSERVATORIES, GOOD, _good("at-the-start"))
        working = asyncio.create_task(operator.work(server, None))
        kubelet = asyncio.create_task(run_pods(server, seen))
        await asyncio.sleep(FIRST)
        if poison:
            seen.poisonous += server.poison("1")
        server.create_now(OBSERVATORIES, GOOD, _good("later"))
        await asyncio.sleep(FIRST)
        before = len(server.requests)
        kubelet.cancel()
        count(server, seen, seen.early, 0)
        await asyncio.sleep(SECOND)
        count(server, seen, seen.late, before)
        seen.panics = total(metrics, "controller_runtime_reconcile_panics_total")
        seen.reconciles = total(metrics, "controller_runtime_reconcile_total")
        operator.stop()
        await working

    structlog.reset_defaults()  # whatever another test wanted to see of the log
    with capture_logs() as logs:
        playing = loop.create_task(scene())
        loop.run_while(lambda: not playing.done())
        playing.result()
    seen.logs = logs
    return seen


def total(metrics: Metrics, name: str) -> float:
    return sum(
        sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == name
    )


def _good(name: str) -> JsonObject:
    made = observatory(name, *CHAIN)
    made["metadata"]["namespace"] = GOOD
    return made


async def run_pods(server: Poisoned, seen: Seen) -> None:
    """The kubelet of the good namespace, and whoever notes when its workflows are done."""
    kubelet = Kubelet(server)
    while True:
        await asyncio.sleep(0.5)
        for key, pod in server.storage.items(PODS, GOOD):
            kubelet.step(key, pod)
        for key, item in server.storage.items(OBSERVATORIES, GOOD):
            if item.get("status", {}).get("phase") == "Succeeded":
                seen.finished.setdefault(key.name, asyncio.get_running_loop().time())


def count(server: Poisoned, seen: Seen, into: Counter[str], start: int) -> None:
    for request in server.requests[start:]:
        if request.key.namespace == GOOD and request.resource != EVENTS:
            seen.asked[f"{request.verb} {request.resource.plural}"] += 1
        elif request.key.namespace == BAD:
            name = request.key.name
            if request.resource == EVENTS:
                seen.events[name.partition(".")[0]] += 1
            else:
                into[name] += 1


@pytest.fixture(scope="module")
def healthy() -> Seen:
    return live(poison=False)


@pytest.fixture(scope="module", params=["watched", "listed"])
def poisoned(request: pytest.FixtureRequest) -> Seen:
    return live(poison=True, listed=request.param == "listed")


def test_there_is_enough_poison(poisoned: Seen) -> None:
    assert poisoned.poisonous >= 2 * 90
    assert len(LINES) >= 30


def test_others_finish_at_the_same_time_with_the_same_requests(
    healthy: Seen, poisoned: Seen
) -> None:
    assert sorted(healthy.finished) == ["at-the-start", "later"]
    assert poisoned.finished == healthy.finished
    assert poisoned.asked == healthy.asked


def test_nothing_that_is_met_breaks_a_reconcile(poisoned: Seen) -> None:
    crashes = [entry for entry in poisoned.logs if entry["event"] == "Reconcile crashed"]
    assert crashes == []
    assert poisoned.panics == 0


def test_no_poison_keeps_the_operator_busy(healthy: Seen, poisoned: Seen) -> None:
    assert {name: n for name, n in poisoned.early.items() if n > EACH} == {}
    assert poisoned.late == {}
    # Each Observatory is told of once: Invalid, StatusInvalid, or that its run began and ended.
    assert {name: n for name, n in poisoned.events.items() if n > 3} == {}
    assert poisoned.reconciles - healthy.reconciles < 2 * poisoned.poisonous


def test_each_that_cannot_be_read_is_told_once_a_change(poisoned: Seen) -> None:
    skipped = Counter(
        str(entry["name"])
        for entry in poisoned.logs
        if entry["event"] == "Skipped object that could not be read"
    )
    lines = [skipped.pop(name) for name in ("None", "x", "5", "['x']")]
    assert len(skipped) >= 2 * 22
    assert set(skipped.values()) == {1}
    # Two watches of two kinds; where lists came first, their items in addition.
    assert sum(lines) >= 4 * len(LINES)


def test_what_is_wrong_with_a_spec_or_a_status_is_told_where_people_look(poisoned: Seen) -> None:
    told = {entry["reason"] for entry in poisoned.logs if entry["event"] == "Recorded Event"}
    assert {"Invalid", "StatusInvalid", "RunFailed"} <= told
