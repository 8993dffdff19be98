"""The reconciler: brings one Observatory, by its key, a step closer to what it asks for.

It reads the caches in one step, plans, and has the plan carried out. It is level-triggered: what
happened doesn't matter, only what is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from structlog.contextvars import bind_contextvars

from observatory.api.ending import RequestType
from observatory.api.names import OBSERVATORIES, Key
from observatory.api.status import Status, StatusError
from observatory.api.types import JsonObject
from observatory.core.children import Child
from observatory.core.desired import attended, desire
from observatory.core.ending import asked
from observatory.core.fit import restored
from observatory.core.model import Desired, Event, Observed, Pod, Program
from observatory.core.parent import concerns, tell_runs
from observatory.core.plan import plan
from observatory.core.pods import ref
from observatory.core.summary import TOO_LARGE
from observatory.core.tell import tell, tell_requests
from observatory.kube.api import Api
from observatory.kube.errors import Conflict, KubeError, NotFound
from observatory.machinery.consistency import ConsistencyStore
from observatory.runtime.cache import Cache, Scope
from observatory.runtime.executor import Execution, Executor, together
from observatory.runtime.families import Families
from observatory.runtime.observer import Observer
from observatory.runtime.podwriter import PodWriter
from observatory.runtime.reviews import Reviews
from observatory.runtime.revisions import Revisions
from observatory.runtime.runsexecutor import RunsExecutor
from observatory.runtime.statuswriter import StatusWriter

LAG_PATIENCE = timedelta(seconds=10)
"""Time after which a key is worked on although the cache still lags. It costs writes that are
refused, never a second start: no rule of the start protocol relies on a fresh cache."""

Record = Callable[[JsonObject, Event], None]
"""Emits an Event about an Observatory; best effort."""


@dataclass(frozen=True, slots=True)
class Result:
    """When the key is to come back, in seconds, though nothing may have happened by then."""

    requeue_after: float | None = None


class TerminalError(Exception):
    """Trying again can't help until the object changes."""


@dataclass(slots=True)
class _Known:
    """What was derived of one Observatory: once a change, and not once a look."""

    desired: Desired
    version: str
    status: Status
    pinned: Program | None = None

    @property
    def uid(self) -> str:
        """The UID of the Observatory."""
        return self.desired.uid


@dataclass(frozen=True, slots=True)
class _AtRest:
    """An Observatory for which nothing was to be done: all that is kept of most of them."""

    uid: str
    version: str


