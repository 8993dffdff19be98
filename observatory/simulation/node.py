"""The rest of a cluster: scheduler, kubelet and garbage collector, each acting in its own time."""

from __future__ import annotations

from collections.abc import Mapping

from observatory.api.jitter import fraction
from observatory.api.names import LABEL_ATTEMPT, LABEL_TASK, NAMESPACES, OBSERVATORIES, PODS, Key
from observatory.api.types import JsonObject
from observatory.simulation.apiserver import ApiServer
from observatory.simulation.kubelet import End, Kubelet, Stage, stage
from observatory.simulation.loop import VirtualLoop
from observatory.simulation.scenario import Ending
from observatory.simulation.storage import Entry

_SECONDS = {Stage.BIND: 0.005, Stage.START: 0.05, Stage.KILL: 0.2, Stage.REMOVE: 0.01}
"""How long each stage takes, up to twice as long."""
_COLLECT_SECONDS = 0.05


class Node:
    """Moves Pods on after each of their writes, and collects garbage after deletions."""

    def __init__(
        self, loop: VirtualLoop, server: ApiServer, endings: Mapping[str, Ending], seed: int
    ) -> None:
        self._loop = loop
        self._server = server
        self._endings = endings
        self._seed = seed
        self._stalled_until = 0.0
        self.kubelet = Kubelet(server, self._end)
        server.storage.changed.append(self._see)

    def stall(self, seconds: float) -> None:
        """Do nothing for so long."""
        self._stalled_until = max(self._stalled_until, self._loop.time() + seconds)

    def _see(self, entry: Entry) -> None:
        if entry.resource == PODS and entry.new is not None:
            next_stage = stage(entry.new)
            if next_stage is not Stage.REST:
                uid = entry.new["metadata"]["uid"]
                seconds = self._seconds(entry.new, next_stage, entry.version)
                self._loop.call_later(seconds, self._act, entry.key, uid, next_stage)
        elif entry.resource in (OBSERVATORIES, NAMESPACES) and (
            entry.new is None or "deletionTimestamp" in entry.new["metadata"]
        ):
            self._loop.call_later(_COLLECT_SECONDS, self._server.collect_garbage)

    def _seconds(self, pod: JsonObject, next_stage: Stage, version: int) -> float:
        if next_stage is Stage.END:
            return self._ending(pod).seconds
        return _SECONDS[next_stage] * (1 + fraction(self._seed, version))

    def _act(self, key: Key, uid: str, wanted: Stage) -> None:
        if (left := self._stalled_until - self._loop.time()) > 0:
            self._loop.call_later(left, self._act, key, uid, wanted)
            return
        pod = self._server.storage.get(PODS, key)
        # Each write of a Pod brings its own step: only the one for what is still to do counts.
        if pod is not None and pod["metadata"]["uid"] == uid and stage(pod) is wanted:
            self.kubelet.step(key, pod)

    def _ending(self, pod: JsonObject) -> Ending:
        task = pod["metadata"].get("labels", {}).get(LABEL_TASK, "")
        return self._endings.get(task, _DEFAULT)

    def _end(self, pod: JsonObject) -> End | None:
        ending = self._ending(pod)
        attempt = int(pod["metadata"].get("labels", {}).get(LABEL_ATTEMPT, "1"))
        if ending.fails is not None and attempt > ending.fails:
            return End()
        return End(ending.exit_code, ending.reason)


_DEFAULT = Ending()
