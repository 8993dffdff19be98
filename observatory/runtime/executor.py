"""The executor: carries a plan out, in the one order that starts each attempt at most once.

1. POST the gated Pods of the starts, in batches that double; GET the recorded Pods that the cache
   lacks; POST the ControllerRevision of a run that begins.
2. PUT the status under the resourceVersion that was planned from. A 409 ends the plan: somebody
   else decided. What was created before is gated, and a later plan adopts or deletes it.
3. PATCH the gates away of Pods that the stored status records, and the finalizers of Pods whose
   end it holds; DELETE, by UID, the Pods that it rules out.

Where an answer was lost nothing is assumed: the error is returned, the key comes back, and the
next plan begins with what is really there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from observatory.api.names import FINALLY, OBSERVATORIES
from observatory.api.status import Status
from observatory.api.types import JsonObject
from observatory.core.model import Answers, Desired, Plan, PodRef, Program, Refused, Start
from observatory.core.progress import KILL_GRACE
from observatory.core.settle import retry_at, settle
from observatory.core.summary import too_large
from observatory.kube.api import Api, PatchKind
from observatory.kube.errors import ApiError, Conflict, KubeError, NotFound, TooLarge
from observatory.runtime.podwriter import PodWriter, refusal, refuses
from observatory.runtime.revisions import Revisions
from observatory.runtime.statuswriter import StatusWriter, Wrote

ENOUGH_REFUSED = 8
"""A batch of so many, all refused for whatever reason, ends the starts of a plan."""


@dataclass(slots=True)
class Execution:
    """What came of a plan.

    Attributes:
        status: The status that is stored now; None if the plan ended before that.
        version: The resourceVersion under which it is stored.
        requeue_at: When to plan again, though nothing may have changed.
        errors: Requests that failed: the key must come back.
        conflict: Somebody else wrote the object first.
        too_large: The status fits in no form. What is stored says so, and nothing else was done.
    """

    status: Status | None = None
    version: str | None = None
    requeue_at: datetime | None = None
    errors: list[KubeError] = field(default_factory=list)
    conflict: bool = False
    too_large: bool = False


class Executor:
    """Carries plans out over an `Api`. It remembers nothing from one plan to the next."""

    def __init__(self, api: Api, wrote: Wrote) -> None:
        self._api = api
        self._wrote = wrote
        self._pods = PodWriter(api, wrote)
        self._revisions = Revisions(api)
        self._statuses = StatusWriter(api, wrote)

    async def execute(
        self, plan: Plan, desired: Desired, before: Status, version: str, now: datetime
    ) -> Execution:
        """Carry out a plan that was made from the status `before`, stored as `version`.

        Raises:
            KubeError: The request failed without which nothing else may be done.
            LeaseLost: Another process leads.
        """
        execution = Execution()
        if plan.hold:
            return await self._hold(desired, version, execution)
        if plan.revision is not None:
            await self._keep(plan, plan.revision, desired, before, version)
        answers = await self._prepare(plan, desired, execution)
        status = settle(plan, answers, desired, now)
        again = retry_at(plan, status, answers.refused, now)
        execution.requeue_at = min(filter(None, (plan.requeue_at, again)), default=None)
        if status != before:
            try:
                version = await self._statuses.store(status, desired, version)
            except (Conflict, NotFound):
                execution.conflict = True
                return execution
            except TooLarge:
                return await self._tell_too_large(desired, before, version, now)
        execution.status, execution.version = status, version
        pods = self._pods
        recorded = {task.pod_uid for task in status.tasks}
        started = (pod for pod in answers.started.values() if pod.uid in recorded)
        await together(
            execution.errors,
            *(pods.release(desired, pod) for pod in (*plan.release, *started)),
            *(pods.finish(desired, pod) for pod in plan.finish),
            *(pods.delete(desired, pod) for pod in plan.delete),
            *(pods.delete(desired, pod, KILL_GRACE) for pod in plan.kill),
            *(self._let_go(desired, pod) for pod in plan.let_go),
        )
        if plan.discard:
            discard = self._discard(desired, version, plan.discard, execution.errors)
            await together(execution.errors, discard)
        if plan.hold is False and not execution.errors:
            await self._hold(desired, version, execution, hold=False)
        elif plan.expire:
            await self._expire(desired, version)
        return execution

    async def _hold(
        self,
        desired: Desired,
        version: str,
        execution: Execution,
        *,
        hold: bool = True,
    ) -> Execution:
        """Put our finalizer on the Observatory, or take it off, if it is the one planned from."""
        finalizers = [each for each in desired.finalizers if each != FINALLY]
        wanted = [*finalizers, FINALLY] if hold else finalizers
        metadata: JsonObject = {"uid": desired.uid, "resourceVersion": version}
        patch: JsonObject = {"metadata": {**metadata, "finalizers": wanted}}
        try:
            stored = await self._api.patch(OBSERVATORIES, desired.key, patch, kind=PatchKind.MERGE)
        except (Conflict, NotFound):
            execution.conflict = True
            return execution
        # The version that is told stays the one before: what is derived of it has no finalizer yet.
        self._wrote(desired.uid, OBSERVATORIES, int(stored["metadata"]["resourceVersion"]))
        return execution

    async def _expire(self, desired: Desired, version: str) -> None:
        """Delete the Observatory whose time is over, unless it has changed since."""
        with suppress(NotFound, Conflict):
            await self._api.delete(OBSERVATORIES, desired.key, uid=desired.uid, version=version)

    async def _discard(
        self, desired: Desired, version: str, discard: Sequence[PodRef], errors: list[KubeError]
    ) -> None:
        """Delete Pods that nobody wants, as long as the Observatory is the one planned from.

        With a later one, another operator may be about to record them.
        """
        found = await self._api.get(OBSERVATORIES, desired.key)
        if found["metadata"]["resourceVersion"] == version:
            await together(errors, *(self._pods.delete(desired, pod) for pod in discard))

    async def _let_go(self, desired: Desired, pod: PodRef) -> None:
        """Remove the finalizer of a Pod of which the status that is stored knows nothing.

        The one planned from may be older: to it, a Pod that was recorded and released since is in
        conflict too, and its outcome would be lost. Without its gate no status will record it.
        """
        found = await self._api.get(OBSERVATORIES, desired.key)
        rows = (found.get("status") or {}).get("tasks") or ()
        if all(row.get("podUID") != pod.uid for row in rows):
            await self._pods.finish(desired, pod)

    async def _keep(
        self, plan: Plan, program: Program, desired: Desired, before: Status, version: str
    ) -> None:
        """Store the revision of a run that begins. Where it is refused, the status says why."""
        try:
            await self._revisions.keep(desired, program, plan.draft.run)
        except ApiError as error:
            if not refuses(error):
                raise
            # A namespace that is being deleted takes no revision, and waits for these.
            await together([], *(self._pods.finish(desired, pod) for pod in plan.beforehand))
            refused = refusal(error)
            reason = "InvalidRevision" if refused.permanent else refused.reason
            status = replace(before, message=f"{reason}: {refused.message}")
            if status != before:
                await self._statuses.store(status, desired, version)
            raise

    async def _tell_too_large(
        self, desired: Desired, before: Status, version: str, now: datetime
    ) -> Execution:
        """Keep the status that is stored, and say in it why it is followed by no other."""
        status = too_large(before, desired, now)
        if status != before:
            with suppress(TooLarge):  # not even that fits: the log says it
                version = await self._statuses.store(status, desired, version)
        return Execution(status=status, version=version, too_large=True)

    async def _prepare(self, plan: Plan, desired: Desired, execution: Execution) -> Answers:
        started: dict[str, PodRef] = {}
        refused: dict[str, Refused] = {}
        lost: set[str] = set()

        async def start(attempt: Start) -> None:
            match await self._pods.start(desired, attempt):
                case PodRef() as pod:
                    started[attempt.attempt.task] = pod
                case Refused() as answer:
                    refused[attempt.attempt.task] = answer

        async def verify(pod: PodRef) -> None:
            if await self._pods.is_lost(desired, pod):
                lost.add(pod.uid)

        await together(execution.errors, *(verify(pod) for pod in plan.verify))
        for batch in slow_start(plan.starts):
            await together(execution.errors, *(start(attempt) for attempt in batch))
            tasks = [each.attempt.task for each in batch]
            answers = [refused[name] for name in tasks if name in refused]
            alike = all(each.namespace_wide for each in answers)
            if started.keys() & tasks or len(batch) == 1:
                continue
            if alike or len(batch) >= ENOUGH_REFUSED:
                # The others would most likely meet the same answer; the next plan begins with them.
                held_by = next(iter(answers), None) if alike else None
                return Answers(started, refused, frozenset(lost), held_by)
        return Answers(started, refused, frozenset(lost))


def slow_start(starts: Sequence[Start]) -> Iterator[Sequence[Start]]:
    """Batches of 1, 2, 4, …: as in the Job controller, a refusal costs few requests."""
    size, first = 1, 0
    while first < len(starts):
        yield starts[first : first + size]
        first, size = first + size, size * 2


async def together(errors: list[KubeError], *requests: Coroutine[None, None, None]) -> None:
    """Make the requests side by side; one that fails keeps none of the others from ending."""
    for result in await asyncio.gather(*requests, return_exceptions=True):
        if isinstance(result, KubeError):
            errors.append(result)
        elif isinstance(result, BaseException):
            raise result
