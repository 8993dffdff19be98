"""What must hold of the runs of scheduled Observatories: I10, I11, and that none is held for ever.

As in `invariants.py`, the input is every write that the server took, and the objects are read as
the JSON that they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from observatory.api.names import (
    ANNOTATION_ADMITTED,
    ANNOTATION_RUN_NUMBER,
    FINALIZER,
    LABEL_TRIGGER,
    OBSERVATORIES,
)
from observatory.api.types import JsonObject
from observatory.simulation.history import Violation
from observatory.simulation.storage import Entry

_REASONS = {
    "Allow": set[str](),
    "Queue": {"QueueFull"},
    "Forbid": {"RunInProgress", "Superseded"},
    "Replace": {"Superseded"},
}
_BEFORE = "1970-01-01T00:00:00Z"
_ALWAYS = {"Missed", "DeadlineExceeded", "Stopped", "RequesterNotAllowed"}


@dataclass(slots=True)
class _Parent:
    """What is known of a scheduled Observatory."""

    spec: JsonObject
    status: JsonObject
    created: datetime
    gone: bool = False
    deleting: bool = False
    edited: bool = False
    runs: dict[tuple[str, str], str] = field(default_factory=dict)
    numbers: dict[int, str] = field(default_factory=dict)
    spans: set[tuple[str, str]] = field(default_factory=set)

    @property
    def exclusive(self) -> bool:
        """Whether its runs may never overlap."""
        return bool(self.spec.get("concurrencyPolicy", "Allow") != "Allow")

    def active(self) -> set[str]:
        """The UIDs of the runs that its status has as begun and not ended."""
        return {each["uid"] for each in self.status.get("activeRuns") or ()}


class RunFacts:
    """Reads a history write by write; `violations` holds what was found."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self._parents: dict[str, _Parent] = {}
        self._on: dict[str, set[str]] = {}
        self._begun: dict[str, int] = {}

    def see(self, entry: Entry) -> None:
        """Take the next write."""
        stored = entry.new if entry.new is not None else entry.old
        if entry.resource != OBSERVATORIES or stored is None:
            return
        owner = _owner(stored)
        if owner is None:
            self._see_parent(entry, stored)
        else:
            self._see_run(entry, stored, owner)

    def _see_parent(self, entry: Entry, stored: JsonObject) -> None:
        metadata, spec = stored["metadata"], stored.get("spec") or {}
        status = stored.get("status") or {}
        created = datetime.fromisoformat(metadata.get("creationTimestamp", _BEFORE))
        parent = self._parents.setdefault(metadata["uid"], _Parent(spec, status, created))
        if entry.new is None:
            parent.gone = True
            return
        parent.edited |= spec.get("schedule") != parent.spec.get("schedule")
        parent.deleting = "deletionTimestamp" in metadata
        parent.spec, parent.status = spec, status
        runs = status.get("activeRuns") or []
        for run in runs:
            self._check_record(entry, parent, run)
        if parent.exclusive and sum(run["trigger"] != "Backfill" for run in runs) > 1:
            self._violated("I11", entry, "its status has two runs on at the same time")
        for skip in status.get("skippedRuns") or ():
            parent.spans.add((skip["time"], skip.get("until", skip["time"])))
            policy = spec.get("concurrencyPolicy", "Allow")
            if not parent.edited and skip["reason"] not in _ALWAYS | _REASONS[policy]:
                self._violated("I10", entry, f"with {policy}, {skip['time']} was skipped: {skip}")

    def _check_record(self, entry: Entry, parent: _Parent, run: JsonObject) -> None:
        """I10: a fire time has one run, and a number is of one run."""
        uid = run["uid"]
        if parent.numbers.setdefault(run["number"], uid) != uid:
            self._violated("I10", entry, f"run {run['number']} is recorded twice")
        if run["trigger"] == "Schedule":
            fire = (run["schedule"], run["time"])
            if parent.runs.setdefault(fire, uid) != uid:
                self._violated("I10", entry, f"two runs for {run['time']} are recorded")

    def _see_run(self, entry: Entry, stored: JsonObject, owner: str) -> None:
        metadata, status = stored["metadata"], stored.get("status") or {}
        uid, parent = metadata["uid"], self._parents.get(owner)
        on = self._on.setdefault(owner, set())
        if parent is None:
            self._violated("I10", entry, "it is a run of an Observatory that never was")
            return
        old = entry.old or {"metadata": {}}
        if not (parent.gone or parent.deleting) and uid in parent.active():
            held = FINALIZER in (old["metadata"].get("finalizers") or ())
            if held and (entry.new is None or FINALIZER not in metadata.get("finalizers", ())):
                self._violated("I6", entry, "it was let go before its end was stored")
        number = status.get("run", 0)
        if number > self._begun.get(uid, 0) and not (parent.gone or parent.deleting):
            self._begun[uid] = number
            if uid not in parent.active():
                self._violated("I10", entry, "it began and its parent has not recorded it")
            if not metadata.get("annotations", {}).get(ANNOTATION_ADMITTED):
                self._violated("I10", entry, "it began and was not admitted")
        if entry.new is None or not number or "completionTime" in status:
            on.discard(uid)
        elif metadata["labels"].get(LABEL_TRIGGER) != "Backfill":
            on.add(uid)
        if parent.exclusive and len(on) > 1:
            self._violated("I11", entry, "two runs are on at the same time")

    # The end

    def see_rest(self, version: int, objects: Iterable[JsonObject]) -> None:
        """Check what must hold once nothing has happened for a while: I8 and I10."""
        for stored in objects:
            owner, metadata = _owner(stored), stored["metadata"]
            parent = self._parents.get(owner or "")
            if owner is None or parent is None or parent.deleting:
                continue
            name, status = metadata["name"], stored.get("status") or {}
            if parent.gone:
                self._at_rest("I8", version, f"run {name} outlives its parent")
            elif "completionTime" in status and FINALIZER in metadata.get("finalizers", ()):
                self._at_rest("I8", version, f"run {name} has ended and is held for ever")
            elif not status.get("run") and self._is_left_over(parent, metadata):
                self._at_rest("I8", version, f"run {name} waits for ever")
        for parent in self._parents.values():
            if not (parent.gone or parent.deleting or parent.edited):
                for text in _unexplained(parent):
                    self._at_rest("I10", version, text)

    def _is_left_over(self, parent: _Parent, metadata: JsonObject) -> bool:
        number = int(metadata["annotations"][ANNOTATION_RUN_NUMBER])
        queued = {each["number"] for each in parent.status.get("queuedRuns") or ()}
        return number <= parent.status.get("latestRun", 0) and number not in queued

    def _at_rest(self, invariant: str, version: int, text: str) -> None:
        self.violations.append(Violation(invariant, version, text))

    def _violated(self, invariant: str, entry: Entry, text: str) -> None:
        self.violations.append(Violation(invariant, entry.version, f"{entry.key}: {text}"))


