"""Carries out the plan for the runs of a scheduled Observatory, in the one order that is safe.

1. POST the Observatories of the runs that begin; they are not admitted yet. GET the recorded ones
   that the cache lacks.
2. PUT the parent's status under the resourceVersion that was planned from. A 409 ends the plan.
3. PATCH: admit what the stored status records, ask to stop what it ends, remove the finalizers of
   those whose end it holds; DELETE what nobody keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from observatory.api.runs import Active
from observatory.api.status import Status
from observatory.core.children import Child
from observatory.core.model import Desired, Refused
from observatory.core.parent import (
    RETRY_REFUSED,
    RunAnswers,
    RunsPlan,
    admissions,
    settle_runs,
)
from observatory.core.runstarts import RunStart
from observatory.kube.api import Api
from observatory.kube.errors import Conflict, NotFound
from observatory.runtime.executor import Execution, together
from observatory.runtime.runwriter import RunWriter
from observatory.runtime.statuswriter import StatusWriter, Wrote


class RunsExecutor:
    """Carries plans about runs out over an `Api`. It remembers nothing from one to the next."""

    def __init__(self, api: Api, wrote: Wrote) -> None:
        self._runs = RunWriter(api, wrote)
        self._statuses = StatusWriter(api, wrote)

    async def execute(  # noqa: PLR0917 -- a plan and what it was made from
        self,
        plan: RunsPlan,
        desired: Desired,
        before: Status,
        version: str,
        children: Sequence[Child],
        now: datetime,
    ) -> Execution:
        """Carry out a plan that was made from the status `before`, stored as `version`."""
        execution = Execution(requeue_at=plan.requeue_at)
        answers = await self._prepare(plan, desired, execution)
        status = settle_runs(plan, answers, desired, now)
        if answers.refused:
            again = now + RETRY_REFUSED
            execution.requeue_at = min(filter(None, (plan.requeue_at, again)))
        if status != before:
            try:
                version = await self._statuses.store(status, desired, version)
            except (Conflict, NotFound):
                execution.conflict = True
                return execution
        execution.status, execution.version = status, version
        runs, by_uid = self._runs, {child.uid: child for child in children}
        stop = {child.uid for child in plan.stop}
        await together(
            execution.errors,
            *(
                runs.admit(desired, each, by_uid.get(each.uid))
                for each in admissions(status, children)
            ),
            *(runs.stop(desired, each) for each in status.runs.active if each.uid in stop),
            *(runs.finish(desired, child) for child in plan.finish),
        )
        await together(execution.errors, *(runs.delete(desired, child) for child in plan.delete))
        return execution

    async def _prepare(self, plan: RunsPlan, desired: Desired, execution: Execution) -> RunAnswers:
        started: dict[int, str] = {}
        refused: dict[int, Refused] = {}
        lost: set[str] = set()

        async def start(run: RunStart) -> None:
            match await self._runs.start(desired, run):
                case Refused() as answer:
                    refused[run.id.number] = answer
                case uid:
                    started[run.id.number] = uid

        async def verify(run: Active) -> None:
            if await self._runs.is_gone(desired, run):
                lost.add(run.uid)

        await together(
            execution.errors,
            *(verify(run) for run in plan.verify),
            *(start(run) for run in plan.starts),
        )
        return RunAnswers(started, refused, frozenset(lost))
