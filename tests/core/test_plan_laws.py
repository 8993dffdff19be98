"""Laws of planning, for any graph of tasks and any state of its Pods."""

from __future__ import annotations

import random  # noqa: TID251 -- only the type: Hypothesis makes them
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.api.status import Status
from observatory.api.taskstatus import TaskPhase
from observatory.core.model import Answers, Desired, Observed, Plan, Pod, PodRef, PodWait
from observatory.core.plan import plan
from observatory.core.settle import settle
from tests.core.builders import FAILED, NOW, SUCCEEDED, later, pod_of, program, running, wanted

STATES = ("open", "stray", "gated", "waiting", "runs", "gone", "succeeded", "failed")


@dataclass(frozen=True)
class Scene:
    desired: Desired
    status: Status
    pods: tuple[Pod, ...]
    now: datetime

    def plan(self, pods: tuple[Pod, ...] | None = None, now: datetime | None = None) -> Plan:
        seen = self.pods if pods is None else pods
        observed = Observed(self.status, seen, self.desired.program)
        return plan(self.desired, observed, now or self.now)


def a_pod(desired: Desired, task: str, state: str) -> tuple[Pod, ...]:
    match state:
        case "open" | "gone":
            return ()
        case "stray" | "gated":
            return (pod_of(desired, task, gated=True),)
        case "waiting":
            wait = PodWait("Unschedulable", "0/1 nodes", NOW, hard=False)
            return (replace(pod_of(desired, task), wait=wait),)
        case "runs":
            return (pod_of(desired, task),)
        case _:
            return (pod_of(desired, task, outcome=SUCCEEDED if state == "succeeded" else FAILED),)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """A run in progress: any graph, any Pods, and never a start before its dependencies."""
    names = [f"t{index}" for index in range(draw(st.integers(1, 7)))]
    needs: dict[str, list[str]] = {}
    for name in names:
        needs[name] = draw(st.lists(st.sampled_from(list(needs) or [name]), unique=True,
                                    max_size=3)) if needs else []  # fmt: skip
    desired = wanted(needs)
    limit = draw(st.none() | st.integers(1, 3))
    states = {name: draw(st.sampled_from(STATES)) for name in names}
    for name in names:  # what could not have begun yet has not
        if any(states[need] != "succeeded" for need in needs[name]):
            states[name] = draw(st.sampled_from(["open", "stray"]))
    recorded = [name for name in names if states[name] not in ("open", "stray")]
    status = running(desired, *recorded)
    pods = tuple(pod for name in names for pod in a_pod(desired, name, states[name]))
    driven = replace(
        desired,
        max_concurrent=limit,
        suspend=draw(st.sampled_from([False, False, False, True])),
        deleting=draw(st.sampled_from([False, False, False, True])),
    )
    return Scene(driven, status, pods, later(draw(st.integers(0, 30))))


def carried_out(scene: Scene, made: Plan) -> Scene:
    """The world after the plan, with every request answered; what is verified is really gone."""
    started = {
        start.attempt.task: start.adopt or PodRef(start.pod_name, f"uid-{start.attempt.task}")
        for start in made.starts
    }
    lost = frozenset(pod.uid for pod in made.verify)
    status = settle(made, Answers(started, {}, lost), scene.desired, scene.now)
    released = {pod.uid for pod in made.release} | {pod.uid for pod in started.values()}
    finished = {pod.uid for pod in (*made.finish, *made.let_go)}
    deleted = {pod.uid for pod in made.delete}
    created = tuple(
        pod_of(scene.desired, start.attempt.task, gated=True) for start in made.starts if start.body
    )
    pods = []
    for pod in (*scene.pods, *created):
        changed = replace(pod, gated=pod.gated and pod.uid not in released)
        if pod.uid in finished:
            changed = replace(changed, tracked=False)
        if pod.uid in deleted:
            changed = replace(changed, deleting=True, outcome=FAILED)
        pods.append(changed)
    return replace(scene, status=status, pods=tuple(pods))


def actions(made: Plan) -> tuple[object, ...]:
    return (
        made.starts,
        made.verify,
        made.release,
        made.finish,
        made.delete,
        made.let_go,
        made.discard,
    )


