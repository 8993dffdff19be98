"""Random histories: two operators that both believe they lead, stale caches, lost requests.

Every history follows from its seed. Invariants are checked on every write in the order in which
the server took them; after the faults stop, the run has to come to its right end and to rest.
"""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 -- seeded: a history follows from its seed
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import cast

import pytest

from observatory.api.names import CONTROLLER_REVISIONS, FINALIZER, OBSERVATORIES, PODS, Key
from observatory.api.types import JsonObject
from observatory.kube.api import Api
from observatory.kube.errors import KubeError, NotFound, TooManyRequests, TransportError
from observatory.simulation.storage import Entry
from tests.runtime.world import NAMESPACE, Controller, World, observatory, task

KEY = Key(NAMESPACE, "night")
BATCHES, SEEDS = 10, 30
STEPS, ROUNDS_TO_REST = 60, 80
ENDED = {"Succeeded", "Failed", "Skipped"}
FAULTS = (TransportError("cut"), TooManyRequests(429, "TooManyRequests", "busy"))


class Wire:
    """What lies between one operator and the server: it delays, and loses requests and answers."""

    def __init__(self, server: object, rng: random.Random) -> None:
        self._server, self._rng, self.faulty = server, rng, True

    def __getattr__(self, verb: str) -> Callable[..., Awaitable[JsonObject]]:
        async def call(*args: object, **kwargs: object) -> JsonObject:
            await self._pass(0.08)
            answer: JsonObject = await getattr(self._server, verb)(*args, **kwargs)
            await self._pass(0.08)
            return answer

        return call

    async def _pass(self, loss: float) -> None:
        if self.faulty:
            for _ in range(self._rng.choice([0, 0, 1, 2, 5, 20])):
                await asyncio.sleep(0)
        if self.faulty and self._rng.random() < loss:
            raise self._rng.choice(FAULTS)


class Operator:
    def __init__(self, world: World, rng: random.Random) -> None:
        self.wire = Wire(world.server, rng)
        self.controller = Controller(world, cast("Api", self.wire))
        self.work: asyncio.Task[None] | None = None

    def begin(self) -> None:
        if self.work is None or self.work.done():
            self.work = asyncio.create_task(self._reconcile())

    async def _reconcile(self) -> None:
        with suppress(KubeError):
            await self.controller.reconciler.reconcile(KEY)

    async def finish(self) -> None:
        if self.work is not None:
            await self.work


