"""One Observatory world in memory: server, kubelet, caches and a reconciler, under a clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from observatory.api.limits import NO_LIMITS, Limits
from observatory.api.names import (
    API_VERSION,
    KIND,
    LABEL_OBSERVATORY,
    LABEL_TASK,
    OBSERVATORIES,
    PODS,
    Key,
)
from observatory.api.types import JsonObject
from observatory.core.model import Event
from observatory.core.pods import observe
from observatory.kube.api import Api
from observatory.kube.errors import KubeError
from observatory.runtime.cache import Cache, trim
from observatory.runtime.observer import Observer
from observatory.runtime.reconciler import Reconciler, Result
from observatory.runtime.shares import Shares
from observatory.simulation.apiserver import ApiServer
from observatory.simulation.kubelet import End, Kubelet
from observatory.telemetry.metrics import Metrics

NAMESPACE = "default"
KEY = Key(NAMESPACE, "night")


def observatory(name: str, *tasks: JsonObject, **spec: object) -> JsonObject:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"tasks": list(tasks), "podRetention": "All", **spec},
    }


def task(name: str, *dependencies: str, **fields: object) -> JsonObject:
    made: JsonObject = {"name": name, "image": "busybox:1.36", **fields}
    if dependencies:
        made["dependencies"] = list(dependencies)
    return made


class Controller:
    """One operator process: caches that see only what `sync` shows them."""

    def __init__(
        self,
        world: World,
        api: Api | None = None,
        observer: Observer | None = None,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self._world = world
        self.cache = Cache([])
        self.events: list[Event] = []
        self.called: list[Key] = []
        self.shares = Shares(limits, self.called.extend)
        self.reconciler = Reconciler(
            api or world.server,
            self.cache,
            now=lambda: world.now,
            record=self._record,
            observer=observer or Observer(Metrics().workflows, None),
            shares=self.shares,
        )

    def _record(self, _: JsonObject, event: Event) -> None:
        self.events.append(event)

    def sync(self, *, pods: bool = True, observatories: bool = True) -> None:
        """Let the caches see the world as it is."""
        scope = self.cache.scope(NAMESPACE)
        storage = self._world.server.storage
        version = storage.version
        if observatories:
            seen = [trim(item) for _, item in storage.items(OBSERVATORIES, None)]
            self.shares.saw(scope.observatories.replace(seen, version))
        if pods:
            seen = [item for _, item in storage.items(PODS, None)]
            labelled = [pod for pod in seen if LABEL_OBSERVATORY in pod["metadata"]["labels"]]
            scope.pods.replace(map(observe, labelled), version)

    def reconcile(self, name: str) -> Result:
        return asyncio.run(self.reconciler.reconcile(Key(NAMESPACE, name)))


class World:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.exit_codes: dict[str, int | None] = {}
        self.server = ApiServer(lambda: self.now)
        self.kubelet = Kubelet(self.server, self._end)
        self.controller = Controller(self)
        self.errors: list[KubeError] = []

    def _end(self, pod: JsonObject) -> End | None:
        code = self.exit_codes.get(pod["metadata"]["labels"].get(LABEL_TASK, ""), 0)
        return None if code is None else End(code)

    def apply(self, obj: JsonObject) -> JsonObject:
        return self.server.create_now(OBSERVATORIES, NAMESPACE, obj)

    def edit(self, name: str, **spec: object) -> None:
        stored = self.get(name)
        stored["spec"] |= spec
        self.server.replace_now(OBSERVATORIES, Key(NAMESPACE, name), stored)

    def get(self, name: str) -> JsonObject:
        return self.server.get_now(OBSERVATORIES, Key(NAMESPACE, name))

    def status(self, name: str) -> JsonObject:
        status: JsonObject = self.get(name).get("status") or {}
        return status

    def phases(self, name: str) -> dict[str, str]:
        return {row["name"]: row["phase"] for row in self.status(name).get("tasks", ())}

    def pods(self) -> list[JsonObject]:
        return [pod for _, pod in self.server.storage.items(PODS, NAMESPACE)]

    def pod_of(self, task_name: str) -> JsonObject:
        """The one Pod of a task."""
        (pod,) = (pod for pod in self.pods() if pod["metadata"]["labels"][LABEL_TASK] == task_name)
        return pod

    def step(self, name: str, controller: Controller | None = None) -> Result:
        """The caches catch up, then one reconcile."""
        controller = controller or self.controller
        controller.sync()
        return controller.reconcile(name)

    def run(self, name: str, rounds: int = 50) -> None:
        """Reconcile and let the Pods run, until nothing changes any more and nothing fails."""
        for _ in range(rounds):
            before, failures = self.server.storage.version, len(self.errors)
            self.round(name)
            if (self.server.storage.version, len(self.errors)) == (before, failures):
                return
        raise AssertionError(f"no rest after {rounds} rounds")

    def round(self, name: str) -> None:
        """One step of everybody; what fails comes back in the next round."""
        try:
            self.step(name)
        except KubeError as error:
            self.errors.append(error)
        self.kubelet.run_pods()
        self.server.collect_garbage()
        self.now += timedelta(seconds=1)

    def change_pod(self, task_name: str, change: Callable[[JsonObject], None]) -> None:
        """Somebody else changes the Pod of a task."""
        pod = self.pod_of(task_name)
        change(pod)
        self.server.storage.put(PODS, Key(NAMESPACE, pod["metadata"]["name"]), pod)

    def delete_pod(self, task_name: str) -> None:
        name = self.pod_of(task_name)["metadata"]["name"]
        self.server.delete_now(PODS, Key(NAMESPACE, name))

    def row(self, name: str, task_name: str) -> JsonObject:
        """The row of a task in the stored status."""
        (row,) = (row for row in self.status(name)["tasks"] if row["name"] == task_name)
        return dict(row)

    def held(self) -> list[str]:
        """The Pods that have our finalizer, or still our gate."""
        return [
            pod["metadata"]["name"]
            for pod in self.pods()
            if pod["metadata"].get("finalizers") or pod["spec"].get("schedulingGates")
        ]

    def writes(self) -> list[str]:
        """The controller's writes so far, as `verb resource[/subresource]`."""
        return [
            f"{request.verb} {request.resource.plural}"
            + (f"/{request.subresource}" if request.subresource else "")
            for request in self.server.requests
            if request.verb in {"create", "update", "patch", "delete"}
        ]


CHAIN = (task("a"), task("b", "a"), task("c", "b"))


def world_of(*tasks: JsonObject, **spec: object) -> World:
    world = World()
    world.apply(observatory("night", *(tasks or CHAIN), **spec))
    return world


def assert_succeeded(world: World) -> None:
    """The run is at its right end, nothing started twice, nothing is held, nothing is written."""
    assert world.status("night")["phase"] == "Succeeded"
    assert len(world.kubelet.starts) == len(world.status("night")["tasks"])
    assert set(world.kubelet.starts.values()) == {1}
    assert_at_rest(world)


def assert_at_rest(world: World) -> None:
    assert world.held() == []
    before = len(world.writes())
    world.step("night", Controller(world))
    world.now += timedelta(hours=1)
    world.step("night", Controller(world))
    assert world.writes()[before:] == []


def started(world: World, *, running: bool = True) -> World:
    """The first task is recorded, and its container runs or not yet."""
    world.exit_codes["a"] = None
    for _ in range(3 if running else 1):
        world.round("night") if running else world.step("night")
    return world