NOTHING = ((), (), (), (), (), (), ())
laws = settings(max_examples=150, deadline=None)


@laws
@given(scenes(), st.randoms(use_true_random=False))
def test_the_order_of_the_pods_does_not_matter(scene: Scene, chance: random.Random) -> None:
    shuffled = list(scene.pods)
    chance.shuffle(shuffled)

    one, other = scene.plan(), scene.plan(tuple(shuffled))

    assert (one.draft, one.starts, one.requeue_at) == (other.draft, other.starts, other.requeue_at)
    for left, right in ((one.release, other.release), (one.finish, other.finish),
                        (one.delete, other.delete)):  # fmt: skip
        assert set(left) == set(right)


@laws
@given(scenes())
def test_starts_are_bounded_and_in_order(scene: Scene) -> None:
    made = scene.plan()
    rows = {row.name: row for row in made.draft.tasks}
    after = sum(row.phase is TaskPhase.RUNNING for row in rows.values()) + len(made.starts)

    if made.starts and scene.desired.max_concurrent:
        assert after <= scene.desired.max_concurrent
    if scene.desired.suspend or scene.desired.deleting:
        assert made.starts == ()
    tasks = {task.name: task for task in program(scene.desired).tasks}
    for start in made.starts:
        assert rows[start.attempt.task].phase is TaskPhase.PENDING
        assert start.attempt.attempt == 1
        needs = tasks[start.attempt.task].dependencies
        assert all(rows[need].phase is TaskPhase.SUCCEEDED for need in needs)


@laws
@given(scenes())
def test_done_is_done(scene: Scene) -> None:
    """Carried out again and again at the same time, a plan soon has nothing more to do."""
    for _ in range(4 * len(scene.status.tasks)):
        made = scene.plan()
        if actions(made) == NOTHING and made.draft == scene.status:
            return
        scene = carried_out(scene, made)
    assert actions(scene.plan()) == NOTHING


@laws
@given(scenes())
def test_an_end_is_final_and_a_record_stays(scene: Scene) -> None:
    before = {row.name: row for row in scene.status.tasks}
    for _ in range(3):
        scene = carried_out(scene, scene.plan())
        for row in scene.status.tasks:
            if before[row.name].phase.ended:
                assert row == before[row.name]
            if before[row.name].phase is TaskPhase.RUNNING:
                assert row.phase is not TaskPhase.PENDING
                assert row.pod_uid == before[row.name].pod_uid or row.phase is TaskPhase.SKIPPED
        before = {row.name: row for row in scene.status.tasks}


@laws
@given(scenes())
def test_no_alarm_is_too_early_and_none_is_in_vain(scene: Scene) -> None:
    for _ in range(4 * len(scene.status.tasks)):
        scene = carried_out(scene, scene.plan())
    due = scene.plan().requeue_at
    if due is None:
        return
    assert due > scene.now
    just_before = due - timedelta(milliseconds=1)
    if just_before > scene.now:
        quiet = scene.plan(now=just_before)
        assert (actions(quiet), quiet.draft) == (NOTHING, scene.status)
    assert scene.plan(now=due).draft != scene.status


@laws
@given(scenes())
def test_more_that_is_seen_takes_no_success_away(scene: Scene) -> None:
    seen = {row.name for row in scene.plan().draft.tasks if row.phase is TaskPhase.SUCCEEDED}
    further = tuple(
        replace(pod, outcome=SUCCEEDED) if not pod.gated and not pod.outcome else pod
        for pod in scene.pods
    )

    then = {row.name for row in scene.plan(further).draft.tasks if row.phase is TaskPhase.SUCCEEDED}

    if not scene.desired.deleting:
        assert seen <= then


@laws
@given(scenes())
def test_what_the_status_is_too_old_to_know_is_never_destroyed(scene: Scene) -> None:
    """Planned from the status of before the starts, with the Pods of after them."""
    fresh = carried_out(scene, scene.plan())
    recorded = {row.pod_uid for row in fresh.status.tasks if row.phase is TaskPhase.RUNNING}
    if scene.desired.deleting:
        return  # the deletion itself is newer than any status

    stale = scene.plan(fresh.pods)

    assert not recorded & {pod.uid for pod in stale.delete}
    assert not recorded & {pod.uid for pod in stale.finish}
