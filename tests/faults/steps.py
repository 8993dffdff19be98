"""What users, nodes and other writers do while a case runs: each step waits, then acts.

`when` is one of

    {"task": "a", "phase": "Running"}   the row of a task has that phase
    {"pod": "a", "is": "running"}       its Pod has come so far: gated, released, running, ended,
                                        let-go or gone
    {"ended": 1}                        that run has ended
    {"leader": true}                    somebody holds the lease
    {"after": 0.5}                      so many seconds have passed since the step before

`do` is one of

    {"merge": {"spec": {...}}}          edit the Observatory
    {"delete": "Background"}            delete it; or Foreground, Orphan
    {"create": {...}}                   create it, with that spec, as soon as its name is free
    {"delete-pod": "a", "force": true}  delete the Pod of a task
    {"status-of-pod": "a", "set": {..}} write the status of that Pod
    {"patch-pod": "a", "merge": {...}}  patch that Pod otherwise
    {"strip-pod": "b"}                  take its finalizers away and delete it at once
    {"squat": "b", "as": "stranger"}    take the name of its next Pod; or as "gated", "copy"
    {"leave": true}                     and give it back
    {"tamper": {...}}                   merge something into the Observatory's status
    {"lease": {...}}                    merge something into the lease; null deletes it
    {"remove": "resourcequotas/small"}  delete an object of the namespace
    {"apply": {...}}                    create an object, see `paths`
    {"delete-namespace": true}
    {"labels": {"a": "b"}}              label the namespace; null takes a label away
    {"cluster": ["kill", "etcd"]}       see `disruptions.py`
    {"nothing": true}
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from observatory.api.names import (
    API_VERSION,
    FINALIZER,
    GATE,
    KIND,
    LABEL_ATTEMPT,
    LABEL_OBSERVATORY,
    LABEL_REVISION,
    LABEL_RUN,
    LABEL_TASK,
    pod_name,
    revision_hash,
)
from tests.faults.case import NAME
from tests.faults.disruptions import disrupt
from tests.faults.recorder import Recorder, State
from tests.faults.site import Site
from tests.faults.upstream import MERGE_PATCH, Upstream

JsonObject = dict[str, Any]
LEASE = "observatory-operator"
_PATHS = {
    "ResourceQuota": "/api/v1/namespaces/{}/resourcequotas",
    "LimitRange": "/api/v1/namespaces/{}/limitranges",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Observatory": f"/apis/{API_VERSION}/namespaces/{{}}/observatories",
}


class StepError(Exception):
    """A step could not be taken: the case is of no use as it is."""


@dataclass(slots=True)
class Steps:
    """Takes the steps of a case in its namespace."""

    upstream: Upstream
    recorder: Recorder
    namespace: str
    site: Site | None = None
    patience: float = 60.0
    tampered: list[int] = field(default_factory=list)
    """The versions of writes that only an operator should make."""
    squatters: list[str] = field(default_factory=list)
    """The UIDs of Pods that were made here: no status may ever record one."""

    flipped: list[str] = field(default_factory=list)
    """The UIDs of Pods whose status was written here, and not by their node."""
    _names: list[str] = field(default_factory=list)

    @property
    def _state(self) -> State:
        return self.recorder.state[self.namespace]

    async def take(self, step: JsonObject) -> None:
        """Wait for its time, then do it."""
        when = step.get("when", {})
        if "after" in when:
            await asyncio.sleep(when["after"])
        elif when and not await self.recorder.until(self.namespace, condition(when), self.patience):
            raise StepError(f"{when} did not come to be")
        await self._do(step["do"])

    def path(self, name: str = NAME) -> str:
        """The path of an Observatory."""
        return f"{_PATHS['Observatory'].format(self.namespace)}/{name}"

    async def create(self, obj: JsonObject) -> JsonObject:
        """Create an object of the namespace."""
        path = _PATHS[obj["kind"]].format(self.namespace)
        return await self.upstream.ask("POST", path, obj)

    async def observe(self, spec: JsonObject) -> JsonObject:
        """Create the Observatory of the case."""
        made = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": NAME}, "spec": spec}
        return await self.create(made)

    async def _do(self, action: JsonObject) -> None:
        match action:
            case {"merge": dict(patch)}:
                await self._merge(self.path(), patch)
            case {"tamper": dict(patch)}:
                answer = await self._merge(f"{self.path()}/status", {"status": patch})
                self._note(answer)
            case {"delete": str(policy)}:
                await self._delete(self.path(), {"propagationPolicy": policy})
            case {"create": dict(spec)}:
                await self.recorder.until(
                    self.namespace,
                    lambda state: ("observatories", NAME) not in state,
                    self.patience,
                )
                await self.observe(spec)
            case {"delete-pod": str(task)}:
                options = {"gracePeriodSeconds": 0} if action.get("force") else {}
                await self._delete(self._pod(task), options)
            case {"strip-pod": str(task)}:
                path = self._pod(task)
                answer = await self._merge(path, {"metadata": {"finalizers": None}})
                self._note(answer)
                await self._delete(path, {"gracePeriodSeconds": 0})
            case {"squat": str(task), "as": str(how)}:
                answer = await self.create(squatter(self._state, task, how))
                self.squatters.append(answer["metadata"]["uid"])
                self._names.append(answer["metadata"]["name"])
            case {"leave": _}:
                for name in self._names:
                    path = _PATHS["Pod"].format(self.namespace)
                    await self._delete(f"{path}/{name}", {"gracePeriodSeconds": 0})
            case {"status-of-pod": str(task), "set": dict(status)}:
                answer = await self._merge(f"{self._pod(task)}/status", {"status": status})
                self.flipped.append(answer.get("metadata", {}).get("uid", ""))
            case {"patch-pod": str(task), "merge": dict(patch)}:
                await self._merge(self._pod(task), patch)
            case {"lease": patch}:
                group = "/apis/coordination.k8s.io/v1"
                path = f"{group}/namespaces/{self.namespace}/leases/{LEASE}"
                if patch is None:
                    await self._delete(path, {})
                else:
                    await self._merge(path, {"spec": patch})
            case {"remove": str(target)}:
                await self._delete(f"/api/v1/namespaces/{self.namespace}/{target}", {})
            case {"apply": dict(obj)}:
                await self.create(obj)
            case {"delete-namespace": _}:
                await self._delete(f"/api/v1/namespaces/{self.namespace}", {})
            case {"labels": dict()}:
                await self._merge(f"/api/v1/namespaces/{self.namespace}", {"metadata": action})
            case {"cluster": [str(what), *rest]} if self.site is not None:
                await disrupt(self.site, what, *rest)
            case {"nothing": _}:
                pass
            case _:
                raise StepError(f"{action}: nobody knows how to do that; see steps.py")

    def _note(self, answer: JsonObject) -> None:
        if answer["httpStatus"] < 300:
            self.tampered.append(int(answer["metadata"]["resourceVersion"]))

    def _pod(self, task: str) -> str:
        pod = pod_of(self._state, task)
        name = pod["metadata"]["name"] if pod else "none"
        return f"/api/v1/namespaces/{self.namespace}/pods/{name}"

    async def _merge(self, path: str, patch: JsonObject) -> JsonObject:
        accept = (404, 409)  # the operator may have been quicker; others meet that too
        return await self.upstream.ask(
            "PATCH", path, patch, content_type=MERGE_PATCH, accept=accept
        )

    async def _delete(self, path: str, options: JsonObject) -> None:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        await self.upstream.ask("DELETE", path, body, accept=(404, 409))


def condition(when: JsonObject) -> Callable[[State], bool]:
    """Whether it is so in what is stored."""
    match when:
        case {"task": str(task), "phase": str(phase)}:
            return lambda state: rows(state).get(task, {}).get("phase") == phase
        case {"pod": str(task), "is": str(how)}:
            return lambda state: _is(pod_of(state, task), how)
        case {"known": _}:
            return lambda state: "nextRunTimes" in status_of(state)
        case {"begun": int(run)}:
            return lambda state: status_of(state).get("latestRun", 0) >= run
        case {"ended": int(run)}:
            return lambda state: _ended(state, run)
        case {"leader": _}:
            return lambda state: bool(
                (state.get(("leases", LEASE), {}).get("spec") or {}).get("holderIdentity")
            )
        case _:
            raise StepError(f"{when}: nobody knows when that is; see steps.py")


def squatter(state: State, task: str, how: str) -> JsonObject:
    """A Pod of the name that the first attempt of a task is going to have."""
    found = state["observatories", NAME]
    uid, status = found["metadata"]["uid"], found["status"]
    revision = revision_hash(status["revision"])
    run = status["run"]
    name = pod_name(NAME, uid=uid, run=run, revision=revision, task=task, attempt=1)
    metadata: JsonObject = {"name": name}
    if how == "copy":
        values = (NAME, task, str(run), "1", revision)
        names = (LABEL_OBSERVATORY, LABEL_TASK, LABEL_RUN, LABEL_ATTEMPT, LABEL_REVISION)
        metadata["labels"] = dict(zip(names, values, strict=True))
        owner = {"apiVersion": API_VERSION, "kind": KIND, "name": NAME, "uid": uid}
        metadata["ownerReferences"] = [{**owner, "controller": True}]
    container = {"name": "task", "image": "x"}
    spec: JsonObject = {"containers": [container], "restartPolicy": "Never"}
    if how == "gated":
        spec["schedulingGates"] = [{"name": GATE}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def status_of(state: State) -> JsonObject:
    """The status of the case's Observatory."""
    found: JsonObject = state.get(("observatories", NAME), {}).get("status") or {}
    return found


