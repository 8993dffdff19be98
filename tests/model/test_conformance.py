"""The model's rules are the product's: both plan alike from whatever a controller can ever see."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import pytest

from observatory.api.names import Key, revision_hash
from observatory.api.status import Status
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.core import model as product
from observatory.core.desired import desire
from observatory.core.plan import plan
from observatory.core.pods import name_of
from observatory.core.settle import settle
from tests.core import builders
from tests.model.explore import Explorer
from tests.model.protocols import Draft, Planner, Protocol
from tests.model.state import ENDED, FAILED, RUNNING, Object, Request, Row, Scope, Seen, View

TASKS = "abc"
CHAIN, PAIR = ((), (0,)), ((), ())
OUTCOMES = {"Succeeded": builders.SUCCEEDED, "Failed": builders.FAILED}


@cache
def wanted(scope: Scope, revision: int) -> product.Desired:
    needs = {TASKS[task]: [TASKS[need] for need in needs] for task, needs in enumerate(scope.needs)}
    limit = {"maxConcurrent": scope.limit} if scope.limit else {}
    manifest = builders.manifest(needs, **limit)
    manifest["spec"]["tasks"][0]["args"] = [f"revision {revision}"]
    return desire(manifest)


@cache
def named(scope: Scope, place: int) -> tuple[product.Identity, str]:
    attempt = scope.attempts[place]
    revision = builders.program(wanted(scope, attempt.revision)).revision
    hashed, task = revision_hash(revision), TASKS[attempt.task]
    identity = product.Identity(attempt.run, hashed, task, attempt.attempt)
    return identity, name_of(identity, builders.KEY.name, builders.UID)


@dataclass(frozen=True)
class Translator:
    """Says in the product's words what the model means, and back."""

    scope: Scope

    def desired(self, item: Object) -> product.Desired:
        return replace(wanted(self.scope, item.revision_wanted), deleting=item.deleting)

    def observed(self, item: Object, view: View) -> product.Observed:
        pods = tuple(self.pod(place, seen) for place, seen in enumerate(view) if seen)
        if item.run == 0:
            return product.Observed(Status(), pods)
        pinned = builders.program(wanted(self.scope, item.revision))
        status = Status(
            run=item.run,
            revision=pinned.revision,
            start_time=builders.NOW,
            completion_time=builders.NOW if item.over else None,
            tasks=tuple(self._row(item, task, row) for task, row in enumerate(item.rows)),
        )
        return product.Observed(status, pods, pinned)

    def pod(self, place: int, seen: Seen) -> product.Pod:
        identity = self.identity(place)
        return product.Pod(
            key=Key(builders.KEY.namespace, self.name(place)),
            uid=f"{place}-{seen.uid}",
            version=7,
            owner=builders.KEY.name,
            owner_uid=builders.UID,
            identity=identity,
            gated=seen.gated,
            tracked=seen.tracked,
            deleting=seen.deleting,
            outcome=OUTCOMES[seen.outcome] if seen.outcome else None,
        )

    def identity(self, place: int) -> product.Identity:
        return named(self.scope, place)[0]

    def name(self, place: int) -> str:
        return named(self.scope, place)[1]

    def about(self, verb: str, pods: tuple[product.PodRef, ...]) -> list[Request]:
        """The model's requests about these Pods."""
        requests = []
        for pod in pods:
            place, uid = map(int, pod.uid.split("-"))
            assert pod.name == self.name(place)
            requests.append(Request(verb, place, uid))
        return requests

    def rows(self, status: Status) -> tuple[Row, ...]:
        rows = (
            Row(
                row.phase.value,
                row.attempt,
                int((row.pod_uid or "").split("-")[1]) if row.phase is TaskPhase.RUNNING else 0,
            )
            for row in status.tasks
        )
        return tuple(rows) or (Row(),) * len(self.scope.needs)

    def _row(self, item: Object, task: int, row: Row) -> TaskStatus:
        if row.phase != RUNNING:
            return TaskStatus(TASKS[task], TaskPhase(row.phase), row.attempt)
        place = self.scope.place(item, task, row.attempt)
        return TaskStatus(
            TASKS[task],
            TaskPhase.RUNNING,
            row.attempt,
            pod_name=self.name(place),
            pod_uid=f"{place}-{row.uid}",
            start_time=builders.NOW,
        )


def compare(scope: Scope, item: Object, view: View) -> None:
    says, planner = Translator(scope), Planner(scope, Protocol())
    desired, observed = says.desired(item), says.observed(item, view)
    real = plan(desired, observed, builders.NOW)
    work = planner.plan(item, view)
    before, after = (work.before, work.after) if work else ((), ())
    draft = work.draft if work else item

    places = {says.name(place): place for place in range(len(scope.attempts))}
    creates = [Request("create", places[one.pod_name]) for one in real.starts if not one.adopt]
    adopted = {one.attempt.task: one.adopt for one in real.starts if one.adopt}
    release = says.about("release", (*real.release, *adopted.values()))
    assert sorted(before) == sorted([*creates, *says.about("look", real.verify)])
    assert sorted(after) == sorted(
        [*release, *says.about("finish", real.finish), *says.about("delete", real.delete)]
    )
    unanswered = settle(real, product.Answers(adopted, {}), desired, builders.NOW)
    assert draft.rows == says.rows(unanswered)
    assert draft.run == unanswered.run
    assert draft.over == unanswered.ended

    started = adopted | {
        one.attempt.task: product.PodRef(one.pod_name, f"{places[one.pod_name]}-9")
        for one in real.starts
        if not one.adopt
    }
    lost = frozenset(pod.uid for pod in real.verify)
    answered = settle(real, product.Answers(started, {}, lost), desired, builders.NOW)
    told = Draft(list(draft.rows), [], [])
    for request in before:
        if request.verb == "create":
            planner.record(told, request.place, 9)
        else:
            task = scope.attempts[request.place].task
            told.rows[task] = planner.ended(told.rows[task], FAILED)
    assert tuple(told.rows) == says.rows(answered)


@pytest.mark.parametrize(
    "scope",
    [
        Scope(cancel=True, delete=True, force=True),
        Scope(CHAIN, cancel=True, delete=True, controllers=1),
        Scope(PAIR, limit=1, cancel=True, delete=True, controllers=1, uids=1),
        Scope(PAIR, delete=True, controllers=1, uids=1),
        Scope(edit=True, cancel=True, controllers=1),
    ],
    ids=["attempt", "chain", "limit", "batch", "edit"],
)
def test_the_model_plans_what_the_product_plans(scope: Scope) -> None:
    explorer = Explorer(scope, Protocol())
    assert explorer.explore().violation == ""
    seen = explorer.seen
    assert any(item.over for item, _ in seen)
    assert any(pod and pod.outcome in ENDED for _, view in seen for pod in view)
    for item, view in seen:
        compare(scope, item, view)