class Reconciler:
    """Reconciles Observatories over an `Api`, from the caches."""

    def __init__(
        self,
        api: Api,
        cache: Cache,
        *,
        now: Callable[[], datetime],
        record: Record,
        observer: Observer,
    ) -> None:
        self._api = api
        self._cache = cache
        self._now = now
        self._record = record
        self._observer = observer
        self._consistency = ConsistencyStore()
        self._executor = Executor(api, self._consistency.wrote)
        self._runs = RunsExecutor(api, self._consistency.wrote)
        self._reviews = Reviews(api)
        self._families = Families(api)
        # No cache has to catch up with writes about Pods whose owner is gone.
        self._strays = PodWriter(api, lambda *_: None)
        self._revisions = Revisions(api)
        self._statuses = StatusWriter(api, self._consistency.wrote)
        self._known: dict[Key, _Known | _AtRest] = {}
        self._lagging_since: dict[Key, datetime] = {}

    async def reconcile(self, key: Key) -> Result:
        """One step for one Observatory, whether it exists or not.

        Not to be called for a key that is being reconciled.

        Raises:
            KubeError: A request failed; come back with back-off.
            TerminalError: Come back when the object has changed.
        """
        scope = self._cache.scope(key.namespace)
        observatory = scope.observatories.get(key)
        uid = observatory["metadata"]["uid"] if observatory else None
        if uid and self._must_wait(key, uid, scope):
            return Result(LAG_PATIENCE.total_seconds())
        pods = scope.pods_of(key)
        if observatory is None:
            self._forget(key)
            _raise_first(await self._sweep(key, pods))
            return Result()
        if self._rests(observatory, key, pods):
            return Result()
        known = self._derive(observatory, key)
        _bind(known.status)
        children = tuple(child for child in scope.children_of(key) if child.owner_uid == uid)
        errors: list[KubeError] = []
        if strays := [pod for pod in pods if pod.owner_uid != uid]:
            # What is recorded stays ours, whatever has become of its owner reference.
            recorded = {task.pod_uid for task in known.status.tasks}
            strays = [pod for pod in strays if pod.uid not in recorded]
            pods = tuple(pod for pod in pods if pod.owner_uid == uid or pod.uid in recorded)
            errors = await self._sweep(key, strays)
        version = known.version
        if concerns(known.desired, known.status, children):
            result = await self._step_runs(observatory, known, pods, children)
        else:
            result = await self._step(observatory, known, pods)
            result = min(result, await self._trace(known), key=_soon)
        _raise_first(errors)  # only now: what a namesake left behind keeps no run back
        await self._families.leave(observatory, scope)
        still = known.version == version and not known.status.active
        if result == Result() and still and not children and not known.desired.scheduled:
            self._known[key] = _AtRest(known.uid, known.version)
        return result

    def _rests(self, observatory: JsonObject, key: Key, pods: tuple[Pod, ...]) -> bool:
        """Whether there is nothing to do still: the object is the same, its Pods are let go."""
        metadata = observatory["metadata"]
        if self._known.get(key) != _AtRest(metadata["uid"], metadata["resourceVersion"]):
            return False
        return all(pod.outcome and not (pod.gated or pod.tracked) for pod in pods)

    def _must_wait(self, key: Key, uid: str, scope: Scope) -> bool:
        """Whether the cache lacks our own last writes; their watch events bring the key back."""
        if not self._consistency.lagging(uid, scope.seen()):
            self._lagging_since.pop(key, None)
            return False
        now = self._now()
        return now - self._lagging_since.setdefault(key, now) < LAG_PATIENCE

    async def _step(self, observatory: JsonObject, known: _Known, pods: tuple[Pod, ...]) -> Result:
        now = self._now()
        desired, before = known.desired, known.status
        known.pinned = await self._pinned(known)
        observed = Observed(before, pods, known.pinned, self._observer.sampler)
        made = plan(desired, observed, now)
        execution = await self._executor.execute(made, desired, before, known.version, now)
        if not execution.conflict and execution.status is not None:
            _bind(execution.status)
            events = () if execution.too_large else made.events
            for event in (*events, *tell(before, execution.status, desired)):
                self._record(observatory, event)
            self._observer.changed(desired, before, execution.status, made.program or known.pinned)
        return self._taken(known, execution)

    async def _step_runs(
        self,
        observatory: JsonObject,
        known: _Known,
        pods: tuple[Pod, ...],
        children: tuple[Child, ...],
    ) -> Result:
        """One step for the runs of an Observatory that has a schedule, or had one."""
        now = self._now()
        desired, before, version = known.desired, known.status, known.version
        made, unknown = await self._reviews.plan(desired, before, children, now)
        execution = await self._runs.execute(made, desired, before, version, children, now)
        execution.errors += unknown
        if not execution.conflict and execution.status is not None:
            told = tell_requests(before, execution.status, desired)
            for event in (*told, *tell_runs(before.runs, execution.status.runs)):
                self._record(observatory, event)
            self._observer.runs_changed(desired, before.runs, execution.status.runs)
        result = self._taken(known, execution)
        if not execution.conflict and (pods or desired.held):
            # It had a run of its own before it was given a schedule: what is left of that.
            left = plan(desired, Observed(known.status, pods), now)
            left = replace(left, draft=known.status, expire=False, events=())
            status, version = known.status, known.version
            rest = await self._executor.execute(left, desired, status, version, now)
            result = min(result, self._taken(known, rest), key=_soon)
        return result

    async def _trace(self, known: _Known) -> Result:
        """Have the trace of a run that has ended exported, and record it when it is."""
        desired, status = known.desired, known.status
        if not self._observer.wants(status):
            return Result()
        program = await self._executed(known)
        again = self._observer.exported(desired, status, program)
        if again is not None or status.trace is None:
            return Result(again)
        known.status = replace(status, trace=replace(status.trace, exported=True))
        try:
            known.version = await self._statuses.store(known.status, desired, known.version)
        except (Conflict, NotFound):  # the watch brings what is there instead
            known.version = ""
        self._observer.recorded(desired, status)
        return Result()

    def _taken(self, known: _Known, execution: Execution) -> Result:
        """What is known after a plan, and when to plan again."""
        if execution.conflict:
            # The stored version is newer than the one planned from: the watch will bring it.
            uid, version = known.uid, int(known.version or 0) + 1
            self._consistency.wrote(uid, OBSERVATORIES, version)
            return Result(LAG_PATIENCE.total_seconds())
        if execution.status is not None and execution.version is not None:
            known.status, known.version = execution.status, execution.version
        if execution.too_large:
            raise TerminalError(TOO_LARGE)
        _raise_first(execution.errors)
        if execution.requeue_at is None:
            return Result()
        return Result(max((execution.requeue_at - self._now()).total_seconds(), 0.0))

    def _derive(self, observatory: JsonObject, key: Key) -> _Known:
        metadata = observatory["metadata"]
        known = self._known.get(key)
        if known is not None and known.uid != metadata["uid"]:
            self._forget(key)
            known = None
        if not isinstance(known, _Known):
            known = self._known[key] = _Known(desire(observatory), "", Status())
        elif known.desired.generation != metadata.get("generation", 0):
            known.desired = desire(observatory)
        elif known.version != metadata["resourceVersion"]:
            known.desired = attended(known.desired, metadata)
        if known.version != metadata["resourceVersion"]:
            try:
                stored = Status.from_wire(observatory.get("status") or {})
                known.status = restored(stored, known.desired)
            except StatusError as error:
                if known.desired.deleting:
                    known.status = Status()  # nothing is to be known, only to be tidied up
                    return known
                note = f"{error}; only the operator may write status. Delete this Observatory"
                self._record(observatory, Event("StatusInvalid", note, "Validate", warning=True))
                raise TerminalError(str(error)) from error
            known.version = metadata["resourceVersion"]
        return known

    async def _pinned(self, known: _Known) -> Program | None:
        """The program of the latest run, where planning needs it: it is on, or is to be retried."""
        retried = asked(known.desired, known.status, RequestType.RETRY) is not None
        return await self._executed(known) if known.status.active or retried else None

    async def _executed(self, known: _Known) -> Program | None:
        """The program of the latest run: the desired one unless the spec was edited since."""
        revision = known.status.revision
        if revision is None:
            return None
        for program in (known.desired.program, known.pinned):
            if program is not None and program.revision == revision:
                return program
        return await self._revisions.load(known.desired, revision)

    async def _sweep(self, key: Key, strays: Iterable[Pod]) -> list[KubeError]:
        """Let go of Pods whose Observatory is gone; the garbage collector does the rest.

        A gated Pod was never started and never will be: no status is left that could record it.
        What fails is returned: it keeps no other Pod back.
        """
        delete = [pod for pod in strays if pod.gated and not pod.deleting]
        finish = [pod for pod in strays if pod.tracked and (pod.deleting or pod.outcome)]
        if not delete and not finish:
            return []
        try:
            live = await self._live_uid(key)
        except KubeError as error:
            return [error]

        def is_stray(pod: Pod) -> bool:
            return pod.owner_uid is None or pod.owner_uid != live  # else our cache is behind

        owner = Desired(key, "", generation=0, deleting=True)
        errors: list[KubeError] = []
        await together(
            errors,
            *(self._strays.delete(owner, ref(pod)) for pod in delete if is_stray(pod)),
            *(self._strays.finish(owner, ref(pod)) for pod in finish if is_stray(pod)),
        )
        return errors

    async def _live_uid(self, key: Key) -> str | None:
        try:
            observatory = await self._api.get(OBSERVATORIES, key)
        except (NotFound, ValueError):  # labels and owner references can name what no object can
            return None
        uid: str = observatory["metadata"]["uid"]
        return uid

    def _forget(self, key: Key) -> None:
        self._lagging_since.pop(key, None)
        known = self._known.pop(key, None)
        if known is not None:
            self._consistency.forget(known.uid)


def _bind(status: Status) -> None:
    """Have the log lines of this pass say which run they are about, and its trace."""
    if status.run:
        bind_contextvars(run=status.run)
    if trace := status.trace:
        flags = "01" if trace.sampled else "00"
        bind_contextvars(trace_id=trace.trace_id, span_id=trace.span_id, trace_flags=flags)


def _soon(result: Result) -> float:
    return float("inf") if result.requeue_after is None else result.requeue_after


def _raise_first(errors: Sequence[KubeError]) -> None:
    if errors:
        raise errors[0]
