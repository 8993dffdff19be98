"""The protocol: what a controller plans from its caches, and the ways to get that wrong.

Each function stands for one of the product's, whose name its docstring gives. A wrong protocol is
the right one with one rule changed.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.model.state import (
    ENDED,
    FAILED,
    INTENDED,
    PENDING,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    Attempt,
    Object,
    Request,
    Row,
    Scope,
    Seen,
    View,
    Work,
)

HELD = frozenset({RUNNING, INTENDED})


@dataclass(frozen=True)
class Protocol:
    """The rules; those that differ from the defaults are wrong.

    Attributes:
        gated: Pods are created with a gate.
        intent: The status records the intent first; then live GETs agree, then the Pod is created.
        release_first: The gate is removed before the PUT that records the Pod.
        fenced: A PUT carries the resourceVersion that was planned from.
        done_first: A cancelled run is marked as ended, then its Pods are deleted.
        count_pods: `maxConcurrent` counts the Pods of the cache.
        finish_first: The finalizer is removed before the PUT that records the end.
        trust_cache: A recorded Pod that the cache lacks is lost; no live GET asks.
        by_name: A patch names the Pod and doesn't test its UID.
        terminating_ends: A Pod that is being deleted counts as ended.
        adopts_all: AlreadyExists is taken for one's own Pod, with or without its gate.
        deletes_strays: Gated Pods that can't be recorded any more are deleted.
    """

    gated: bool = True
    intent: bool = False
    release_first: bool = False
    fenced: bool = True
    done_first: bool = False
    count_pods: bool = False
    finish_first: bool = False
    trust_cache: bool = False
    by_name: bool = False
    terminating_ends: bool = False
    adopts_all: bool = False
    deletes_strays: bool = True


@dataclass
class Draft:
    """A plan in the making: `observatory.core.model.Plan`."""

    rows: list[Row]
    before: list[Request]
    after: list[Request]


@dataclass(frozen=True)
class Planner:
    """Plans from an object and a view of its Pods: `observatory.core.plan.plan`."""

    scope: Scope
    protocol: Protocol

    def plan(self, item: Object, view: View) -> Work | None:
        """What to do; None for nothing."""
        if item.deleting:
            made = self._cancel(item, view)
        elif item.active:
            made = self._continue(item, item, view)
        elif item.revision != item.revision_wanted:
            made = self._continue(item, _begun(item), view)
        else:
            made = self._finished(item, item, view, Draft(list(item.rows), [], []))
        stored = not made.before and made.draft == item
        return made._replace(stored=stored) if made.before or made.after or not stored else None

    def _continue(self, base: Object, item: Object, view: View) -> Work:
        """`plan._continue`, and `_begin` where `item` is a run that is about to begin."""
        draft = Draft(list(item.rows), [], [])
        self._see_pods(item, view, draft)
        self._skip_dependents(draft.rows)
        self._start_ready(item, view, draft)
        return self._finished(base, item, view, draft)

    def _cancel(self, item: Object, view: View) -> Work:
        """`plan._cancel`."""
        draft = Draft(list(item.rows), [], [])
        self._see_pods(item, view, draft)
        draft.after.clear()  # nothing is released any more
        live = [(place, pod) for place, pod in enumerate(view) if pod and not pod.outcome]
        deletes = [_about("delete", place, pod) for place, pod in live if not pod.deleting]
        if (live or draft.before) and not self.protocol.done_first:
            return Work(item, item, tuple(draft.before), tuple(deletes))
        over = tuple(_cancelled(row) for row in draft.rows)
        finish = [
            _about("finish", place, pod)
            for place, pod in enumerate(view)
            if pod and pod.tracked and pod.outcome
        ]
        stored = item._replace(rows=over) if item.active else item
        return Work(item, stored, (), (*deletes, *finish))

    def _see_pods(self, item: Object, view: View, draft: Draft) -> None:
        """`progress.see_pods`."""
        for task, row in enumerate(draft.rows):
            if row.phase != RUNNING:
                continue
            place = self.scope.place(item, task, row.attempt)
            pod = view[place]
            if pod is None or pod.uid != row.uid:
                if self.protocol.trust_cache:
                    draft.rows[task] = self.ended(row, FAILED)
                else:
                    draft.before.append(Request("look", place, row.uid))
            elif pod.outcome:
                draft.rows[task] = self.ended(row, pod.outcome)
                if self.protocol.finish_first and pod.tracked:
                    draft.before.append(_about("finish", place, pod))
            elif pod.deleting and self.protocol.terminating_ends:
                draft.rows[task] = self.ended(row, FAILED)
            elif pod.gated:
                draft.after.append(_about("release", place, pod))

    def ended(self, row: Row, outcome: str) -> Row:
        """`rows.ended`, and what a retry makes of it: the task waits for its next attempt.

        `_start_ready` starts the attempt after the row's, and `_closed` rules out all up to it.
        """
        if outcome == FAILED and row.attempt < self.scope.tries:
            return Row(PENDING, row.attempt)
        return Row(outcome, row.attempt)

    def _skip_dependents(self, rows: list[Row]) -> None:
        """`progress.skip_dependents`; tasks are in topological order."""
        for task, needs in enumerate(self.scope.needs):
            if rows[task].phase == PENDING and any(
                rows[need].phase in (FAILED, SKIPPED) for need in needs
            ):
                rows[task] = Row(SKIPPED, rows[task].attempt)

    def _start_ready(self, item: Object, view: View, draft: Draft) -> None:
        """`progress.ready_tasks` and `start_ready`."""
        rows = tuple(draft.rows)
        running = sum(row.phase in HELD for row in rows)
        if self.protocol.count_pods:
            running = sum(1 for pod in view if pod and not pod.gated and not pod.outcome)
        slots = (self.scope.limit or len(rows)) - running
        for task, row in enumerate(rows):
            if row.phase == INTENDED:
                self._carry_out(item, view, draft, task)
            elif (
                row.phase == PENDING
                and slots > 0
                and all(rows[need].phase == SUCCEEDED for need in self.scope.needs[task])
            ):
                slots -= self._start(item, view, draft, task)

    def _start(self, item: Object, view: View, draft: Draft, task: int) -> int:
        """`progress._start`; how many slots it took."""
        attempt = draft.rows[task].attempt + 1
        if self.protocol.intent:
            draft.rows[task] = Row(INTENDED, attempt)
            return 1
        place = self.scope.place(item, task, attempt)
        pod = view[place]
        if pod is None:
            draft.before.append(Request("create", place))
        elif adoptable(self.protocol, pod):
            self.record(draft, place, pod.uid)
        else:
            return 0  # it is being deleted: once it is gone, there is a new one
        return 1

    def _carry_out(self, item: Object, view: View, draft: Draft, task: int) -> None:
        """The second step of a protocol that writes its intent first."""
        place = self.scope.place(item, task, draft.rows[task].attempt)
        pod = view[place]
        if pod is None:
            draft.before.append(Request("ask", place))
        else:
            self.record(draft, place, pod.uid)

    def record(self, draft: Draft, place: int, uid: int) -> None:
        """`settle._settled`: record that the attempt has started, with that Pod."""
        attempt = self.scope.attempts[place]
        draft.rows[attempt.task] = Row(RUNNING, attempt.attempt, uid)
        if self.protocol.gated:
            release = Request("release", place, uid)
            (draft.before if self.protocol.release_first else draft.after).append(release)

    def _finished(self, base: Object, item: Object, view: View, draft: Draft) -> Work:
        """`plan._finished`, and `progress.tidy`."""
        item = item._replace(rows=tuple(draft.rows))
        for place, pod in enumerate(view):
            if pod is None:
                continue
            closed = self._closed(item, place, pod)
            if pod.tracked and pod.outcome and (closed or pod.gated):
                draft.after.append(_about("finish", place, pod))
            elif closed and pod.gated and not pod.deleting and self.protocol.deletes_strays:
                draft.after.append(_about("delete", place, pod))
        # Side by side, in no order: so the order of writing them down must make no difference.
        return Work(base, item, tuple(sorted(draft.before)), tuple(sorted(draft.after)))

    def _closed(self, item: Object, place: int, pod: Seen) -> bool:
        """Whether this status, and so every later one, rules out that it records the Pod.

        `progress._closed`. A row that records this very Pod is closed once it has ended.
        """
        attempt: Attempt = self.scope.attempts[place]
        if attempt.run > item.run:
            return False
        if attempt.run < item.run or attempt.revision != item.revision:
            return True
        row = item.rows[attempt.task]
        if row.phase in HELD and row.attempt == attempt.attempt and row.uid in (pod.uid, 0):
            return False
        return row.phase in ENDED or row.attempt >= attempt.attempt


def adoptable(protocol: Protocol, pod: Seen) -> bool:
    """`progress.adoptable`, and not being deleted. A protocol without gates takes what is there."""
    if protocol.adopts_all or not protocol.gated:
        return True
    return pod.gated and not pod.deleting


def _about(verb: str, place: int, pod: Seen) -> Request:
    return Request(verb, place, pod.uid)


def _begun(item: Object) -> Object:
    rows = (Row(),) * len(item.rows)
    return item._replace(run=item.run + 1, revision=item.revision_wanted, rows=rows)


def _cancelled(row: Row) -> Row:
    return row if row.phase in ENDED else Row(SKIPPED, row.attempt)
