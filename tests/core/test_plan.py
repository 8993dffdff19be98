"""World in, actions out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from observatory.api.status import Phase, Status
from observatory.api.taskstatus import TaskPhase
from observatory.core.model import Desired, Plan, Pod, PodRef, PodWait, Program
from observatory.core.plan import begins
from tests.core.builders import (
    CHAIN,
    FAILED,
    NOW,
    SUCCEEDED,
    TRIO,
    begun,
    later,
    phases,
    planned,
    pod_of,
    program,
    running,
    settled,
    wanted,
)

EDITED = replace(wanted({"a": [], "z": []}), generation=2)


def ended(desired: Desired) -> Status:
    """A run of `desired`, all of whose tasks have succeeded."""
    status = begun(desired)
    for _ in status.tasks:
        status = settled(planned(desired, status), desired)
        pods = [
            pod_of(desired, row.name, outcome=SUCCEEDED)
            for row in status.tasks
            if row.phase is TaskPhase.RUNNING
        ]
        status = planned(desired, status, *pods).draft
    return status


@dataclass(frozen=True)
class Row:
    """A world, and what is to be done about it."""

    name: str
    status: Status
    desired: Desired = CHAIN
    pinned: Program | None = None
    pods: tuple[Pod, ...] = ()
    starts: tuple[str, ...] = ()
    adopts: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    finish: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()
    phases: dict[str, str] = field(default_factory=dict)


PENDING = Status()
DELETING = replace(CHAIN, deleting=True)
STRAY = "uid-stray"
LIMITED = wanted({"a": [], "b": [], "c": []}, maxConcurrent=1)

TABLE = [
    Row("the first run starts what depends on nothing", PENDING, starts=("a",)),
    Row("a suspended one doesn't begin", PENDING, replace(CHAIN, suspend=True)),
    Row("one with a schedule runs nothing itself", PENDING, replace(CHAIN, scheduled=True)),
    Row("an invalid one doesn't begin", PENDING, replace(CHAIN, program=None, errors=("e",))),
    Row("one that is deleted doesn't begin", PENDING, DELETING),
    Row("a gated Pod that an earlier try left is adopted",
        begun(CHAIN), pods=(pod_of(CHAIN, "a", gated=True),), adopts=("a",)),
    Row("a Pod that somebody un-gated is not",
        begun(CHAIN), pods=(pod_of(CHAIN, "a"),), phases={"a": "Pending"}),
    Row("nor a gated one whose labels were edited", begun(CHAIN),
        pods=(replace(pod_of(CHAIN, "a", gated=True), identity=None),)),
    Row("nor one that names another owner", begun(CHAIN),
        pods=(replace(pod_of(CHAIN, "a", gated=True), owner_uid="another"),)),
    Row("nor one that is being deleted, which never ran: it is let go", begun(CHAIN),
        pods=(pod_of(CHAIN, "a", gated=True, deleting=True, outcome=FAILED),), finish=("uid-a",)),
    Row("a recorded Pod is released",
        running(CHAIN, "a"), pods=(pod_of(CHAIN, "a", gated=True),), release=("uid-a",)),
    Row("a recorded Pod is released while suspended too", running(CHAIN, "a"),
        replace(CHAIN, suspend=True), pods=(pod_of(CHAIN, "a", gated=True),), release=("uid-a",)),
    Row("a recorded Pod that runs is left alone",
        running(CHAIN, "a"), pods=(pod_of(CHAIN, "a"),), phases={"a": "Running"}),
    Row("a recorded Pod that the cache lacks is looked for, and not made again",
        running(CHAIN, "a"), verify=("uid-a",), phases={"a": "Running"}),
    Row("an end starts the next and lets the Pod go in the same plan", running(CHAIN, "a"),
        pods=(pod_of(CHAIN, "a", outcome=SUCCEEDED),), starts=("b",), finish=("uid-a",),
        phases={"a": "Succeeded"}),
    Row("a failure skips all that depend on it", running(CHAIN, "a"),
        pods=(pod_of(CHAIN, "a", outcome=FAILED),), finish=("uid-a",),
        phases={"a": "Failed", "b": "Skipped", "c": "Skipped"}),
    Row("the others go on", running(TRIO, "a", "b"), TRIO,
        pods=(pod_of(TRIO, "a", outcome=FAILED), pod_of(TRIO, "b")), starts=("c",),
        finish=("uid-a",),
        phases={"a": "Failed", "b": "Running", "c": "Pending"}),
    Row("no more than maxConcurrent", running(LIMITED, "a"), LIMITED, pods=(pod_of(LIMITED, "a"),)),
    Row("a recorded Pod that the cache lacks keeps its slot", running(LIMITED, "a"), LIMITED,
        verify=("uid-a",)),
    Row("and so does one that the cache still shows with its gate", running(LIMITED, "a"), LIMITED,
        pods=(pod_of(LIMITED, "a", gated=True),), release=("uid-a",)),
    Row("an end frees a slot at once", running(LIMITED, "a"), LIMITED,
        pods=(pod_of(LIMITED, "a", outcome=SUCCEEDED),), starts=("b",), finish=("uid-a",)),
    Row("a suspended run starts nothing and lets what runs end", running(CHAIN, "a"),
        replace(CHAIN, suspend=True), pods=(pod_of(CHAIN, "a", outcome=SUCCEEDED),),
        finish=("uid-a",),
        phases={"a": "Succeeded", "b": "Pending"}),
    Row("a gated namesake of a recorded Pod can never be recorded", running(CHAIN, "a"),
        pods=(pod_of(CHAIN, "a"), pod_of(CHAIN, "a", uid=STRAY, gated=True)), delete=(STRAY,)),
    Row("a gated Pod of an earlier attempt neither",
        replace(begun(CHAIN), tasks=(replace(begun(CHAIN).tasks[0], attempt=1),
                                     *begun(CHAIN).tasks[1:])),
        pods=(pod_of(CHAIN, "a", uid=STRAY, gated=True),), starts=("a",), delete=(STRAY,)),
    Row("a gated Pod of other tasks under the same run number neither", begun(CHAIN),
        pods=(pod_of(EDITED, "a", uid=STRAY, gated=True),), starts=("a",), delete=(STRAY,)),
    Row("a gated Pod of a task that the run lacks neither", running(CHAIN, "a"),
        pods=(pod_of(CHAIN, "a"), pod_of(CHAIN, "x", uid=STRAY, gated=True)), delete=(STRAY,)),
    Row("a gated Pod of a run that this status doesn't know may yet be", running(CHAIN, "a"),
        pods=(pod_of(CHAIN, "a"), pod_of(CHAIN, "a", run=2, uid=STRAY, gated=True))),
    Row("an open attempt's Pod that ended may be recorded in a newer status",
        running(CHAIN, "a"), pods=(pod_of(CHAIN, "a"), pod_of(CHAIN, "b", outcome=SUCCEEDED))),
    Row("after the end, the Pods that it recorded are let go", ended(CHAIN),
        pods=(pod_of(CHAIN, "b", outcome=SUCCEEDED),), finish=("uid-b",)),
    Row("even one whose labels were edited", ended(CHAIN), finish=("uid-b",),
        pods=(replace(pod_of(CHAIN, "b", outcome=SUCCEEDED), identity=None),)),
    Row("a Pod that is let go already is left alone", ended(CHAIN),
        pods=(pod_of(CHAIN, "b", outcome=SUCCEEDED, tracked=False),)),
    Row("an end is latched: what its Pod says later changes nothing", ended(CHAIN),
        pods=(pod_of(CHAIN, "c", outcome=FAILED, tracked=False),), phases={"c": "Succeeded"}),
    Row("in mid-run too", planned(TRIO, running(TRIO, "a", "b"),
        pod_of(TRIO, "a", outcome=SUCCEEDED), pod_of(TRIO, "b")).draft, TRIO,
        pods=(pod_of(TRIO, "a", outcome=FAILED, tracked=False), pod_of(TRIO, "b")), starts=("c",),
        phases={"a": "Succeeded", "b": "Running"}),
    Row("an edit after the end starts the next run", ended(CHAIN), EDITED,
        starts=("a", "z"), phases={"a": "Pending", "z": "Pending"}),
    Row("an edit in mid-run waits for its end", running(CHAIN, "a"), EDITED,
        CHAIN.program, (pod_of(CHAIN, "a"),), phases={"a": "Running", "b": "Pending",
        "c": "Pending"}),
    Row("deleted in mid-run: its Pods go first", running(CHAIN, "a"), DELETING,
        pods=(pod_of(CHAIN, "a"), pod_of(CHAIN, "b", gated=True)), delete=("uid-a", "uid-b"),
        phases={"a": "Running", "b": "Pending"}),
    Row("it waits until they are gone", running(CHAIN, "a"), DELETING,
        pods=(pod_of(CHAIN, "a", deleting=True),), phases={"a": "Running"}),
    Row("a recorded Pod that the cache lacks may still run", running(CHAIN, "a"), DELETING,
        verify=("uid-a",), phases={"a": "Running"}),
    Row("then the run ends", running(CHAIN, "a"), DELETING,
        pods=(pod_of(CHAIN, "a", deleting=True, outcome=FAILED),), finish=("uid-a",),
        phases={"a": "Failed", "b": "Skipped", "c": "Skipped"}),
    Row("deleted without its Pods: they are left alone", running(CHAIN, "a"),
        replace(DELETING, finalizers=("orphan",)), pods=(pod_of(CHAIN, "a"),),
        phases={"a": "Running"}),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_plan(row: Row) -> None:
    desired = row.desired
    made = planned(desired, row.status, *row.pods, pinned=row.pinned)

    assert tuple(start.attempt.task for start in made.starts if start.body) == row.starts
    assert tuple(start.attempt.task for start in made.starts if start.adopt) == row.adopts
    for action in ("verify", "release", "finish", "delete"):
        assert tuple(pod.uid for pod in getattr(made, action)) == getattr(row, action), action
    assert row.phases.items() <= phases(made.draft).items()


def test_a_run_that_begins_stores_its_revision_and_says_so() -> None:
    made = planned(CHAIN, Status())

    assert made.revision == CHAIN.program
    assert (made.draft.run, made.draft.revision) == (1, program(CHAIN).revision)
    assert made.draft.start_time == NOW
    assert [event.reason for event in made.events] == ["RunStarted"]


@pytest.mark.parametrize(
    ("edits", "expected"), [((EDITED,), True), ((EDITED, CHAIN), False), ((CHAIN,), False)]
)
def test_only_other_tasks_begin_another_run(edits: tuple[Desired, ...], *, expected: bool) -> None:
    assert begins(edits[-1], ended(CHAIN)) is expected


def test_no_run_is_cut_off_by_the_next() -> None:
    assert not begins(EDITED, running(CHAIN, "a"))


def test_without_its_revision_a_run_ends_with_what_runs() -> None:
    status = running(CHAIN, "a")

    made = planned(replace(EDITED, program=None, errors=("e",)), status, pod_of(CHAIN, "a"))

    assert phases(made.draft) == {"a": "Running", "b": "Failed", "c": "Failed"}
    assert made.draft.tasks[1].reason == "RevisionLost"
    done = planned(
        replace(EDITED, program=None, errors=("e",)),
        made.draft,
        pod_of(CHAIN, "a", outcome=SUCCEEDED),
    )
    assert (done.draft.phase, done.draft.ended) == (Phase.FAILED, True)


def test_a_wait_that_is_young_brings_the_key_back_when_it_is_worth_telling() -> None:
    young = PodWait("Unschedulable", "0/1 nodes", NOW, hard=False)
    pod = replace(pod_of(CHAIN, "a"), wait=young)

    made = planned(CHAIN, running(CHAIN, "a"), pod, now=later(1))

    assert made.requeue_at == later(10)
    assert made.draft.tasks[0].reason is None


def test_a_gated_pod_of_a_run_that_does_not_begin_is_discarded_after_a_minute() -> None:
    kept = PodWait("SchedulingGated", None, NOW, hard=False)
    following = ended(CHAIN).run + 1
    pod = replace(pod_of(EDITED, "a", run=following, uid="new", gated=True), wait=kept)

    def idle(second: float, *pods: Pod, desired: Desired = CHAIN) -> Plan:
        return planned(desired, ended(CHAIN), *pods, now=later(second))

    assert idle(59, pod).discard == ()
    assert idle(59, pod).requeue_at == later(60)
    assert idle(60, pod) == replace(idle(60), discard=(PodRef(pod.key.name, pod.uid),))
    assert idle(60, pod, desired=EDITED).discard == ()  # the run begins with it
    for other in ({"gated": False}, {"deleting": True}, {"identity": None}):
        assert idle(60, replace(pod, **other)).discard == ()
