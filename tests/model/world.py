"""What the API server, the kubelet and users do: the steps that no controller decides about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.model.protocols import Protocol
from tests.model.state import (
    AFTER,
    BACK,
    CROWD,
    DISORDER,
    EARLY,
    ENDED,
    FAILED,
    FREE,
    GATED,
    INTENDED,
    LATCH,
    LIE,
    LOSS,
    NEED,
    NEVER,
    PENDING,
    RUNNING,
    SUCCEEDED,
    TOGETHER,
    TWICE,
    Object,
    Pod,
    Request,
    Row,
    Scope,
    World,
)

Step = tuple[str, World]


@dataclass(frozen=True)
class Server:
    """The API server: it carries one request out at a time, and checks what is recorded."""

    scope: Scope
    protocol: Protocol

    def handle(self, world: World, request: Request) -> World:
        """The world after a request. One that comes too late, or twice, changes nothing."""
        if request.verb == "put":
            return self._put(world, request)
        if request.verb == "create":
            return self._create(world, request.place)
        pod = world.pods[request.place]
        by_name = self.protocol.by_name and request.verb == "release"
        if pod is None or (pod.uid != request.uid and not by_name):
            return world
        match request.verb:
            case "release":
                changed = pod._replace(phase=FREE) if pod.phase == GATED else pod
            case "finish":
                changed = pod._replace(tracked=False)
            case "delete":
                changed = terminating(pod)
            case _:
                return world  # it only asks
        return replaced(world, request.place, changed)

    def can_change(self, world: World, request: Request) -> bool:
        """Whether a request about a Pod can have an effect, now or later."""
        pod = world.pods[request.place]
        match request.verb:
            case "create":
                return world.made[request.place] < self.scope.uids
            case "release" if self.protocol.by_name:
                return True
            case "ask":
                return False  # it asks for the very object that it was planned from
            case "look":
                return False  # its answer is of use only to the PUT
            case _:
                return self.handle(world, request) != world and pod is not None

    def _create(self, world: World, place: int) -> World:
        if world.pods[place] is not None or world.made[place] >= self.scope.uids:
            return world
        uid = world.made[place] + 1
        pod = Pod(uid, GATED if self.protocol.gated else FREE)
        made = (*world.made[:place], uid, *world.made[place + 1 :])
        return replaced(world, place, pod)._replace(made=made)

    def _put(self, world: World, request: Request) -> World:
        assert request.new is not None
        if self.protocol.fenced and world.object != request.base:
            return world
        old, new = world.object, request.new
        # Users' fields are not written through the subresource.
        new = new._replace(deleting=old.deleting, revision_wanted=old.revision_wanted)
        broken = [
            self._broken_by_record(world, task, *pair)
            for task, pair in enumerate(zip(old.rows, new.rows, strict=True))
            if old.run == new.run and pair[0] != pair[1]
        ]
        violation = next(filter(None, broken), BACK if new.run < old.run else "")
        return world._replace(object=new, violation=violation)

    def _broken_by_record(self, world: World, task: int, old: Row, new: Row) -> str:
        """The invariant that is broken where a status records `new` after `old`."""
        if old.phase in ENDED:
            return LATCH
        if _rank(new) <= _rank(old):
            return BACK
        if old.phase != RUNNING:
            return ""
        truth = world.ledger[self.scope.place(world.object, task, old.attempt)]
        if truth == RUNNING:
            return EARLY
        if (new.phase == SUCCEEDED) == (truth == SUCCEEDED):
            return ""
        return LIE if new.phase == SUCCEEDED else "" if self.scope.force else LOSS


def _rank(row: Row) -> int:
    """How far a row is: what one write may only ever increase, whatever the row holds."""
    if row.phase in ENDED:
        return 1_000
    steps = {INTENDED: -2, RUNNING: -1, PENDING: 0}
    return 3 * row.attempt + steps[row.phase]


@dataclass(frozen=True)
class Surroundings:
    """The kubelet with the scheduler and the garbage collector, and users."""

    scope: Scope
    server: Server

    def steps(self, world: World) -> Iterator[Step]:
        """Each step that is possible now."""
        yield from self.machines(world)
        yield from self._users(world)

    def machines(self, world: World) -> Iterator[Step]:
        """What happens by itself."""
        for place, pod in enumerate(world.pods):
            if pod is None:
                continue
            name = self.name(place)
            if pod.phase == FREE and not pod.deleting:
                yield f"a node starts {name}, uid {pod.uid}", self._start(world, place, pod)
            elif pod.phase == RUNNING:
                # One that is told to end may still end well.
                for outcome in {*self.scope.exits, *((FAILED,) if pod.deleting else ())}:
                    ended = Pod(pod.uid, outcome, tracked=pod.tracked)
                    after = _noted(replaced(world, place, ended), place, outcome)
                    yield f"{name}, uid {pod.uid}, ends: {outcome}", after
            elif pod.phase in ENDED and not pod.tracked:
                yield f"{name}, uid {pod.uid}, is garbage-collected", replaced(world, place, None)
        if world.late is not None:
            heard = self.server.handle(world, world.late)._replace(late=None)
            yield f"a late request arrives: {self.describe(world.late)}", heard
            yield f"a late request is lost: {self.describe(world.late)}", world._replace(late=None)

    def _users(self, world: World) -> Iterator[Step]:
        scope, item = self.scope, world.object
        if scope.cancel and not item.deleting:
            after = world._replace(object=item._replace(deleting=True))
            yield "a user deletes the Observatory", after
        if scope.edit and item.revision_wanted == 1:
            after = world._replace(object=item._replace(revision_wanted=2))
            yield "a user edits the tasks", after
        for place, pod in enumerate(world.pods):
            if pod is None:
                continue
            name = f"{self.name(place)}, uid {pod.uid}"
            if scope.delete and not pod.deleting and pod.phase not in ENDED:
                yield f"a user deletes {name}", replaced(world, place, terminating(pod))
            if scope.force:
                gone = replaced(world, place, None)
                if pod.phase == RUNNING:
                    gone = _noted(gone, place, FAILED)
                yield f"a user forces {name} away", gone

    def _start(self, world: World, place: int, pod: Pod) -> World:
        """The container starts: the moment that most invariants are about."""
        violation = self._broken_by_start(world, place)
        started = replaced(world, place, pod._replace(phase=RUNNING))
        return _noted(started, place, RUNNING)._replace(violation=violation)

    def _broken_by_start(self, world: World, place: int) -> str:
        attempts, this = self.scope.attempts, self.scope.attempts[place]
        running = world.ledger.count(RUNNING) + 1
        for other, truth in zip(attempts, world.ledger, strict=True):
            if other.task != this.task or truth == NEVER:
                continue
            ours, theirs = (this.run, this.attempt), (other.run, other.attempt)
            if ours == theirs:  # it may be of another revision
                return TWICE
            if truth == RUNNING:
                return TOGETHER
            if theirs > ours:
                return DISORDER
        if self.scope.limit and running > self.scope.limit:
            return CROWD
        if world.object.over and this.run <= world.object.run:
            return AFTER
        return self._unmet(world.object, place)

    def _unmet(self, item: Object, place: int) -> str:
        needs = self.scope.needs[self.scope.attempts[place].task]
        return NEED if any(item.rows[need].phase != SUCCEEDED for need in needs) else ""

    def name(self, place: int) -> str:
        """The name of a Pod."""
        attempt = self.scope.attempts[place]
        run = f" of run {attempt.run} revision {attempt.revision}" if self.scope.edit else ""
        return f"Pod of task {'ABC'[attempt.task]} attempt {attempt.attempt}{run}"

    def describe(self, request: Request) -> str:
        """A request in words."""
        if request.verb == "put":
            assert request.new is not None
            return f"PUT status {describe(request.new)}"
        words = {
            "create": "POST",
            "look": "GET",
            "ask": "GET the object and",
            "release": "PATCH off the gate of",
            "finish": "PATCH off the finalizer of",
            "delete": "DELETE",
        }
        uid = f", uid {request.uid}" if request.uid else ""
        return f"{words[request.verb]} the {self.name(request.place)}{uid}"


def replaced(world: World, place: int, pod: Pod | None) -> World:
    """The world with that Pod, which goes at once where nothing holds it."""
    if pod is not None and pod.deleting and not pod.tracked and pod.phase in (GATED, FREE):
        pod = None
    return world._replace(pods=(*world.pods[:place], pod, *world.pods[place + 1 :]))


def terminating(pod: Pod) -> Pod:
    """The Pod after a DELETE. One that has ended only waits for its finalizer, as before."""
    return pod if pod.phase in ENDED else pod._replace(deleting=True)


def describe(item: Object) -> str:
    """A status in words."""
    rows = (
        f"{task} {row.phase}"
        + (f" attempt {row.attempt}" if row.attempt else "")
        + (f" uid {row.uid}" if row.uid else "")
        for task, row in zip("ABC", item.rows, strict=False)
    )
    return f"[run {item.run}: {', '.join(rows)}]"


def _noted(world: World, place: int, truth: str) -> World:
    ledger = (*world.ledger[:place], truth, *world.ledger[place + 1 :])
    return world._replace(ledger=ledger)
