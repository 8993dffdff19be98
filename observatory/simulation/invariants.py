"""What must hold of the writes that an API server took, whatever happened to the operator.

The input is a history: every write, in the order of their versions, whoever made it. It comes from
the simulated server or from etcd itself; nothing is taken from the operator, and nothing of its
code decides here: the objects are read as the JSON that they are.

The numbers are those of docs/guarantees.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from observatory.api.names import (
    CONTROLLER_REVISIONS,
    OBSERVATORIES,
    PODS,
    Key,
)
from observatory.api.types import JsonObject
from observatory.simulation.history import Run, Violation
from observatory.simulation.podfacts import (
    Attempt,
    attempt_of,
    has_ended,
    has_started,
    has_succeeded,
    in_words,
    is_gated,
    is_over,
    is_tracked,
    owner_uid,
)
from observatory.simulation.rowfacts import (
    ALL_SUCCEEDED,
    ENDED,
    broken_retry,
    finals,
    mains,
    rows_of,
    tasks_of,
    too_early,
)
from observatory.simulation.storage import Entry

FACTS = ("attempt", "exitCode", "podUID", "completionTime", "reason")
"""What of an ended row is decided; a status may be stored without them."""


class Invariants:
    """Reads a history write by write. `excused` are UIDs of Pods that others have tampered with.

    `violations` holds what was found, in the order of the versions.
    """

    def __init__(self, excused: Iterable[str] = ()) -> None:
        self.excused = set(excused)
        self.violations: list[Violation] = []
        self.runs: dict[str, Run] = {}
        self.released: dict[Attempt, set[str]] = {}
        """The Pods of each attempt whose gate was removed while they could still be bound."""
        self.started: dict[Attempt, set[str]] = {}
        """The Pods of each attempt whose container has started."""
        self.recorded: dict[str, str] = {}
        """The UIDs of all Pods that a status has recorded, and the Observatory that did."""
        self.succeeded: set[str] = set()
        """The UIDs of all Pods that have ever told that its task exited with 0."""
        self._pods: dict[str, JsonObject] = {}
        self._revisions: dict[Key, JsonObject] = {}
        self._version = 0

    def see(self, entry: Entry) -> None:
        """Take the next write."""
        if entry.version <= self._version:
            self._violated("I0", entry, f"it comes after version {self._version}")
        self._version = entry.version
        if entry.resource == OBSERVATORIES:
            self._see_observatory(entry)
        elif entry.resource == PODS:
            self._see_pod(entry)
            if pod := entry.new or entry.old:
                self._pods[pod["metadata"]["uid"]] = pod if entry.new else {**pod, "gone": True}
                if has_succeeded(pod):
                    self.succeeded.add(pod["metadata"]["uid"])
        elif entry.resource == CONTROLLER_REVISIONS and entry.new is not None:
            self._revisions[entry.key] = entry.new["data"]["spec"]

    def see_rest(self, version: int, pods: Iterable[JsonObject]) -> None:
        """Check what must hold once nothing has happened for a while: I8, nothing is held."""
        for pod in pods:
            metadata = pod["metadata"]
            run = self.runs.get(owner_uid(pod))
            if run is None or metadata["uid"] in self.excused or not run.ended:
                continue
            name, at_rest = metadata["name"], Entry(version, PODS, run.key, None, pod)
            if is_gated(pod):
                self._violated("I8", at_rest, f"Pod {name} is gated for ever")
            if is_tracked(pod) and (has_ended(pod) or metadata.get("deletionTimestamp")):
                self._violated("I8", at_rest, f"Pod {name} is held by our finalizer for ever")

    # Observatories

    def _see_observatory(self, entry: Entry) -> None:
        stored = entry.new if entry.new is not None else entry.old
        if stored is None:
            return
        metadata = stored["metadata"]
        run = self.runs.setdefault(metadata["uid"], Run(entry.key))
        if entry.new is None:
            run.gone = True
            return
        before, old = run.status, run.rows
        run.spec, run.status = stored.get("spec") or {}, stored.get("status") or {}
        rows = rows_of(run.status)
        same = before.get("run", 0) == run.status.get("run", 0)
        if run.status != before:
            self._check_run(entry, before, run.status, same=same)
            was = old if same else {}
            for name, row in was.items():
                self._check_row(entry, row, rows.get(name))
                self._check_row_end(entry, row, rows.get(name, {}))
            fresh = [row for row in rows.values() if _is_new(row, was.get(row["name"]))]
            self._check_starts(entry, run, rows, fresh)
            self._check_retries(entry, run, was, fresh)
            for row in fresh:
                self._check_record(entry, row, run.status.get("run", 0))
                self.recorded[row["podUID"]] = metadata["uid"]
            self._check_reason(entry, run)
            if "completionTime" in run.status and not (same and "completionTime" in before):
                self._check_end(entry, metadata["uid"])
        run.rows = rows
        run.deleting = "deletionTimestamp" in metadata

    def _check_run(
        self, entry: Entry, before: JsonObject, status: JsonObject, *, same: bool
    ) -> None:
        """I7: a run's number never goes down, and an ended one is neither reopened nor cut off."""
        number, last = status.get("run", 0), before.get("run", 0)
        if number < last:
            self._violated("I7", entry, f"run {last} became run {number}")
        elif number > last and last and "completionTime" not in before:
            self._violated("I7", entry, f"run {last} was cut off by run {number}")
        elif same and "completionTime" in before:
            for field_ in ("completionTime", "phase", "revision"):
                if status.get(field_) != before.get(field_):
                    self._violated("I7", entry, f"{field_} of run {last} changed after its end")

    def _tasks(self, entry: Entry, run: Run) -> Iterable[JsonObject]:
        """The tasks that the run is pinned to; none if their revision is not stored."""
        key = Key(entry.key.namespace, run.status.get("revision", ""))
        return tasks_of(self._revisions.get(key, {}))

    def _check_reason(self, entry: Entry, run: Run) -> None:
        """I5: where nothing runs, and something could, the status says what the run waits for."""
        status = run.status
        phases = {name: row["phase"] for name, row in rows_of(status).items()}
        reasons = {each.get("reason") for each in status.get("waitingFor") or ()}
        last = finals(status)
        if run.ended or run.deleting or "Running" in phases.values():
            return
        ready = any(
            phases.get(task["name"]) == "Pending"
            and task.get("triggerRule", ALL_SUCCEEDED) == ALL_SUCCEEDED
            and (task["name"] not in last or "finallyTime" in status)
            and all(phases.get(need) == "Succeeded" for need in task.get("dependencies") or ())
            for task in self._tasks(entry, run)
        )
        if ready and not reasons - {"Dependencies"}:
            self._violated("I5", entry, "nothing runs, and nobody is told what the run waits for")

    def _check_row(self, entry: Entry, row: JsonObject, new: JsonObject | None) -> None:
        """I7: a row only goes forwards, and an attempt stays with its Pod."""
        name = row["name"]
        if new is None:
            self._violated("I7", entry, f"the row of task {name} is gone")
            return
        was, now = row["phase"], new["phase"]
        if was in ENDED and any(
            row.get(at) != new.get(at) for at in FACTS if at in row and at in new
        ):
            self._violated("I7", entry, f"the end of task {name} changed: {row} became {new}")
        if was in ENDED and was != now:
            self._violated("I7", entry, f"task {name} went from {was} to {now}")
        if was == "Running" and now == "Pending" and "nextAttemptTime" not in new:
            self._violated("I7", entry, f"attempt {row.get('attempt')} of task {name} unbegan")
        if new.get("attempt", 0) < row.get("attempt", 0):
            self._violated("I2", entry, f"the attempt of task {name} went down")
        if new.get("attempt", 0) > row.get("attempt", 0) + 1:
            self._violated("I2", entry, f"task {name} skipped an attempt")
        for count in ("failures", "disruptions"):
            if new.get(count, 0) < row.get(count, 0):
                self._violated("I2", entry, f"{count} of task {name} went down")
        same = new.get("attempt") == row.get("attempt")
        uids = {row.get("podUID"), new.get("podUID")} - {None}
        if same and len(uids) > 1:
            self._violated("I7", entry, f"the Pod of task {name} changed within one attempt")

    def _check_row_end(self, entry: Entry, row: JsonObject, new: JsonObject) -> None:
        """I2, I6: an attempt is over when a status says so, and has succeeded if it says so."""
        uid = row.get("podUID")
        later = new.get("attempt", 0) > row.get("attempt", 0) or new.get("phase") == "Pending"
        if row["phase"] != "Running" or uid is None or uid in self.excused:
            return
        attempt = f"attempt {row.get('attempt')} of task {row['name']}"
        ended = new.get("phase") in ENDED
        if (later or ended) and uid in self._pods and not is_over(self._pods[uid]):
            what = "the next one was to begin" if later else "its end was stored"
            self._violated("I2" if later else "I6", entry, f"{attempt} was not over when {what}")
        if new.get("phase") == "Succeeded" and not later and uid not in self.succeeded:
            self._violated("I6", entry, f"{attempt} is stored as succeeded, its Pod never told so")

    def _check_starts(
        self, entry: Entry, run: Run, rows: Mapping[str, JsonObject], fresh: list[JsonObject]
    ) -> None:
        """I3, I4, I12: what a status begins to record is what may start now."""
        if not fresh:
            return
        tasks = {task["name"]: task for task in self._tasks(entry, run)}
        if not tasks:
            revision = run.status.get("revision")
            self._violated("I5", entry, f"it starts tasks of revision {revision}, which is unknown")
        for row in fresh:
            name = row["name"]
            missing = too_early(tasks.get(name, {}), rows)
            if missing and row.get("attempt") == 1:
                self._violated("I3", entry, f"task {name} started before {', '.join(missing)}")
            if row["podUID"] in self.recorded:
                self._violated("I1", entry, f"the Pod of task {name} is recorded twice")
        running = sum(row["phase"] == "Running" for row in rows.values())
        limit = run.spec.get("maxConcurrent")
        if isinstance(limit, int) and running > max(limit, 1):
            self._violated("I4", entry, f"{running} tasks run; maxConcurrent is {limit}")
        self._check_turn(entry, run, fresh)

    def _check_turn(self, entry: Entry, run: Run, fresh: list[JsonObject]) -> None:
        """I3, I12: `finally` comes last, and a run that is held or ending starts nothing else."""
        names = ", ".join(row["name"] for row in fresh)
        final = all(row["name"] in finals(run.status) for row in fresh)
        if final and any(row["phase"] not in ENDED for row in mains(run.status)):
            self._violated("I3", entry, f"{names} of finally started before the tasks had ended")
        if run.status.get("ending") and not final:
            self._violated("I12", entry, f"{names} started while the run is ending")
        elif run.spec.get("suspend") is True and not run.status.get("ending"):
            self._violated("I12", entry, f"{names} started while suspended")
        if run.deleting and not final:
            self._violated("I12", entry, f"{names} started while the Observatory is being deleted")

    def _check_retries(
        self, entry: Entry, run: Run, was: Mapping[str, JsonObject], fresh: list[JsonObject]
    ) -> None:
        """I2: no more attempts than the budgets allow, and none before its pause is over."""
        spec = self._revisions.get(Key(entry.key.namespace, run.status.get("revision", "")), {})
        for row in fresh:
            for text in broken_retry(spec, was.get(row["name"], {}), row):
                self._violated("I2", entry, f"task {row['name']} {text}")

    def _check_record(self, entry: Entry, row: JsonObject, number: int) -> None:
        """I1: what is recorded for an attempt is a Pod that was made for it."""
        pod = self._pods.get(row["podUID"])
        owner = entry.new["metadata"]["uid"] if entry.new else ""
        attempt = (owner, str(number), row["name"], str(row.get("attempt")))
        if pod and row["podUID"] not in self.excused and attempt_of(pod) != attempt:
            self._violated(
                "I1", entry, f"{in_words(attempt)} is recorded with a Pod of somebody else"
            )

    def _check_end(self, entry: Entry, uid: str) -> None:
        """I12: when a run ends, nothing of it runs any more."""
        for pod_uid in sorted(self.recorded.keys() & self._pods.keys() - self.excused):
            pod = self._pods[pod_uid]
            if self.recorded[pod_uid] == uid and not is_over(pod):
                name = pod["metadata"]["name"]
                self._violated("I12", entry, f"the run has ended, and Pod {name} has not")

    # Pods

    def _see_pod(self, entry: Entry) -> None:
        pod = entry.new if entry.new is not None else entry.old
        if pod is None or pod["metadata"]["uid"] in self.excused:
            return
        attempt = attempt_of(pod)
        if attempt is None:
            return
        if entry.new is None:
            self._check_let_go(entry, pod)
        elif entry.old is None:
            if not is_gated(pod):
                self._violated("I1", entry, "a Pod was created without our gate")
            if not is_tracked(pod):
                self._violated("I6", entry, "a Pod was created without our finalizer")
        else:
            if is_gated(entry.old) and not is_gated(pod):
                self._check_release(entry, pod, attempt)
            if is_tracked(entry.old) and not is_tracked(pod):
                self._check_let_go(entry, pod)
            if has_started(pod) and not has_started(entry.old):
                self._check_start(entry, pod, attempt)

    def _check_release(self, entry: Entry, pod: JsonObject, attempt: Attempt) -> None:
        """I1: only a recorded Pod is let start, and of each attempt only one."""
        metadata = pod["metadata"]
        if metadata["uid"] not in self.recorded:
            self._violated("I1", entry, f"{in_words(attempt)} was released before it was recorded")
        if "deletionTimestamp" in metadata:
            return  # nothing binds it any more
        released = self.released.setdefault(attempt, set())
        released.add(metadata["uid"])
        if len(released) > 1:
            self._violated("I1", entry, f"{in_words(attempt)} was released in two Pods")
        run = self.runs.get(attempt[0])
        if run is not None and run.gone:
            return  # it was recorded before, and the garbage collector is on its way
        if run is None or run.ended or str(run.status.get("run")) != attempt[1]:
            self._violated(
                "I12", entry, f"{in_words(attempt)} was released after its run had ended"
            )

    def _check_start(self, entry: Entry, pod: JsonObject, attempt: Attempt) -> None:
        """I1, I4, I12: where the container starts, it is the only one, and the run is on."""
        started = self.started.setdefault(attempt, set())
        started.add(pod["metadata"]["uid"])
        if len(started) > 1:
            self._violated("I1", entry, f"{in_words(attempt)} has started in two Pods")
        run = self.runs.get(attempt[0])
        if run is not None and run.ended and not run.gone:
            self._violated("I12", entry, f"{in_words(attempt)} started after its run had ended")

    def _check_let_go(self, entry: Entry, pod: JsonObject) -> None:
        """I6: a recorded Pod is held until its end is stored."""
        uid = pod["metadata"]["uid"]
        run = self.runs.get(self.recorded.get(uid, ""))
        if run is None or run.gone or run.deleting or (entry.new is None and not is_tracked(pod)):
            return
        running = (row for row in run.rows.values() if row["phase"] == "Running")
        if any(row.get("podUID") == uid for row in running):
            name = pod["metadata"]["name"]
            self._violated("I6", entry, f"Pod {name} was let go before its end was stored")

    def _violated(self, invariant: str, entry: Entry, text: str) -> None:
        where = f"{entry.resource.plural} {entry.key}: {text}"
        self.violations.append(Violation(invariant, entry.version, where))


def _is_new(row: JsonObject, was: JsonObject | None) -> bool:
    """Whether this row records a Pod that the one before it did not, and no earlier run either."""
    uid = row.get("podUID")
    return uid is not None and uid != (was or {}).get("podUID") and "run" not in row
