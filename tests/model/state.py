"""What there is: the object that decides, the Pods, the controllers, and the ground truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

# The phase of a row, as in `observatory.api.status.TaskPhase`. Only a wrong protocol has INTENDED.
PENDING: Final = "Pending"
INTENDED: Final = "Intended"
RUNNING: Final = "Running"
SUCCEEDED: Final = "Succeeded"
FAILED: Final = "Failed"
SKIPPED: Final = "Skipped"
ENDED: Final = frozenset({SUCCEEDED, FAILED, SKIPPED})
NEVER: Final = "never"
"""In the ledger: no container of the attempt has started yet."""

GATED: Final = "gated"
FREE: Final = "free"
"""The phase of a Pod without its gate that no node has yet."""


class Row(NamedTuple):
    """A task in the status. `attempt` is the latest one; `uid` is known while it runs."""

    phase: str = PENDING
    attempt: int = 0
    uid: int = 0


class Object(NamedTuple):
    """The Observatory: what users do to it and its status, under one resourceVersion.

    No version is kept. Each write that the protocol makes moves a row, the run or a flag forward
    and none moves back (the invariant BACK), so no value is ever stored twice: to compare versions
    is to compare values.
    (A write that moves nothing costs the other controllers a conflict: they lose a request.)
    """

    deleting: bool
    revision_wanted: int
    run: int
    revision: int
    rows: tuple[Row, ...]

    @property
    def over(self) -> bool:
        """Whether the run has ended. One that has not begun has not ended."""
        return self.run > 0 and all(row.phase in ENDED for row in self.rows)

    @property
    def active(self) -> bool:
        """Whether a run is in progress."""
        return self.run > 0 and not self.over


class Pod(NamedTuple):
    """A Pod as it is stored. Its name is its place in `World.pods`.

    RUNNING begins when a node has it, and then the container counts as started: until the kubelet
    says more, nobody can tell a container that runs from one that is about to.
    """

    uid: int
    phase: str
    tracked: bool = True
    deleting: bool = False


class Seen(NamedTuple):
    """A Pod as a plan sees it: `observatory.core.pods.observe`."""

    uid: int
    gated: bool
    tracked: bool
    deleting: bool
    outcome: str | None


View = tuple[Seen | None, ...]


class Request(NamedTuple):
    """A request of a controller: its verb, the Pod's place and UID, or what a PUT replaces."""

    verb: str
    place: int = -1
    uid: int = 0
    base: Object | None = None
    new: Object | None = None


class World(NamedTuple):
    """Everything outside of the controllers.

    Attributes:
        made: How many UIDs were handed out under each Pod's name.
        ledger: What has really become of each attempt's container, by the Pod's place.
        late: A request in the air whose sender has given up on it.
        violation: The invariant that the last step broke.
    """

    object: Object
    pods: tuple[Pod | None, ...]
    made: tuple[int, ...]
    ledger: tuple[str, ...]
    late: Request | None = None
    violation: str = ""


class Work(NamedTuple):
    """A plan in execution: `observatory.runtime.executor.Executor.execute`.

    Attributes:
        base: The object that it was planned from.
        draft: The status to store; each answer to a request completes it.
        before: The requests to make before the PUT.
        after: The requests to make after it.
        stored: The PUT was answered, or there was nothing to store.
    """

    base: Object
    draft: Object
    before: tuple[Request, ...]
    after: tuple[Request, ...]
    stored: bool = False


class Controller(NamedTuple):
    """A controller that believes it leads: its two caches, and the plan that it carries out."""

    object: Object
    view: View
    work: Work | None = None


class Attempt(NamedTuple):
    """What a Pod's name is derived from: `observatory.core.model.Identity`."""

    run: int
    revision: int
    task: int
    attempt: int


# The invariants.
TWICE: Final = "a container of one attempt starts twice"
TOGETHER: Final = "two attempts of a task run together"
DISORDER: Final = "an attempt starts after a later one"
CROWD: Final = "more containers run than maxConcurrent allows"
NEED: Final = "a container starts before what its task depends on has succeeded"
AFTER: Final = "a container starts after its run has ended"
LATCH: Final = "a recorded end changes"
BACK: Final = "a status moves back"
LIE: Final = "a success is recorded that was none"
EARLY: Final = "an end is recorded while the container runs"
LOSS: Final = "a success is recorded as a failure though nobody forced the Pod away"
INVARIANTS: Final = frozenset(
    {TWICE, TOGETHER, DISORDER, CROWD, NEED, AFTER, LATCH, BACK, LIE, EARLY, LOSS}
)


@dataclass(frozen=True)
class Scope:
    """How large a world is explored.

    Attributes:
        needs: For each task, the tasks that it depends on.
        tries: Attempts of each task. The second follows a failure of the first.
        limit: `spec.maxConcurrent`; 0 for none.
        uids: UIDs under one name. A create beyond them is a lost request.
        exits: How a container may end by itself.
        cancel: The Observatory may be deleted, at any time.
        edit: Its tasks may be edited, at any time, once.
        delete: Users may delete Pods, with grace.
        force: Users may force Pods away, finalizer and all.
        late: A request may arrive after its sender gave up on it or died.
        controllers: How many believe that they lead: 1 or 2.
    """

    needs: tuple[tuple[int, ...], ...] = ((),)
    tries: int = 1
    limit: int = 0
    uids: int = 2
    exits: tuple[str, ...] = (SUCCEEDED, FAILED)
    cancel: bool = False
    edit: bool = False
    delete: bool = False
    force: bool = False
    late: bool = False
    controllers: int = 2
    attempts: tuple[Attempt, ...] = field(init=False)

    def __post_init__(self) -> None:
        # An edit before the first run makes that one of revision 2; later, it makes a second run.
        runs = ((1, 1), (1, 2), (2, 2)) if self.edit else ((1, 1),)
        attempts = tuple(
            Attempt(run, revision, task, attempt)
            for run, revision in runs
            for task in range(len(self.needs))
            for attempt in range(1, self.tries + 1)
        )
        object.__setattr__(self, "attempts", attempts)

    def place(self, item: Object, task: int, attempt: int) -> int:
        """Where the Pod of that attempt in the object's run is found."""
        return self.attempts.index(Attempt(item.run, item.revision, task, attempt))

    def first_world(self) -> World:
        """Nothing has happened yet."""
        names = len(self.attempts)
        rows = (Row(),) * len(self.needs)
        item = Object(deleting=False, revision_wanted=1, run=0, revision=0, rows=rows)
        return World(item, (None,) * names, (0,) * names, (NEVER,) * names)


def observe(pods: tuple[Pod | None, ...]) -> View:
    """The Pods as a plan sees them."""
    return tuple(None if pod is None else _seen(pod) for pod in pods)


def _seen(pod: Pod) -> Seen:
    outcome = pod.phase if pod.phase in ENDED else None
    if pod.deleting and pod.phase in (GATED, FREE):
        outcome = FAILED  # the API server binds no Pod that is being deleted
    return Seen(pod.uid, pod.phase == GATED, pod.tracked, pod.deleting, outcome)
