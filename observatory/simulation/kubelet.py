"""A scheduler and a kubelet in one: binds Pods that have no gate, runs and ends their container."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from observatory.api.names import PODS, Key
from observatory.api.types import JsonObject
from observatory.simulation.apiserver import ApiServer

EXIT_SIGTERM = 143


@dataclass(frozen=True, slots=True)
class End:
    """How a container ends by itself."""

    exit_code: int = 0
    reason: str | None = None
    message: str | None = None


class Stage(StrEnum):
    """What happens next to a Pod."""

    BIND = "bind"
    START = "start"
    END = "end"
    KILL = "kill"
    REMOVE = "remove"
    REST = "rest"


def stage(pod: JsonObject) -> Stage:
    """What happens next to a Pod; nothing, while somebody else has to act."""
    metadata, spec, phase = pod["metadata"], pod["spec"], pod["status"]["phase"]
    deleting = "deletionTimestamp" in metadata
    if phase in ("Succeeded", "Failed"):
        held = metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds")
        return Stage.REMOVE if deleting and spec.get("nodeName") and not held else Stage.REST
    if spec.get("schedulingGates"):
        return Stage.REST
    if "nodeName" not in spec:
        return Stage.REST if deleting else Stage.BIND
    if deleting:
        return Stage.KILL
    return Stage.START if phase == "Pending" else Stage.END


class Kubelet:
    """Moves Pods from stage to stage, one at each call of `step`.

    `end` says for a running Pod how its container ends, or None while it goes on. `starts`
    counts the starts of containers per Pod name and UID: the promise is that it never exceeds one
    per name.
    """

    def __init__(
        self, server: ApiServer, end: Callable[[JsonObject], End | None] = lambda _: End()
    ) -> None:
        self._server = server
        self._end = end
        self.starts: Counter[tuple[str, str]] = Counter()

    def run_pods(self) -> int:
        """One step for each Pod; the number of Pods that moved."""
        return sum(self.step(key, pod) for key, pod in self._server.storage.items(PODS, None))

    def run_until_idle(self) -> None:
        """Steps until no Pod moves."""
        while self.run_pods():
            pass

    def step(self, key: Key, pod: JsonObject) -> bool:
        """Move a Pod, as it is stored, one stage on; whether it moved."""
        match stage(pod):
            case Stage.BIND:
                pod["spec"]["nodeName"] = "node"
                pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
            case Stage.START:
                self.starts[key.name, pod["metadata"]["uid"]] += 1
                pod["status"] |= {"phase": "Running", "startTime": self._server.time()}
                self._set_state(pod, {"running": {"startedAt": self._server.time()}})
            case Stage.END:
                end = self._end(pod)
                if end is None:
                    return False
                self._finish(pod, end)
            case Stage.KILL:
                running = pod["status"]["phase"] == "Running"
                self._finish(pod, End(EXIT_SIGTERM) if running else None)
            case Stage.REMOVE:
                # The kubelet's own DELETE without grace; a finalizer still holds the Pod.
                self._server.delete_now(PODS, key)
                return True
            case Stage.REST:
                return False
        self._server.storage.put(PODS, key, pod)
        return True

    def finish(self, key: Key, pod: JsonObject, end: End) -> None:
        """Report how the container of a running Pod has ended."""
        self._finish(pod, end)
        self._server.storage.put(PODS, key, pod)

    def _finish(self, pod: JsonObject, end: End | None) -> None:
        pod["status"]["phase"] = "Succeeded" if end is not None and not end.exit_code else "Failed"
        if end is not None:  # None: it never started
            ended = {
                "exitCode": end.exit_code,
                "reason": end.reason or ("Error" if end.exit_code else "Completed"),
                "startedAt": pod["status"].get("startTime"),
                "finishedAt": self._server.time(),
            }
            self._set_state(
                pod, {"terminated": ended | ({"message": end.message} if end.message else {})}
            )

    @staticmethod
    def _set_state(pod: JsonObject, state: JsonObject) -> None:
        pod["status"]["containerStatuses"] = [
            {"name": container["name"], "state": state, "restartCount": 0, "ready": False}
            for container in pod["spec"]["containers"]
        ]