class Checker:
    """Reads every write, and says what must never be."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.read = 0
        self.status: JsonObject = {}
        self.recorded: set[str] = set()
        self.deleted: set[str] = set()

    def check(self) -> None:
        history = self.world.server.storage.history
        for entry in history[self.read :]:
            if entry.resource == OBSERVATORIES and entry.old and entry.new:
                self._check_status(entry.new, entry.old)
            elif entry.resource == PODS and entry.old:
                self._check_pod(entry, entry.old)
        self.read = len(history)
        starts = self.world.kubelet.starts
        names = [name for name, _ in starts]
        assert len(names) == len(set(names)), "an attempt has started in two Pods"
        assert set(starts.values()) <= {1}

    def _check_status(self, new: JsonObject, old: JsonObject) -> None:
        before, self.status = old.get("status") or {}, new.get("status") or {}
        same_run = before.get("run") == self.status.get("run")
        was = {row["name"]: row for row in before.get("tasks", ())} if same_run else {}
        rows = {row["name"]: row for row in self.status.get("tasks", ())}
        assert self.status.get("run", 0) >= before.get("run", 0)
        if before.get("run") and not same_run:
            assert before.get("completionTime"), "a run was cut off by the next one"
        for name, row in was.items():
            if row["phase"] in ENDED:
                assert rows[name] == row, "an end was not final"
            if row["phase"] == "Running":
                assert rows[name]["phase"] != "Pending"
                assert rows[name].get("podUID", row["podUID"]) == row["podUID"]
        started = [
            row
            for row in rows.values()
            if row.get("podUID") and not was.get(row["name"], {}).get("podUID")
        ]
        for row in started:
            self._check_start(row, rows, old)

    def _check_start(self, row: JsonObject, rows: dict[str, JsonObject], obj: JsonObject) -> None:
        storage = self.world.server.storage
        self.recorded.add(row["podUID"])
        revision = storage.get(CONTROLLER_REVISIONS, Key(NAMESPACE, self.status["revision"]))
        assert revision is not None
        tasks = {item["name"]: item for item in revision["data"]["spec"]["tasks"]}
        needs = tasks[row["name"]].get("dependencies", ())
        assert all(rows[need]["phase"] == "Succeeded" for need in needs), "started too early"
        running = sum(other["phase"] == "Running" for other in rows.values())
        assert running <= obj["spec"].get("maxConcurrent", len(rows)), "too many at once"
        assert not obj["spec"].get("suspend"), "started while suspended"
        pod = storage.get(PODS, Key(NAMESPACE, row["podName"]))
        if pod and pod["metadata"]["uid"] == row["podUID"]:
            (container,) = pod["spec"]["containers"]
            assert container["image"] == tasks[row["name"]]["image"], "a Pod of another revision"

    def _check_pod(self, entry: Entry, old: JsonObject) -> None:
        uid, new = old["metadata"]["uid"], entry.new
        if new and old["spec"].get("schedulingGates") and not new["spec"]["schedulingGates"]:
            assert uid in self.recorded, "released before it was recorded"
        held = FINALIZER in (new or {}).get("metadata", {}).get("finalizers", ())
        if FINALIZER in old["metadata"]["finalizers"] and not held and uid in self.recorded:
            open_uids = {
                row.get("podUID") for row in self.status["tasks"] if row["phase"] == "Running"
            }
            assert uid not in open_uids, "let go before its end was stored"


class History:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311
        self.world = World()
        names = [f"t{index}" for index in range(self.rng.randint(1, 5))]
        self.edges = {
            name: self.rng.sample(names[:index], self.rng.randint(0, min(index, 2)))
            for index, name in enumerate(names)
        }
        self.fails = {name for name in names if self.rng.random() < 0.15}
        self.world.exit_codes = dict.fromkeys(self.fails, 1)
        self.world.apply(observatory("night", *self._tasks("v1")))
        self.operators = [Operator(self.world, self.rng) for _ in range(2)]
        self.checker = Checker(self.world)

    def _tasks(self, tag: str) -> list[JsonObject]:
        return [task(name, *needs, image=f"i:{tag}") for name, needs in self.edges.items()]

    async def play(self) -> None:
        for _ in range(STEPS):
            operator = self.rng.choice(self.operators)
            self.rng.choices(
                [
                    operator.begin,
                    lambda: operator.controller.sync(observatories=False),  # noqa: B023
                    lambda: operator.controller.sync(pods=False),  # noqa: B023
                    self.world.kubelet.run_pods,
                    self.world.server.collect_garbage,
                    self._tick,
                    self._crash,
                    self._delete_pod,
                    self._edit,
                ],
                weights=[30, 15, 15, 15, 2, 5, 4, 1, 8],
            )[0]()
            for _ in range(self.rng.randint(0, 4)):
                await asyncio.sleep(0)
            self.checker.check()
        await self._rest()

    def _tick(self) -> None:
        self.world.now += timedelta(seconds=self.rng.choice([0.4, 3, 11]))

    def _crash(self) -> None:
        place = self.rng.randrange(2)
        if work := self.operators[place].work:
            work.cancel()
        self.operators[place] = Operator(self.world, self.rng)

    def _delete_pod(self) -> None:
        if pods := self.world.pods():
            metadata = self.rng.choice(pods)["metadata"]
            self.checker.deleted.add(metadata["uid"])
            with suppress(NotFound):
                self.world.server.delete_now(PODS, Key(NAMESPACE, metadata["name"]))

    def _edit(self) -> None:
        match self.rng.randrange(4):
            case 0:
                self.world.edit("night", suspend=self.rng.random() < 0.5)
            case 1:
                self.world.edit("night", maxConcurrent=self.rng.randint(1, 3))
            case _:
                self.world.edit("night", tasks=self._tasks(self.rng.choice(["v1", "v2"])))

    async def _rest(self) -> None:
        self.world.edit("night", suspend=False)
        for operator in self.operators:
            operator.wire.faulty = False
            await operator.finish()
        for _ in range(ROUNDS_TO_REST):
            before = self.world.server.storage.version
            for operator in self.operators:
                operator.controller.sync()
                operator.begin()
                await operator.finish()
            self.world.kubelet.run_pods()
            self.world.server.collect_garbage()
            self.world.now += timedelta(seconds=6)
            self.checker.check()
            if self.world.server.storage.version == before:
                break
        else:
            pytest.fail("no rest")
        self._check_end()

    def _check_end(self) -> None:
        obj = self.world.get("night")
        rows = {row["name"]: row for row in obj["status"]["tasks"]}
        for name, needs in self.edges.items():
            phase = rows[name]["phase"]
            if any(rows[need]["phase"] != "Succeeded" for need in needs):
                assert phase == "Skipped"
            elif name in self.fails:
                assert phase == "Failed"
            elif rows[name].get("podUID") not in self.checker.deleted:
                assert phase == "Succeeded", rows[name]
        good = all(row["phase"] == "Succeeded" for row in rows.values())
        assert obj["status"]["phase"] == ("Succeeded" if good else "Failed")
        for pod in self.world.pods():
            assert FINALIZER not in pod["metadata"].get("finalizers", ())
            assert not pod["spec"].get("schedulingGates")
        revision = self.world.server.get_now(
            CONTROLLER_REVISIONS, Key(NAMESPACE, obj["status"]["revision"])
        )
        assert revision["data"]["spec"]["tasks"] == obj["spec"]["tasks"]


@pytest.mark.parametrize("batch", range(BATCHES))
def test_whatever_happens_the_promises_hold(batch: int) -> None:
    for seed in range(batch * SEEDS, (batch + 1) * SEEDS):
        try:
            asyncio.run(History(seed).play())
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
