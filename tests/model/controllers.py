"""What a controller does: its caches catch up, it plans, and it carries its plan out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.model.protocols import Draft, Planner, adoptable
from tests.model.state import (
    FAILED,
    Controller,
    Request,
    View,
    Work,
    World,
    observe,
)
from tests.model.world import Server, Surroundings

Step = tuple[str, World, Controller]


@dataclass(frozen=True)
class Controllers:
    """The steps of any controller.

    A crash needs no step of its own. It is: the plan is abandoned, then both caches are filled
    anew. So is a request that got lost or was answered too late, where nothing else depends on it.
    """

    planner: Planner
    server: Server
    words: Surroundings

    def steps(self, world: World, me: Controller) -> Iterator[Step]:
        """Each step that this controller can make now."""
        if world.object != me.object:
            yield "sees the object", world, me._replace(object=world.object)
        view = observe(world.pods)
        if view != me.view:
            yield "sees the Pods", world, me._replace(view=view)
        if me.work is None:
            work = self.planner.plan(me.object, me.view)
            if work is not None:
                yield "plans", world, me._replace(work=work)
            return
        yield "gives its plan up", world, me._replace(work=None)
        if self.planner.scope.late and world.late is None:
            for request in _pending(me.work):
                late = world._replace(late=request)
                yield f"dies, in the air: {self._say(request)}", late, me._replace(work=None)
        for label, after, work in self._carry_out(world, me.work):
            yield label, after, me._replace(work=work)

    def narrowed(self, world: World, me: Controller) -> Controller:
        """The controller without what can make no difference any more in this world or later.

        A PUT from a status that has been replaced will be refused: nothing that was to follow it
        is left, only the requests before it. (Where there is nothing to store yet, there may be
        no PUT, and what follows is left too.) A Pod's UID, its gate and its finalizer never come
        back once they are gone, so neither does the effect of a request about them.
        """
        work = me.work
        if work is None:
            return me
        after = tuple(one for one in work.after if self.server.can_change(world, one))
        if self.server.protocol.fenced and not work.stored and work.base != world.object:
            before = tuple(one for one in work.before if self.server.can_change(world, one))
            after = after if work.draft == work.base else ()
            return me._replace(work=_prepared(Work(work.base, work.base, before, after)))
        return me._replace(work=_rest(work._replace(after=after)))

    def undisturbed(self, world: World) -> World:
        """The world after one whole plan, made from fresh caches, of which nothing is lost."""
        work = self.planner.plan(world.object, observe(world.pods))
        while work is not None and work.before:
            request, *others = work.before
            world = self.server.handle(world, request)
            rest = work._replace(before=tuple(others))
            work = _prepared(self._answered(rest, request, world))
        if work is not None and not work.stored:
            world = self.server.handle(world, Request("put", base=work.base, new=work.draft))
        for request in work.after if work else ():
            world = self.server.handle(world, request)
        return world

    def _carry_out(self, world: World, work: Work) -> Iterator[tuple[str, World, Work | None]]:
        """`Executor.execute`: the requests before the PUT, the PUT, the requests after it."""
        if work.before:
            for request in work.before:
                yield from self._prepare(world, work, request)
        elif not work.stored:
            put = Request("put", base=work.base, new=work.draft)
            # What was planned to follow is let go by a conflict, and by a lost answer.
            conflict = self.server.protocol.fenced and world.object != work.base
            label, after = self._say(put), self.server.handle(world, put)
            if conflict:
                yield f"{label}: conflict", after, None
            else:
                yield label, after, _rest(work._replace(stored=True))
                yield f"{label}; the answer is lost", after, None
        else:
            for request in work.after:
                rest = tuple(other for other in work.after if other != request)
                left = _rest(work._replace(after=rest))
                yield self._say(request), self.server.handle(world, request), left

    def _prepare(
        self, world: World, work: Work, request: Request
    ) -> Iterator[tuple[str, World, Work | None]]:
        rest = work._replace(before=tuple(other for other in work.before if other != request))
        label, after = self._say(request), self.server.handle(world, request)
        answered = self._answered(rest, request, after)
        if answered != rest or after != world:
            yield label, after, _prepared(answered)
        if after != world:
            yield f"{label}; the answer is lost", after, _prepared(rest)
        yield f"{label}; the request is lost", world, _prepared(rest)
        if self.planner.scope.late and world.late is None:
            late = world._replace(late=request)
            yield f"waits no longer for: {label}", late, _prepared(rest)

    def _answered(self, work: Work, request: Request, world: World) -> Work:
        """`PodWriter.start` and `is_lost`, and `settle` with their answer."""
        view: View = observe(world.pods)
        pod = view[request.place]
        match request.verb:
            case "create":
                # Its own Pod, or after AlreadyExists the one that a GET shows, if it is gated.
                if pod is not None and adoptable(self.planner.protocol, pod):
                    return self._recorded(work, request.place, pod.uid)
            case "look" if pod is None or pod.uid != request.uid:
                task = self.planner.scope.attempts[request.place].task
                rows = list(work.draft.rows)
                rows[task] = self.planner.ended(rows[task], FAILED)
                return work._replace(draft=work.draft._replace(rows=tuple(rows)))
            case "ask" if pod is None and world.object == work.base:
                return work._replace(before=(*work.before, Request("create", request.place)))
            case _:
                pass
        return work

    def _recorded(self, work: Work, place: int, uid: int) -> Work:
        draft = Draft(list(work.draft.rows), list(work.before), list(work.after))
        self.planner.record(draft, place, uid)
        return work._replace(
            draft=work.draft._replace(rows=tuple(draft.rows)),
            before=tuple(sorted(draft.before)),
            after=tuple(sorted(draft.after)),
        )

    def _say(self, request: Request) -> str:
        return self.words.describe(request)


def _prepared(work: Work) -> Work | None:
    """The work after an answer: where it leaves nothing to store, there is no PUT."""
    return _rest(work._replace(stored=not work.before and work.draft == work.base))


def _rest(work: Work) -> Work | None:
    """None for work that is done."""
    return None if work.stored and not work.after else work


def _pending(work: Work) -> tuple[Request, ...]:
    """The requests that are in the air when a controller dies now."""
    if work.before:
        return work.before
    if not work.stored:
        return (Request("put", base=work.base, new=work.draft),)
    return work.after
