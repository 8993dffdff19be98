"""A scheduler and a kubelet in one: binds Pods that have no gate, runs and ends their container."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from observatory.api.names import PODS, Key
from observatory.api.types import JsonObject
from observatory.simulation.apiserver import ApiServer

EXIT_SIGTERM = 143
_TIME = "2026-01-01T00:00:00Z"


def succeed(_: JsonObject) -> int | None:
    """The script of a container that ends well."""
    return 0


class Kubelet:
    """Moves every Pod one step at each call of `run_pods`.

    `exit_code` says for a running Pod how its container ends, or None while it goes on. `starts`
    counts the starts of containers per Pod name and UID: the promise is that it never exceeds one
    per name.
    """

    def __init__(
        self, server: ApiServer, exit_code: Callable[[JsonObject], int | None] = succeed
    ) -> None:
        self._server = server
        self._exit_code = exit_code
        self.starts: Counter[tuple[str, str]] = Counter()

    def run_pods(self) -> int:
        """One step for each Pod; the number of Pods that moved."""
        return sum(self._step(key, pod) for key, pod in self._server.storage.items(PODS, None))

    def run_until_idle(self) -> None:
        """Steps until no Pod moves."""
        while self.run_pods():
            pass

    def _step(self, key: Key, pod: JsonObject) -> bool:
        if pod["spec"].get("schedulingGates"):
            return False
        phase = pod["status"]["phase"]
        deleting = "deletionTimestamp" in pod["metadata"]
        if "nodeName" not in pod["spec"]:
            return not deleting and self._bind(key, pod)
        if phase in {"Succeeded", "Failed"}:
            return deleting and self._gone(key, pod)
        if deleting:
            return self._finish(key, pod, EXIT_SIGTERM if phase == "Running" else None)
        if phase == "Pending":
            return self._start(key, pod)
        code = self._exit_code(pod)
        return code is not None and self._finish(key, pod, code)

    def _bind(self, key: Key, pod: JsonObject) -> bool:
        pod["spec"]["nodeName"] = "node"
        pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
        self._server.storage.put(PODS, key, pod)
        return True

    def _start(self, key: Key, pod: JsonObject) -> bool:
        self.starts[key.name, pod["metadata"]["uid"]] += 1
        pod["status"] |= {"phase": "Running", "startTime": _TIME}
        pod["status"]["containerStatuses"] = self._statuses(pod, {"running": {"startedAt": _TIME}})
        self._server.storage.put(PODS, key, pod)
        return True

    def _finish(self, key: Key, pod: JsonObject, code: int | None) -> bool:
        pod["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
        if code is not None:  # None: it never started
            ended = {
                "exitCode": code,
                "reason": "Completed" if code == 0 else "Error",
                "startedAt": _TIME,
                "finishedAt": _TIME,
            }
            pod["status"]["containerStatuses"] = self._statuses(pod, {"terminated": ended})
        self._server.storage.put(PODS, key, pod)
        return True

    def _gone(self, key: Key, pod: JsonObject) -> bool:
        """The kubelet's own DELETE without grace; a finalizer still holds the Pod."""
        if pod["metadata"].get("finalizers") and not pod["metadata"]["deletionGracePeriodSeconds"]:
            return False
        self._server.delete_now(PODS, key)
        return True

    @staticmethod
    def _statuses(pod: JsonObject, state: JsonObject) -> list[JsonObject]:
        return [
            {"name": container["name"], "state": state, "restartCount": 0, "ready": False}
            for container in pod["spec"]["containers"]
        ]