def _unexplained(parent: _Parent) -> Iterator[str]:
    """The fire times up to the handled one that have no run, and no word about why.

    For schedules of the form `*/N * * * *` in UTC only: those are what histories have.
    """
    cron = parent.spec.get("schedule", "")
    known = parent.status.get("schedules") or []
    if not (cron.startswith("*/") and cron.endswith(" * * * *") and known):
        return
    every = int(cron.split()[0][2:])
    handled = datetime.fromisoformat(known[0]["handledTime"])
    runs = {datetime.fromisoformat(time) for _, time in parent.runs}
    runs |= {datetime.fromisoformat(each["time"]) for each in parent.status.get("queuedRuns") or ()}
    spans = [tuple(map(datetime.fromisoformat, span)) for span in parent.spans]
    time = parent.created.replace(second=0, microsecond=0, tzinfo=UTC)
    while (time := time + timedelta(minutes=1)) <= handled:
        if time.minute % every or time <= parent.created or time in runs:
            continue
        if not any(first <= time <= last for first, last in spans):
            yield f"nothing ran for {time:%Y-%m-%dT%H:%M}, and nobody says why"


def _owner(stored: JsonObject) -> str | None:
    owners = stored["metadata"].get("ownerReferences") or ()
    return next((str(each["uid"]) for each in owners if each.get("controller")), None)
