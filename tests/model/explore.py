"""Breadth-first search over every reachable state, and what it finds.

A state is a world and up to two controllers. Worlds and controllers are interned as numbers, and a
state is three of them in one integer. The steps of a world, and of a controller in a world, are
worked out once each: there are far fewer such pairs than states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from tests.model.controllers import Controllers
from tests.model.protocols import Planner, Protocol
from tests.model.state import ENDED, INVARIANTS, Controller, Object, Scope, View, World, observe
from tests.model.world import Server, Surroundings

Thing = TypeVar("Thing")
BITS = 21
MASK = (1 << BITS) - 1
Actors = tuple[Controller | None, Controller | None]
PROGRESS_EVERY = 500_000


class Numbers(Generic[Thing]):
    """Numbers things as they come."""

    def __init__(self) -> None:
        self.things: list[Thing] = []
        self._numbers: dict[Thing, int] = {}

    def number(self, thing: Thing) -> int:
        """The number of a thing, the same one for equal things."""
        number = self._numbers.setdefault(thing, len(self.things))
        if number == len(self.things):
            if number > MASK:
                raise OverflowError(f"{number} worlds or controllers: make the scope smaller")
            self.things.append(thing)
        return number


@dataclass(frozen=True, slots=True)
class Found:
    """What the search found.

    Attributes:
        states: How many states were reached.
        violation: The invariant that is broken first; empty for none.
        trace: The steps of a shortest way to it, or to a dead end.
        dead_ends: Worlds from which no clean end can be reached.
    """

    states: int
    violation: str = ""
    trace: tuple[str, ...] = ()
    dead_ends: int = 0


class Explorer:
    """Explores what a protocol can do within a scope."""

    def __init__(
        self, scope: Scope, protocol: Protocol, *, invariants: frozenset[str] = INVARIANTS
    ) -> None:
        server = Server(scope, protocol)
        self._scope = scope
        self._protocol = protocol
        self._surroundings = Surroundings(scope, server)
        self._controllers = Controllers(Planner(scope, protocol), server, self._surroundings)
        self._invariants = invariants
        self._worlds: Numbers[World] = Numbers()
        self._actors: Numbers[Controller | None] = Numbers()
        self._by_world: dict[int, tuple[int, ...]] = {}
        self._by_actor: dict[int, tuple[tuple[int, int], ...]] = {}
        self._narrowed: dict[int, int] = {}

    @property
    def worlds(self) -> Sequence[World]:
        """The worlds that were reached."""
        return self._worlds.things

    @property
    def seen(self) -> frozenset[tuple[Object, View]]:
        """What a controller's caches held at some time."""
        return frozenset((one.object, one.view) for one in self._actors.things if one)

    def explore(self, progress: Callable[[int], None] = lambda _: None) -> Found:
        """Every reachable state, or all up to the first that breaks an invariant."""
        first = self._first()
        parents = {first: first}
        frontier = [first]
        told = PROGRESS_EVERY
        while frontier:
            following = []
            for state in frontier:
                for after in self._after(state):
                    if after in parents:
                        continue
                    parents[after] = state
                    if violation := self._worlds.things[after >> 2 * BITS].violation:
                        return Found(len(parents), violation, self._trace(parents, after))
                    following.append(after)
            frontier = following
            if len(parents) > told:
                progress(len(parents))
                told = len(parents) + PROGRESS_EVERY
        return self._judge_ends(parents)

    def _first(self) -> int:
        world = self._scope.first_world()
        actors = [fresh(world), fresh(world) if self._scope.controllers > 1 else None]
        low, high = sorted(map(self._actors.number, actors))
        return self._number(world) << 2 * BITS | low << BITS | high

    def _number(self, world: World) -> int:
        """The number of a world; what is broken but not looked for is forgotten."""
        if world.violation and world.violation not in self._invariants:
            world = world._replace(violation="")
        return self._worlds.number(world)

    def _after(self, state: int) -> Iterator[int]:
        """The states that follow. The controllers are alike: their order makes no difference."""
        world, one, two = state >> 2 * BITS, state >> BITS & MASK, state & MASK
        moved = self._by_world.get(world)
        if moved is None:
            moved = self._move(world)
        for after in moved:
            me, other = self._narrow(after, one), self._narrow(after, two)
            yield after << 2 * BITS | (me << BITS | other if me < other else other << BITS | me)
        for mover, still in ((one, two), (two, one)) if one != two else ((one, two),):
            acted = self._by_actor.get(world << BITS | mover)
            if acted is None:
                acted = self._act(world, mover)
            for after, me in acted:
                other = still if after == world else self._narrow(after, still)
                yield after << 2 * BITS | (me << BITS | other if me < other else other << BITS | me)

    def _narrow(self, world: int, actor: int) -> int:
        """The number of the actor without what can make no difference in this world."""
        narrowed = self._narrowed.get(world << BITS | actor)
        if narrowed is None:
            me = self._actors.things[actor]
            then = me and self._controllers.narrowed(self._worlds.things[world], me)
            narrowed = self._narrowed[world << BITS | actor] = self._actors.number(then)
        return narrowed

    def _move(self, world: int) -> tuple[int, ...]:
        steps = self._surroundings.steps(self._worlds.things[world])
        moved = tuple({self._number(after): None for _, after in steps})
        self._by_world[world] = moved
        return moved

    def _act(self, world: int, actor: int) -> tuple[tuple[int, int], ...]:
        me = self._actors.things[actor]
        steps = self._controllers.steps(self._worlds.things[world], me) if me else ()
        narrowed = self._controllers.narrowed
        acted = tuple(
            {
                (self._number(after), self._actors.number(narrowed(after, then))): None
                for _, after, then in steps
            }
        )
        self._by_actor[world << BITS | actor] = acted
        return acted

    def _judge_ends(self, parents: dict[int, int]) -> Found:
        """Whether a clean end can be reached from each state.

        It is enough to ask that of each world. In every state each controller may give its plan
        up and look anew; what then happens without a fault is one path, and one is asked for. It
        needs no user: only what machines do, and one controller that is not disturbed. It may take
        one UID more than the scope has, where users have used them up.
        """
        worlds = list(dict.fromkeys(state >> 2 * BITS for state in parents))
        ending = _Undisturbed(replace(self._scope, uids=self._scope.uids + 1), self._protocol)
        dead = {number for number in worlds if not ending.ends_well(self._worlds.things[number])}
        trace: tuple[str, ...] = ()
        if dead:
            trace = self._trace(parents, next(at for at in parents if at >> 2 * BITS in dead))
        return Found(len(parents), "", trace, dead_ends=len(dead))

    def _trace(self, parents: dict[int, int], last: int) -> tuple[str, ...]:
        """The steps from the first state to the last, told of controllers A and B."""
        path = [last]
        while parents[path[-1]] != path[-1]:
            path.append(parents[path[-1]])
        world = self._scope.first_world()
        actors: Actors = (fresh(world), fresh(world) if self._scope.controllers > 1 else None)
        told = []
        for state in reversed(path[:-1]):
            for label, after, then in self._told(world, actors):
                number = self._number(after)
                both = [self._narrow(number, self._actors.number(each)) for each in then]
                if number << 2 * BITS | min(both) << BITS | max(both) == state:
                    told.append(label)
                    world = self._worlds.things[number]
                    actors = (self._actors.things[both[0]], self._actors.things[both[1]])
                    break
        return tuple(told)

    def _told(self, world: World, actors: Actors) -> Iterator[tuple[str, World, Actors]]:
        for label, after in self._surroundings.steps(world):
            yield label, after, actors
        one, two = actors
        if one:
            for label, after, me in self._controllers.steps(world, one):
                yield f"A {label}", after, (me, two)
        if two:
            for label, after, me in self._controllers.steps(world, two):
                yield f"B {label}", after, (one, me)


