"""A run told step by step: the planner's plans carried out on Pods that the test ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from observatory.api.names import FINALLY
from observatory.api.status import Status
from observatory.api.taskstatus import FailureClass, TaskPhase, TaskStatus
from observatory.api.types import JsonObject
from observatory.core.desired import desire
from observatory.core.model import (
    Answers,
    Desired,
    Identity,
    Observed,
    Outcome,
    Plan,
    Pod,
    PodRef,
    PodWait,
    Program,
    Refused,
)
from observatory.core.plan import plan
from observatory.core.pods import name_of
from observatory.core.settle import settle
from tests.core.builders import KEY, NOW, UID, manifest

Shape = dict[str, object]


def failed(
    code: int | None = 3,
    reason: str = "Error",
    class_: FailureClass = FailureClass.APPLICATION_ERROR,
    conditions: frozenset[tuple[str, str]] = frozenset(),
) -> Outcome:
    """The outcome of an attempt that failed; its time is set when it happens."""
    return Outcome(
        succeeded=False,
        class_=class_,
        reason=reason,
        message="boom",
        exit_code=code,
        conditions=conditions,
    )


EVICTED = failed(143, "EvictionByEvictionAPI", FailureClass.DISRUPTION)
OOM = failed(137, "OOMKilled", FailureClass.OUT_OF_MEMORY)
DONE = Outcome(succeeded=True, exit_code=0)


def task(name: str, *needs: str, **fields: object) -> JsonObject:
    made: JsonObject = {"name": name, "image": "busybox:1.36", **fields}
    return made | ({"dependencies": list(needs)} if needs else {})


class Story:
    """An Observatory of these tasks; `refused` are answers to the starts of some."""

    def __init__(self, *tasks: JsonObject, **spec: object) -> None:
        self.manifest = manifest({})
        self.manifest["spec"] |= {"tasks": list(tasks), **spec}
        self.manifest["metadata"]["annotations"] = {}
        self.now = NOW
        self.status = Status()
        self.pods: dict[str, Pod] = {}
        self.refused: dict[str, Refused] = {}
        self.programs: dict[str, Program] = {}
        self.starts: list[tuple[str, int, datetime]] = []
        self.bodies: dict[str, JsonObject] = {}
        self.killed: list[str] = []
        self.gone = False
        self.step()

    @property
    def desired(self) -> Desired:
        made = desire(self.manifest)
        assert made.program is not None, made.errors
        self.programs[made.program.revision] = made.program
        return made

    def request(self, what: str, nonce: str, **more: str) -> None:
        """Ask for something by annotation; then everybody has their turn."""
        prefix = KEY_PREFIX
        self.manifest["metadata"]["annotations"] |= {f"{prefix}/{what}": nonce}
        self.manifest["metadata"]["annotations"] |= {f"{prefix}/{k}": v for k, v in more.items()}
        self.step()

    def edit(self, **spec: object) -> None:
        self.manifest["spec"] |= spec
        self.step()

    def delete(self) -> None:
        self.manifest["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
        self.step()

    def plan(self) -> Plan:
        """What would be done now."""
        desired = self.desired
        pinned = self.programs.get(self.status.revision or "")
        return plan(desired, Observed(self.status, tuple(self.pods.values()), pinned), self.now)

    def step(self, seconds: float = 0) -> None:
        """Time passes, then plans are made and carried out until nothing is left to do."""
        self.now += timedelta(seconds=seconds)
        for _ in range(50):
            before = (self.status, dict(self.pods), list(self.desired.finalizers))
            self._carry_out(self.plan())
            if before == (self.status, self.pods, list(self.desired.finalizers)) or self.gone:
                return
        raise AssertionError("it never comes to rest")

    def _carry_out(self, made: Plan) -> None:
        finalizers = [each for each in self.desired.finalizers if each != FINALLY]
        if made.hold is True:
            self.manifest["metadata"]["finalizers"] = [*finalizers, FINALLY]
            return
        started = {}
        refused = {}
        for start in made.starts:
            name = start.attempt.task
            if name in self.refused:
                refused[name] = self.refused[name]
                continue
            uid = f"uid-{name}-{start.attempt.run}-{start.attempt.attempt}"
            started[name] = PodRef(start.pod_name, uid)
            self.bodies[name] = start.body or {}
            self.starts.append((name, start.attempt.attempt, self.now))
            self.pods[uid] = self._pod(start.attempt, uid)
        lost = frozenset(pod.uid for pod in made.verify if pod.uid not in self.pods)
        answers = Answers(started, refused, lost)
        self.status = settle(made, answers, self.desired, self.now)
        for pod in made.finish:
            self._change(pod.uid, tracked=False)
        for pod in (*made.delete, *made.kill):
            self._change(pod.uid, deleting=True, grace=1 if pod in made.kill else 30)
        self.killed += [pod.uid for pod in made.kill]
        for uid, left in list(self.pods.items()):
            if left.deleting and left.outcome and not left.tracked:
                del self.pods[uid]
        if made.hold is False:
            self.manifest["metadata"]["finalizers"] = finalizers
        self.gone = self.gone or made.expire

    def _pod(self, attempt: Identity, uid: str) -> Pod:
        return Pod(
            key=type(KEY)(KEY.namespace, name_of(attempt, KEY.name, UID)),
            uid=uid,
            version=1,
            owner=KEY.name,
            owner_uid=UID,
            identity=attempt,
            gated=False,
            tracked=True,
            deleting=False,
            node_name="node-1",
            created=self.now,
        )

    def _change(self, uid: str, **fields: object) -> None:
        if uid in self.pods:
            self.pods[uid] = replace(self.pods[uid], **fields)  # type: ignore[arg-type]

    def row(self, name: str) -> TaskStatus:
        return next(row for row in self.status.tasks if row.name == name)

    def pod(self, name: str) -> Pod:
        """The Pod that is recorded for a task."""
        return self.pods[self.row(name).pod_uid or ""]

    def end(self, name: str, outcome: Outcome = DONE, seconds: float = 1) -> None:
        """After so many seconds the container ends; then everybody has their turn."""
        self.now += timedelta(seconds=seconds)
        ended = replace(outcome, finished_at=self.now)
        self._change(self.row(name).pod_uid or "", outcome=ended, wait=None)
        self.step()

    def waits(self, name: str, reason: str, message: str = "", *, hard: bool = True) -> None:
        """The container of a task doesn't run yet."""
        wait = PodWait(reason, message or None, self.now, hard)
        self._change(self.row(name).pod_uid or "", wait=wait)
        self.step()

    def phases(self) -> dict[str, str]:
        return {row.name: row.phase.value for row in self.status.tasks}

    def running(self) -> Sequence[str]:
        return [row.name for row in self.status.tasks if row.phase is TaskPhase.RUNNING]


KEY_PREFIX = "workflow.seventh-horizon.io"
