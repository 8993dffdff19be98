"""The values that planning works with: what is wanted, what is seen, and what is to be done.

`Desired` and `Observed` go in, a `Plan` comes out. The executor carries the plan out and hands its
`Answers` back to `core.settle.settle`, which says what the status is to hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from observatory.api.ending import RequestType
from observatory.api.names import FINALIZER, FINALLY, Key, admission
from observatory.api.requester import Requester
from observatory.api.status import Status
from observatory.api.taskstatus import FailureClass
from observatory.api.trace import NO_CARRIER, Carrier, Sampler
from observatory.api.types import DEFAULT_RULE, JsonObject, Task
from observatory.core.retry import RetryPolicy
from observatory.core.schedule import Schedule

# --- what is wanted ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Program:
    """The tasks of one revision, ready to be planned: what a run executes, and nothing else.

    `tasks` are those of `spec.tasks`, `main` in number, and after them those of `spec.finally`.
    `order` lists indexes into them so that each comes after its dependencies; `dependencies`
    holds, for each task, the indexes of what it depends on, and `policies` how it is retried.
    """

    revision: str
    content: JsonObject
    tasks: tuple[Task, ...]
    main: int
    order: tuple[int, ...]
    dependencies: tuple[tuple[int, ...], ...]
    policies: tuple[RetryPolicy, ...]

    @property
    def branches(self) -> bool:
        """Whether a task has a trigger rule of its own, or failures that are ignored."""
        return any(task.ignore_failure or task.trigger_rule != DEFAULT_RULE for task in self.tasks)

    @property
    def has_finally(self) -> bool:
        """Whether there are tasks that run when the others have ended."""
        return len(self.tasks) > self.main


@dataclass(frozen=True, slots=True)
class Desired:
    """An Observatory as its user wrote it.

    `program` is None where `errors` has text: there is nothing that could run. The fields that
    drive a run count nevertheless, since a run of an earlier revision may be in progress.

    Attributes:
        errors: What is wrong with the spec, one text an error.
        suspend: Start nothing; also set where the fields that drive a run can't be read.
        deadline: Seconds that a run may take.
        failure_policy: What a failed task means for the others.
        finally_deadline: Seconds that the tasks of `finally` may take together.
        ttl: Seconds after the end of its run until the Observatory is deleted.
        retention: Which Pods stay when a run has ended.
        requests: What annotations ask for: their nonces, by type.
        retry_from: The task that a retry is to begin with.
        deleting: The object has a deletion timestamp.
        finalizers: Those of the object.
        size: Bytes of the spec: status and spec share one object.
        scheduled: It is to run by a schedule, whether that can be read or not.
        schedule: That schedule; None where `errors` has text.
        template: The valid spec, for its runs.
        created: When the object was created.
        run_of: The UID of the schedule that it is a run of; empty where that is gone, else None.
        admitted: What that has let it do: begin, or the request to retry that it may obey.
        scheduled_time: The fire time of this run.
        backfill: The range of past fire times and the concurrency that a request asks for.
        carrier: The trace that it is part of.
        parent: The name of the scheduled Observatory that this is a run of.
        alerts: It says what about it is worth an alert.
        requester: Who asked for it, where that is recorded.
    """

    key: Key
    uid: str
    generation: int
    deleting: bool
    errors: tuple[str, ...] = ()
    program: Program | None = None
    scheduled: bool = False
    schedule: Schedule | None = None
    template: JsonObject | None = None
    suspend: bool = False
    max_concurrent: int | None = None
    deadline: int | None = None
    failure_policy: str = "Continue"
    finally_deadline: int | None = None
    ttl: int | None = None
    retention: str = "Failed"
    requests: tuple[tuple[RequestType, str], ...] = ()
    retry_from: str | None = None
    finalizers: tuple[str, ...] = ()
    size: int = 0
    created: datetime | None = None
    run_of: str | None = None
    admitted: str | None = None
    scheduled_time: str | None = None
    backfill: tuple[str, str] = ("", "")
    carrier: Carrier = NO_CARRIER
    parent: str | None = None
    alerts: bool = False
    requester: Requester | None = None

    @property
    def workflow(self) -> str:
        """What all runs of one workflow have in common: their schedule's name, else their own."""
        return self.parent or self.key.name

    @property
    def orphaning(self) -> bool:
        """It is being deleted, and its Pods are to be left alone."""
        return "orphan" in self.finalizers

    @property
    def held(self) -> bool:
        """It can't vanish before its `finally` has run."""
        return FINALLY in self.finalizers

    @property
    def tracked(self) -> bool:
        """It can't vanish before its parent has recorded how it ended."""
        return FINALIZER in self.finalizers

    def may_begin(self, retry: str | None = None) -> bool:
        """Whether it may begin its first run, or one more for this request to retry.

        Runs of a scheduled Observatory have to be let by it; one that it left behind may retry.
        """
        if self.run_of is None or (not self.run_of and retry is not None):
            return True
        return self.admitted == admission(retry)