def rows(state: State) -> dict[str, JsonObject]:
    """Its rows, by task."""
    return {row["name"]: row for row in status_of(state).get("tasks", ())}


def pods(state: State) -> list[JsonObject]:
    """The Pods of the namespace."""
    return [obj for (plural, _), obj in state.items() if plural == "pods"]


def pod_of(state: State, task: str) -> JsonObject | None:
    """The Pod of a task; the newest, if there are several."""
    found = [
        pod for pod in pods(state) if (pod["metadata"].get("labels") or {}).get(LABEL_TASK) == task
    ]
    return max(found, key=lambda pod: int(pod["metadata"]["resourceVersion"]), default=None)


def _ended(state: State, run: int) -> bool:
    status = status_of(state)
    return status.get("run") == run and "completionTime" in status


def held_runs(state: State) -> list[str]:
    """The runs of a schedule that have a finalizer of ours."""
    return [
        name
        for (plural, name), obj in state.items()
        if plural == "observatories" and FINALIZER in obj["metadata"].get("finalizers", ())
    ]


def held(pod: JsonObject) -> bool:
    """Whether our finalizer or our gate is on it."""
    gates = pod["spec"].get("schedulingGates") or ()
    return FINALIZER in (pod["metadata"].get("finalizers") or ()) or any(
        gate["name"] == GATE for gate in gates
    )


def _is(pod: JsonObject | None, how: str) -> bool:
    if pod is None or how == "gone":
        return (pod is None) == (how == "gone")
    gates = [gate["name"] for gate in pod["spec"].get("schedulingGates") or ()]
    phase = pod["status"].get("phase")
    match how:
        case "gated":
            return True  # whether it still is, nobody can be sure of
        case "released":
            return GATE not in gates
        case "running":
            return phase in {"Running", "Succeeded", "Failed"}
        case "ended":
            return phase in {"Succeeded", "Failed"}
        case "let-go":
            return not held(pod)
        case _:
            raise StepError(f'"is": "{how}" is unknown; see steps.py')
