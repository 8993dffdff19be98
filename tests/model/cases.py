"""Which protocols are explored how far, and what has to come of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.model.explore import Explorer
from tests.model.protocols import Protocol
from tests.model.state import (
    AFTER,
    CROWD,
    INVARIANTS,
    LATCH,
    LOSS,
    SUCCEEDED,
    TOGETHER,
    TWICE,
    Scope,
)

DEAD_END = "no clean end can be reached"
WELL = (SUCCEEDED,)
CHAIN = ((), (0,))
PAIR = ((), ())


@dataclass(frozen=True)
class Case:
    """One exploration.

    Attributes:
        breaks: What the protocol must be found to break; empty for the right one, which is safe.
        large: Explored on request only.
    """

    name: str
    about: str
    scope: Scope
    protocol: Protocol = field(default_factory=Protocol)
    breaks: str = ""
    large: bool = False

    def explorer(self) -> Explorer:
        """An explorer that looks for what this case is about."""
        wanted = frozenset({self.breaks}) if self.breaks else INVARIANTS
        return Explorer(self.scope, self.protocol, invariants=wanted)


SAFE = (
    Case(
        "attempt",
        "one attempt; users cancel, delete the Pod and force it away; 3 UIDs",
        Scope(cancel=True, delete=True, force=True, uids=3),
    ),
    Case(
        "late",
        "one attempt; requests arrive after their sender died; users cancel and delete the Pod",
        Scope(cancel=True, delete=True, late=True),
    ),
    Case("retry", "a second attempt after the first has failed", Scope(tries=2)),
    Case("retry-cancel", "a second attempt; users cancel", Scope(tries=2, cancel=True)),
    Case("chain", "a task that needs another", Scope(CHAIN)),
    Case(
        "chain-cancel",
        "a task that needs another, maxConcurrent 1; users cancel",
        Scope(CHAIN, limit=1, cancel=True),
    ),
    Case("pair", "two tasks, maxConcurrent 1", Scope(PAIR, limit=1)),
    Case("batch", "two tasks at once: one PUT records both", Scope(PAIR, exits=WELL)),
    Case("edit", "tasks are edited before, in or after the first run", Scope(edit=True)),
    Case(
        "retry-force",
        "a second attempt; users force Pods away",
        Scope(tries=2, force=True),
        large=True,
    ),
    Case(
        "chain-delete",
        "a task that needs another; users delete Pods",
        Scope(CHAIN, delete=True),
        large=True,
    ),
    Case(
        "retry-delete",
        "a second attempt; users delete Pods",
        Scope(tries=2, delete=True),
        large=True,
    ),
    Case(
        "pair-cancel",
        "two tasks, maxConcurrent 1; users cancel",
        Scope(PAIR, limit=1, cancel=True, exits=WELL),
        large=True,
    ),
    Case(
        "edit-cancel",
        "tasks are edited; users cancel",
        Scope(edit=True, cancel=True, exits=WELL),
        large=True,
    ),
)

WRONG = (
    Case(
        "no-gate",
        "the Pod is created ready to run, then recorded",
        Scope(),
        Protocol(gated=False),
        TWICE,
    ),
    Case(
        "intent",
        "the intent is recorded, live GETs agree, then the Pod is created",
        Scope(),
        Protocol(gated=False, intent=True),
        TWICE,
    ),
    Case(
        "release-first",
        "the gate goes before the Pod is recorded",
        Scope(),
        Protocol(release_first=True),
        TWICE,
    ),
    Case(
        "release-by-name",
        "the patch that removes the gate doesn't test the UID",
        Scope(delete=True),
        Protocol(by_name=True),
        TWICE,
    ),
    Case("unfenced", "a PUT without resourceVersion", Scope(), Protocol(fenced=False), LATCH),
    Case(
        "done-first",
        "a cancelled run is marked as ended, then its Pods are deleted",
        Scope(cancel=True),
        Protocol(done_first=True),
        AFTER,
    ),
    Case(
        "count-pods",
        "maxConcurrent counts the Pods of the cache",
        Scope(PAIR, limit=1),
        Protocol(count_pods=True),
        CROWD,
    ),
    Case(
        "finish-first",
        "the finalizer goes before the end is recorded",
        Scope(),
        Protocol(finish_first=True),
        LOSS,
    ),
    Case(
        "trust-cache",
        "a retry begins because the cache lacks the Pod",
        Scope(tries=2),
        Protocol(trust_cache=True),
        TOGETHER,
    ),
    Case(
        "terminating",
        "a retry begins while the Pod is being deleted",
        Scope(tries=2, delete=True),
        Protocol(terminating_ends=True),
        TOGETHER,
    ),
    Case(
        "strays",
        "Pods that can't be recorded any more are left gated",
        Scope(),
        Protocol(deletes_strays=False),
        DEAD_END,
    ),
)

CASES = (*SAFE, *WRONG)