# --- what is seen -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identity:
    """Which attempt a Pod is: it is proven by the Pod's name, not only claimed by its labels.

    `revision` is the hash of the run's revision.
    """

    run: int
    revision: str
    task: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. `message` is the end of the output, or the kubelet's word.

    Attributes:
        class_: Why it failed; None where it has succeeded.
        conditions: Type and status of the Pod's conditions, for the rules of a retry policy.
        reached: When the Pod had its node, and its container: as far as it came.
    """

    succeeded: bool
    class_: FailureClass | None = None
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    finished_at: datetime | None = None
    conditions: frozenset[tuple[str, str]] = frozenset()
    reached: tuple[datetime, ...] | None = None


@dataclass(frozen=True, slots=True)
class PodWait:
    """Why a Pod's container doesn't run yet. `hard` waits don't pass by themselves."""

    reason: str
    message: str | None
    since: datetime
    hard: bool


@dataclass(frozen=True, slots=True)
class Pod:
    """What the planner knows of a Pod: a projection, a fraction of the object's size.

    Attributes:
        owner: The name of the Observatory, from the controller reference, else from the label.
        owner_uid: The UID in the controller reference; None for a Pod that has been orphaned.
        identity: Which attempt this is; None where name and labels contradict each other.
        gated: Our scheduling gate is on: no container of it has ever started.
        tracked: Our finalizer is on.
        deleting: It has a deletion timestamp.
        created: When it was created.
        grace: Seconds that its containers have to end, where it is being deleted.
        outcome: Set once the Pod has ended, or can't start any more.
    """

    key: Key
    uid: str
    version: int
    owner: str
    owner_uid: str | None
    identity: Identity | None
    gated: bool
    tracked: bool
    deleting: bool
    node_name: str | None = None
    created: datetime | None = None
    grace: int | None = None
    outcome: Outcome | None = None
    wait: PodWait | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """The world of one Observatory, taken in one step.

    `pinned` is the program of the latest run: the desired one, or that of an older revision if the
    spec was edited since. It is None where that revision can't be read any more, and where nobody
    needs it, since that run has ended. `sampler` decides which runs are traced; None: none is.
    """

    status: Status
    pods: tuple[Pod, ...]
    pinned: Program | None = None
    sampler: Sampler | None = None


# --- what is to be done -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PodRef:
    """One Pod, and no namesake of it."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start an attempt: with the gated Pod that is there already, else with a new one of `body`."""

    attempt: Identity
    pod_name: str
    adopt: PodRef | None = None
    body: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell in an Event about the Observatory."""

    reason: str
    note: str
    action: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, in the order of the fields; `draft` is the status without the starts.

    Attributes:
        revision: The program to store as a ControllerRevision, before the status names it.
        starts: Attempts to start.
        verify: Recorded Pods that the cache lacks: a live GET decides whether they are lost.
        draft: The status as far as it is known before the starts are answered.
        release: Recorded Pods whose gate is to be removed.
        finish: Pods whose finalizer is to be removed.
        beforehand: Those of them that the status planned from lets go already: they are let go
            also where the revision is refused, and with it the run.
        delete: Pods to be deleted, by UID.
        kill: Pods to be deleted without their grace.
        let_go: Pods in a name conflict that somebody deletes. Their finalizer is to be removed,
            unless a status that is newer than the one planned from records them.
        discard: Gated Pods of a run that does not begin after all. They are to be deleted, unless
            the Observatory has changed since.
        program: What the run is pinned to, for `settle`.
        hold: Whether our finalizer is to be on the Observatory; None for as it is. It is put on
            before everything else, which then waits for the next plan; and taken off at last.
        expire: The Observatory is to be deleted: its time is over.
        events: What happened.
        requeue_at: When to plan again though nothing may have changed.
    """

    draft: Status
    revision: Program | None = None
    starts: tuple[Start, ...] = ()
    verify: tuple[PodRef, ...] = ()
    release: tuple[PodRef, ...] = ()
    finish: tuple[PodRef, ...] = ()
    beforehand: tuple[PodRef, ...] = ()
    delete: tuple[PodRef, ...] = ()
    kill: tuple[PodRef, ...] = ()
    let_go: tuple[PodRef, ...] = ()
    discard: tuple[PodRef, ...] = ()
    program: Program | None = None
    hold: bool | None = None
    expire: bool = False
    events: tuple[Event, ...] = ()
    requeue_at: datetime | None = None


# --- how it went ------------------------------------------------------------------------------


NAMESPACE_WIDE = frozenset({"QuotaExceeded", "NamespaceTerminating", "Forbidden"})
"""The reasons for refusing a Pod that would meet any other Pod of the namespace too."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The API server did not take a Pod. `permanent` says that asking again can't help."""

    reason: str
    message: str
    permanent: bool = False

    @property
    def namespace_wide(self) -> bool:
        """Whether others would most likely meet the same answer."""
        return self.reason in NAMESPACE_WIDE


@dataclass(frozen=True, slots=True)
class Answers:
    """What the API server said: for each start the Pod or the refusal, and which Pods are lost.

    A start that nothing was heard of is in neither mapping: it is planned again. `held_back` is
    the refusal because of which it was not even tried.
    """

    started: Mapping[str, PodRef]
    refused: Mapping[str, Refused]
    lost: frozenset[str] = frozenset()
    held_back: Refused | None = None