class _Undisturbed:
    """What becomes of worlds in which one controller works and no fault happens any more."""

    def __init__(self, scope: Scope, protocol: Protocol) -> None:
        server = Server(scope, protocol)
        self._surroundings = Surroundings(scope, server)
        self._controllers = Controllers(Planner(scope, protocol), server, self._surroundings)
        self._known: dict[World, bool] = {}

    def ends_well(self, first: World) -> bool:
        """Whether a clean end can be reached from this world."""
        if first not in self._known:
            self._judge(first)
        return self._known[first]

    def _judge(self, first: World) -> None:
        before: dict[World, list[World]] = {first: []}
        found = [first]
        for world in found:  # it grows
            if world in self._known:
                continue
            steps = [after for _, after in self._surroundings.machines(world)]
            for after in (*steps, self._controllers.undisturbed(world)):
                if after not in before:
                    before[after] = []
                    found.append(after)
                before[after].append(world)
        good = [world for world in found if self._known.get(world, clean(world))]
        self._known |= dict.fromkeys(found, False) | dict.fromkeys(good, True)
        for world in good:  # it grows
            for earlier in before[world]:
                if not self._known[earlier]:
                    self._known[earlier] = True
                    good.append(earlier)


def fresh(world: World) -> Controller:
    """A controller that has just filled its caches."""
    return Controller(world.object, observe(world.pods))


def clean(world: World) -> bool:
    """Whether all is done: nothing is in progress or in the air, and nothing holds a Pod."""
    item = world.object
    done = not item.active and (item.deleting or item.revision == item.revision_wanted)
    held = any(pod and (pod.tracked or pod.phase not in ENDED) for pod in world.pods)
    return done and not held and world.late is None
