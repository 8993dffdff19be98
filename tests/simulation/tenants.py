"""Many runs of several namespaces under one real operator, in virtual time, within limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta

from observatory.api.limits import Limits
from observatory.api.names import (
    API_VERSION,
    KIND,
    LABEL_OBSERVATORY,
    NAMESPACES,
    OBSERVATORIES,
    PODS,
    Key,
)
from observatory.api.types import JsonObject
from observatory.kube.errors import KubeError
from observatory.simulation.apiserver import ApiServer, Request
from observatory.simulation.loop import virtual_loop
from observatory.simulation.node import Node
from observatory.simulation.process import EPOCH, Process
from observatory.simulation.scenario import Ending
from observatory.simulation.storage import Entry
from observatory.simulation.wire import Wire

ENDED = frozenset({"Succeeded", "Failed"})


def task(name: str, *dependencies: str) -> JsonObject:
    made: JsonObject = {"name": name, "image": "i"}
    return {**made, "dependencies": list(dependencies)} if dependencies else made


class _Steady(Wire):
    """A wire on which everything takes the same time: what is measured is nobody's luck."""

    def _latency(self) -> float:
        return 0.002


class Tenants:
    """A cluster, its operator, and the most active Pods that were ever seen."""

    def __init__(
        self,
        limits: Limits,
        endings: Mapping[str, Ending] | None = None,
        *,
        workers: int = 16,
        seed: int = 0,
        steady: bool = False,
    ) -> None:
        self.loop = loop = virtual_loop()
        self.server = ApiServer(lambda: EPOCH + timedelta(seconds=loop.time()))
        self.started: list[tuple[str, str]] = []
        """Namespace and Observatory of each Pod, in the order in which they were let start."""
        self.most: Counter[str] = Counter()
        """The most Pods that were active at once: of each namespace, and of all under ''."""
        self.ended: set[Key] = set()
        """Runs that have come to their end."""
        self._active: dict[Key, bool] = {}
        self._now: Counter[str] = Counter()
        self._seed = seed
        self._wire = _Steady if steady else Wire
        self._numbers = [0]
        self.server.storage.changed.append(self._see)
        Node(loop, self.server, endings or {}, seed)
        self.process = Process(
            "a",
            loop,
            self._connect,
            leader_election=False,
            tell=lambda *_: None,
            workers=workers,
            limits=limits,
        )

    def apply(self, namespace: str, name: str, *tasks: JsonObject, **spec: object) -> Key:
        if self.server.storage.get(NAMESPACES, Key("", namespace)) is None:
            self.server.create_now(NAMESPACES, "", {"metadata": {"name": namespace}})
        made = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"tasks": list(tasks), **spec},
        }
        self.server.create_now(OBSERVATORIES, namespace, made)
        return Key(namespace, name)

    def delete(self, key: Key) -> None:
        self.server.delete_now(OBSERVATORIES, key)

    def get(self, key: Key) -> JsonObject | None:
        return self.server.storage.get(OBSERVATORIES, key)

    def waits(self, key: Key) -> list[str]:
        """What a run waits for."""
        status = (self.get(key) or {}).get("status") or {}
        return [wait["reason"] for wait in status.get("waitingFor", ())]

    def run_until(self, reached: Callable[[], bool], seconds: float = 600) -> None:
        """Let time pass until that is reached; fail where it takes too long."""
        end = self.loop.time() + seconds
        self.loop.run_while(lambda: not reached() and self.loop.time() < end)
        assert reached(), f"not reached within {seconds} s"

    def run_until_started(self, key: Key) -> None:
        """Let time pass until a run may start its first Pod."""
        before = len(self.started)
        self.run_until(lambda: tuple(key) in self.started[before:])

    def run_for(self, seconds: float) -> None:
        end = self.loop.time() + seconds
        self.loop.run_while(lambda: self.loop.time() < end)

    def close(self) -> None:
        self.process.end()
        self.loop.close()
        assert (self.process.panics.count, self.process.failures, self.loop.crashes) == (0, [], [])

    def _connect(self, identity: str) -> Wire:
        seed = f"{self._seed}/{identity}"
        return self._wire(
            "a", self.loop, self.server, seed=seed, numbers=self._numbers, observer=self
        )

    def _see(self, entry: Entry) -> None:
        if entry.resource == OBSERVATORIES:
            over = entry.new is None or "completionTime" in (entry.new.get("status") or {})
            (self.ended.add if over else self.ended.discard)(entry.key)
        if entry.resource != PODS:
            return
        space = entry.key.namespace
        active, before = _active(entry.new), self._active.pop(entry.key, False)
        if active and not before and entry.new is not None:
            self.started.append((space, entry.new["metadata"]["labels"][LABEL_OBSERVATORY]))
        if active:
            self._active[entry.key] = True
        for name in (space, ""):
            self._now[name] += active - before
            self.most[name] = max(self.most[name], self._now[name])

    # See `wire.Observer`.

    def sent(self, wire: Wire, request: Request, number: int) -> None:
        pass

    def served(self, wire: Wire, number: int, error: KubeError | None) -> None:
        pass


def _active(pod: JsonObject | None) -> bool:
    """Whether a Pod has been let start and has not ended: its gate is gone."""
    if pod is None or pod["spec"].get("schedulingGates"):
        return False
    bound = pod["spec"].get("nodeName") or "deletionTimestamp" not in pod["metadata"]
    return bool(bound) and (pod.get("status") or {}).get("phase") not in ENDED
