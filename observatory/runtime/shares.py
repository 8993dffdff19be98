"""What all runs share: keeps count of the active Pods, and calls those that may start more.

It connects `machinery.slots` with what is watched, planned and stored. Without a limit that is
shared it does nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from observatory.api.limits import Limits
from observatory.api.names import Key
from observatory.api.status import Status
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.api.types import JsonObject
from observatory.core.allowance import Allowance
from observatory.core.model import Desired, Plan, Pod
from observatory.kube.errors import ApiError, ServerError
from observatory.machinery.slots import Ask, Place, Slots
from observatory.machinery.store import Change
from observatory.runtime.executor import Execution


class Shares:
    """Deals out the active Pods that a namespace, and all of them together, may have."""

    def __init__(self, limits: Limits, call: Callable[[Iterable[Key]], None]) -> None:
        """`call` has keys reconciled: there is something for them."""
        self.limits = limits
        self._call = call
        self._slots: Slots | None = None
        if limits.namespace is not None or limits.cluster is not None:
            self._slots = Slots(limits.namespace, limits.cluster)

    def saw(self, changes: Sequence[Change[JsonObject]]) -> None:
        """Observatories have changed in the cache, whoever has written them."""
        if self._slots is None:
            return
        for change in changes:
            if change.new is not None:
                key, version = _key_of(change.new)
                self._slots.recorded(key, version, _recorded(change.new))
            elif change.old is not None:
                self._slots.gone(_key_of(change.old)[0])
        self._call_next()

    def see(self, key: Key, uid: str | None, pods: Sequence[Pod]) -> None:
        """What runs under a key without being recorded in the Observatory of that UID, if any.

        Pods of a deleted Observatory run until they have ended; so do those that it leaves behind.
        """
        if self._slots is None:
            return
        left = [pod for pod in pods if uid is None or pod.owner_uid != uid]
        count = sum(not (pod.gated or pod.outcome) for pod in left)
        if uid is None:
            self._slots.gone(key, count)
        else:
            self._slots.strays(key, count)
        self._call_next()

    @contextmanager
    def attended(self, key: Key) -> Iterator[None]:
        """While a key is worked on: one that fails keeps no slot free for it."""
        try:
            yield
        except BaseException:
            if self._slots is not None:
                self._slots.withdraw(key)
                self._call_next()
            raise

    def ask(
        self, desired: Desired, status: Status, version: str, pods: Iterable[Pod], now: datetime
    ) -> Turn:
        """What a run may start by the next plan, which is to be made without a pause."""
        if self._slots is None:
            return Turn(self, None, Allowance(self.limits.run))
        over = {pod.uid for pod in pods if pod.outcome}
        active = sum(row.pod_uid not in over for row in _running(status))
        rows = len(status.tasks) if status.active else 0
        wish = max(rows, len(desired.program.tasks) if desired.program else 0)
        place = _place(status, now)
        ask = Ask(desired.key, place, int(version or 0), active, wish)
        offer = self._slots.offer(ask)
        allowance = Allowance(self.limits.run, offer.slots, offer.reason, offer.limit)
        return Turn(self, ask, allowance)

    def take(self, ask: Ask, made: Plan) -> None:
        """Take what a plan starts."""
        if self._slots is not None:
            place = ask.place._replace(late=made.draft.finally_time is None)
            self._slots.take(replace(ask, place=place), len(made.starts), made.short)
            self._call_next()

    def settle(self, ask: Ask, made: Plan, execution: Execution) -> None:
        """Give back what has not been started after all."""
        if self._slots is None:
            return
        if execution.status is None or execution.version is None:
            # Somebody wrote first. Was it this write itself, sent twice? The next version tells.
            self.drop(ask, doubtful=True)
            return
        stored = _count(execution.status)
        self._slots.settle(ask.key, int(execution.version), stored)
        if execution.errors or stored != _count(made.draft) + len(made.starts):
            # It comes back by itself; until then others may have what it can't use.
            self._slots.withdraw(ask.key)
        self._call_next()

    def drop(self, ask: Ask, *, doubtful: bool) -> None:
        """Nothing was stored of what a plan starts, or nobody knows."""
        if self._slots is not None:
            self._slots.drop(ask.key, doubtful=doubtful)
            self._call_next()

    def _call_next(self) -> None:
        if self._slots is not None and (keys := self._slots.next_up()):
            self._call(keys)


class Turn:
    """What one plan may start, and what becomes of it."""

    def __init__(self, shares: Shares, ask: Ask | None, allowance: Allowance) -> None:
        self.allowance = allowance
        self._shares = shares
        self._ask = ask

    async def carry_out(self, made: Plan, executing: Awaitable[Execution]) -> Execution:
        """Await what carries the plan out, with the slots taken that it needs."""
        if self._ask is None:
            return await executing
        self._shares.take(self._ask, made)
        try:
            execution = await executing
        except BaseException as error:
            self._shares.drop(self._ask, doubtful=not _refused(error))
            raise
        self._shares.settle(self._ask, made, execution)
        return execution


def _refused(error: BaseException) -> bool:
    """Whether the server's answer says that it has stored nothing."""
    if isinstance(error, ServerError):
        return error.webhook_failed
    return isinstance(error, ApiError)


def _place(status: Status, now: datetime) -> Place:
    began = status.start_time if status.active else None
    return Place(late=status.finally_time is None, since=(began or now).timestamp())


def _running(status: Status) -> Iterator[TaskStatus]:
    return (row for row in status.tasks if row.phase is TaskPhase.RUNNING)


def _count(status: Status) -> int:
    return sum(1 for _ in _running(status))


def _key_of(observatory: JsonObject) -> tuple[Key, int]:
    metadata = observatory["metadata"]
    return Key(metadata["namespace"], metadata["name"]), int(metadata["resourceVersion"])


def _recorded(observatory: JsonObject) -> int:
    """How many Pods a status records as running, whatever its JSON may be."""
    status = observatory.get("status")
    if not isinstance(status, dict) or "completionTime" in status:
        return 0
    rows = (status.get(field) for field in ("tasks", "finally"))
    return sum(
        isinstance(row, dict) and row.get("phase") == TaskPhase.RUNNING
        for each in rows
        if isinstance(each, list)
        for row in each
    )
