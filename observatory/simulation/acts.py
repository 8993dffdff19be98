"""What others than the operator do to the objects of a history: people, kubelets, policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from observatory.api.names import (
    API_VERSION,
    GROUP,
    KIND,
    LABEL_TASK,
    OBSERVATORIES,
    PODS,
    TASK_CONTAINER,
    Key,
    Resource,
    pod_name,
    revision_hash,
)
from observatory.api.requester import Requester
from observatory.api.types import JsonObject
from observatory.core.schedule import is_scheduled
from observatory.kube.api import PatchKind
from observatory.kube.errors import ApiError, Forbidden, Invalid, NotFound
from observatory.simulation.apiserver import ApiServer
from observatory.simulation.scenario import Fault

NAMESPACE = "default"
NAME = "night"
KEY = Key(NAMESPACE, NAME)
_HOLDS = "example.com/holds"


class Acts:
    """Does to the objects what a fault says. `touched` tells whose outcome may be another now."""

    def __init__(
        self, server: ApiServer, spec: JsonObject, requester: Requester | None = None
    ) -> None:
        """`requester` is who is recorded as the one who asked for it, if anybody is."""
        self._server = server
        self._requester = requester
        self._deprovisioned = False
        server.allows = lambda _: not self._deprovisioned
        self._spec = spec
        self._scheduled = is_scheduled(spec)
        self._winding_down = False
        self._quota: int | None = None
        self._denies = False
        self._squatters: list[Key] = []
        self.touched: set[str] = set()
        self.asked: set[str] = set()
        """What was asked for by annotations."""
        """The tasks whose Pods were tampered with."""
        self.excused: set[str] = set()
        """The UIDs of Pods that were taken out of the operator's hands."""
        self.edited = False
        """The spec may be another one than the scenario's, and not even a valid one."""
        self.deleted = False
        """The Observatory was deleted, and not made again."""
        self.was_denied = False
        server.admission.append(self._admit)
        self._acts: Mapping[str, Callable[[Fault], None]] = {
            "delete-pod": self._on_pod(self._delete),
            "force-delete-pod": self._on_pod(self._force),
            "strip-pod": self._on_pod(self._strip),
            "evict-pod": self._on_pod(self._evict),
            "flip-pod": self._on_pod(self._flip),
            "squat": self._squat,
            "edit": lambda fault: self.edit(fault.value),
            "ask": self._ask,
            "ask-run": self._on_run(self._ask_run),
            "delete-run": self._on_run(lambda key, _: self._server.delete_now(OBSERVATORIES, key)),
            "touch": self._touch,
            "delete": self._delete_observatory,
            "recreate": self._recreate,
            "quota": self._set_quota,
            "deny": self._set_denial,
            "deprovision": self._deprovision,
        }

    def do(self, fault: Fault) -> bool:
        """Do it, if it is one of these acts; whether it is. What is refused is left undone."""
        act = self._acts.get(fault.do)
        if act is None:
            return False
        with suppress(ApiError):  # people try what the server does not allow
            act(fault)
        return True

    def create(self) -> None:
        """Make the Observatory."""
        metadata: JsonObject = {"name": NAME}
        if self._requester:  # as the admission policy writes them
            metadata["annotations"] = self._requester.annotations()
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata}
        self._server.create_now(OBSERVATORIES, NAMESPACE, {**body, "spec": self._spec})
        self.deleted = False

    def edit(self, spec: Any) -> None:  # noqa: ANN401 - JSON
        """Merge into the spec."""
        self.edited = True
        self._merge({"spec": {**spec, "suspend": True} if self._winding_down else spec})

    def wind_down(self) -> None:
        """Suspend a schedule for good."""
        self._winding_down = True
        self.edit({})

    def heal(self) -> bool:
        """Take back what keeps a run from going on; whether there was something."""
        hindered = self._quota is not None or self._denies or bool(self._squatters)
        self._quota, self._denies, self._deprovisioned = None, False, False
        while self._squatters:
            with suppress(NotFound):
                self._server.delete_now(PODS, self._squatters.pop())
        stored = self._server.storage.get(OBSERVATORIES, KEY)
        if stored is not None and stored["spec"].get("suspend") and not self._scheduled:
            self.edit({"suspend": False})
            return True
        return hindered

    def _merge(self, patch: JsonObject, key: Key = KEY) -> None:
        # As kubectl does it: without a version, the server looks for itself.
        stored = self._server.get_now(OBSERVATORIES, key)
        version = {"metadata": {"resourceVersion": stored["metadata"]["resourceVersion"]}}
        patch = {**patch, "metadata": {**patch.get("metadata", {}), **version["metadata"]}}
        self._server.patch_now(OBSERVATORIES, key, patch, kind=PatchKind.MERGE)

    def _ask(self, fault: Fault) -> None:
        self.asked.add(fault.what)
        nonce = str(len(self.asked) + self._server.storage.version)
        self._merge({"metadata": {"annotations": {f"{GROUP}/{fault.what}": nonce}}})

    def _on_run(self, act: Callable[[Key, Fault], object]) -> Callable[[Fault], None]:
        """The act on the newest run of the schedule, if it has one."""

        def on_run(fault: Fault) -> None:
            found = [
                (int(item["metadata"]["resourceVersion"]), key)
                for key, item in self._server.storage.items(OBSERVATORIES, NAMESPACE)
                if key != KEY
            ]
            if found:
                act(max(found)[1], fault)

        return on_run

    def _ask_run(self, key: Key, fault: Fault) -> None:
        nonce = str(self._server.storage.version)
        patch: JsonObject = {"metadata": {"annotations": {f"{GROUP}/{fault.what}": nonce}}}
        self._merge(patch, key)

    def _touch(self, fault: Fault) -> None:
        self._merge({"metadata": {"labels": {"touched": str(fault.value)}}})

    def _delete_observatory(self, fault: Fault) -> None:
        if fault.what == "held":
            self._merge({"metadata": {"finalizers": [_HOLDS]}})
        self._server.delete_now(OBSERVATORIES, KEY)
        self.deleted = True

    def _recreate(self, fault: Fault) -> None:
        if self._server.storage.get(OBSERVATORIES, KEY) is not None:
            self._delete_observatory(fault)
        self.create()

    def _squat(self, fault: Fault) -> None:
        stored = self._server.get_now(OBSERVATORIES, KEY)
        status = stored.get("status") or {}
        rows = {row["name"]: row for row in status.get("tasks") or ()}
        if fault.what not in rows:
            return  # its name is not decided before the run has begun
        name = pod_name(
            NAME,
            uid=stored["metadata"]["uid"],
            run=status["run"],
            revision=revision_hash(status["revision"]),
            task=fault.what,
            attempt=rows[fault.what].get("attempt", 0) + 1,
        )
        spec = {"containers": [{"name": TASK_CONTAINER, "image": "squatter"}]}
        self._server.create_now(PODS, NAMESPACE, {"metadata": {"name": name}, "spec": spec})
        self._squatters.append(Key(NAMESPACE, name))

    def _set_quota(self, fault: Fault) -> None:
        self._quota = fault.value if isinstance(fault.value, int) else None

    def _set_denial(self, fault: Fault) -> None:
        self._denies = bool(fault.value)

    def _deprovision(self, fault: Fault) -> None:
        self._deprovisioned = bool(fault.value)

    def _admit(self, resource: Resource, item: JsonObject) -> None:
        if resource != PODS:
            return
        name = item["metadata"]["name"]
        if self._denies:
            self.was_denied = True
            raise Invalid(422, "Invalid", f'pods "{name}" is forbidden: denied request: no')
        if self._quota is not None:
            pods = self._server.storage.items(PODS, NAMESPACE)
            used = sum(pod["status"]["phase"] in ("Pending", "Running") for _, pod in pods)
            if used >= self._quota:
                text = f'pods "{name}" is forbidden: exceeded quota: q, requested: pods=1'
                raise Forbidden(403, "Forbidden", text)

    def _on_pod(self, act: Callable[[Key, JsonObject], None]) -> Callable[[Fault], None]:
        """The act on the newest Pod of the task that the fault names, if it has one."""

        def on_pod(fault: Fault) -> None:
            found = [
                (key, pod)
                for key, pod in self._server.storage.items(PODS, NAMESPACE)
                if pod["metadata"].get("labels", {}).get(LABEL_TASK) == fault.what
            ]
            if found:
                self.touched.add(fault.what)
                act(*max(found, key=lambda each: int(each[1]["metadata"]["resourceVersion"])))

        return on_pod

    def _delete(self, key: Key, _: JsonObject) -> None:
        self._server.delete_now(PODS, key)

    def _force(self, key: Key, pod: JsonObject) -> None:
        if not pod["metadata"].get("finalizers"):
            self._server.storage.remove(PODS, key)
            return
        pod["metadata"] |= {
            "deletionTimestamp": self._server.time(),
            "deletionGracePeriodSeconds": 0,
        }
        self._server.storage.put(PODS, key, pod)

    def _strip(self, key: Key, pod: JsonObject) -> None:
        self.excused.add(pod["metadata"]["uid"])
        self._server.storage.remove(PODS, key)

    def _evict(self, key: Key, pod: JsonObject) -> None:
        if pod["status"]["phase"] not in ("Pending", "Running") or "nodeName" not in pod["spec"]:
            return
        pod["status"] = {
            "phase": "Failed",
            "reason": "Evicted",
            "message": "The node was low on resource: memory.",
            "conditions": [{"type": "DisruptionTarget", "status": "True"}],
        }
        self._server.storage.put(PODS, key, pod)
        self._server.delete_now(PODS, key)

    def _flip(self, key: Key, pod: JsonObject) -> None:
        other = {"Succeeded": "Failed", "Failed": "Succeeded"}.get(pod["status"]["phase"])
        if other:
            pod["status"]["phase"] = other
            self._server.storage.put(PODS, key, pod)
