"""A scheduled Observatory told step by step: its plans carried out, its runs ended by the test."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from observatory.api.names import ANNOTATION_ADMITTED, FINALIZER, GROUP, Key, admission
from observatory.api.runs import Active, Runs
from observatory.api.status import Status
from observatory.api.times import format_time, whole_seconds
from observatory.api.types import JsonObject
from observatory.core.access import Access
from observatory.core.children import Child, child_manifest, child_of
from observatory.core.desired import desire
from observatory.core.model import Desired, Refused
from observatory.core.parent import (
    RunAnswers,
    RunsPlan,
    admissions,
    begins,
    plan_runs,
    settle_runs,
    stop_nonce,
)
from tests.core.builders import KEY, NOW, manifest

TASKS: dict[str, list[str]] = {"a": []}


def at(text: str) -> datetime:
    """A time of the day that the stories begin on, such as `12:05`, or one with its date."""
    day = f"{NOW:%Y-%m-%d}T" if "T" not in text else ""
    return datetime.fromisoformat(f"{day}{text}+00:00")


class Family:
    """An Observatory with this schedule, and the runs that it makes; created at `NOW`."""

    def __init__(self, schedule: str | None = "*/5 * * * *", **spec: object) -> None:
        self.manifest = manifest(TASKS, **spec)
        if schedule:
            self.manifest["spec"]["schedule"] = schedule
        self.manifest["metadata"] |= {
            "creationTimestamp": format_time(NOW),
            "annotations": {},
        }
        self.now = NOW
        self.status = Status()
        self.objects: dict[str, JsonObject] = {}
        self.refused: Refused | None = None
        self.access = Access.NOT_ASKED
        """What the API server says of who asked for it, where it is asked."""
        self.version = 1
        self.uids = 0
        self.begun: list[tuple[str, datetime]] = []
        """Each run that was let begin: its fire time, and when."""
        self.step()

    @property
    def desired(self) -> Desired:
        return desire(self.manifest)

    @property
    def runs(self) -> Runs:
        return self.status.runs

    @property
    def children(self) -> tuple[Child, ...]:
        found = (child_of(each) for each in self.objects.values())
        return tuple(child for child in found if child)

    def plan(self, now: datetime | None = None) -> RunsPlan:
        seen = (self.desired, self.status, self.children, now or self.now)
        made = plan_runs(*seen)
        return plan_runs(*seen, self.access) if begins(made, self.status) else made

    def step(self, seconds: float = 0) -> None:
        """Time passes, then plans are made and carried out until nothing is left to do."""
        self.now += timedelta(seconds=seconds)
        for _ in range(50):
            before = (self.status, self.version)
            self.carry_out(self.plan())
            if before == (self.status, self.version):
                return
        raise AssertionError("it never comes to rest")

    def until(self, text: str, every: float = 60) -> None:
        """Time passes up to then, with a look at each minute."""
        while self.now < at(text):
            self.step(min(every, (at(text) - self.now).total_seconds()))

    def sleep_until(self, text: str) -> None:
        """Time passes up to then, and nobody looks before."""
        self.step((at(text) - self.now).total_seconds())

    def carry_out(self, made: RunsPlan) -> None:
        answers = self.start(made)
        self.status = settle_runs(made, answers, self.desired, self.now)
        for each in admissions(self.status, self.children):
            self._admit(each)
        for child in made.stop:
            active = next(each for each in self.runs.active if each.uid == child.uid)
            kind = "terminate" if active.cancel_reason == "Terminated" else "stop"
            self._annotate(child.key.name, **{f"{GROUP}/{kind}": stop_nonce(active)})
        for child in made.finish:
            metadata = self.objects[child.key.name]["metadata"]
            metadata["finalizers"].remove(FINALIZER)
            self._changed(child.key.name)
        for child in made.delete:
            self.delete(child.key.name)
        for name, item in list(self.objects.items()):
            metadata = item["metadata"]
            if "deletionTimestamp" in metadata and not metadata["finalizers"]:
                del self.objects[name]

    def start(self, made: RunsPlan) -> RunAnswers:
        """Create what a plan begins; the answers of the API server."""
        started: dict[int, str] = {}
        refused: dict[int, Refused] = {}
        for start in made.starts:
            if self.refused:
                refused[start.id.number] = self.refused
                continue
            if start.adopt is None:
                assert start.body is not None
                assert start.name not in self.objects, "created twice"
                self.uids += 1
                body = {**start.body, "metadata": {**start.body["metadata"]}}
                body["metadata"] |= {"uid": f"run-{self.uids}", "resourceVersion": "0"}
                self.objects[start.name] = body
                self._changed(start.name)
            started[start.id.number] = self.objects[start.name]["metadata"]["uid"]
        uids = {child.uid for child in self.children}
        lost = frozenset(each.uid for each in made.verify if each.uid not in uids)
        return RunAnswers(started, refused, lost)

    def _admit(self, active: Active) -> None:
        item = self.objects.get(active.name)
        if item is None:
            return
        metadata = item["metadata"]
        self._annotate(active.name, **{ANNOTATION_ADMITTED: admission(active.retry)})
        if FINALIZER not in metadata["finalizers"]:
            metadata["finalizers"].append(FINALIZER)
        item["status"] = {"run": (item.get("status") or {}).get("run", 0) + 1, "phase": "Running"}
        if active.retry:
            item["status"]["requests"] = [{"type": "Retry", "nonce": active.retry}]
        self.begun.append((f"{active.id.time:%H:%M}", self.now))

    def _annotate(self, name: str, **annotations: str) -> None:
        metadata = self.objects[name]["metadata"]
        metadata["annotations"] = metadata["annotations"] | annotations
        self._changed(name)

    def _changed(self, name: str) -> None:
        self.version += 1
        self.objects[name]["metadata"]["resourceVersion"] = str(self.version)

    # --- what others do -----------------------------------------------------------------------

    def end(self, name: str | None = None, phase: str = "Succeeded", reason: str = "") -> None:
        """The latest run that is on, or that one, ends; then everybody has their turn."""
        name = name or self.runs.active[-1].name
        item = self.objects[name]
        item["status"] |= {
            "phase": phase,
            "completionTime": format_time(whole_seconds(self.now)),
            "conditions": [{"type": "Complete", "reason": reason or "AllTasksSucceeded"}],
        }
        self._changed(name)
        self.step()

    def fail(self, reason: str = "TaskFailed") -> None:
        self.end(phase="Failed", reason=reason)

    def delete(self, name: str) -> None:
        """Somebody deletes a run: what of it runs is ended first."""
        item = self.objects[name]
        item["metadata"]["deletionTimestamp"] = format_time(self.now)
        self._changed(name)
        if (item.get("status") or {}).get("phase") == "Running":
            item["status"] |= {"phase": "Failed", "completionTime": format_time(self.now)}
            item["status"]["conditions"] = [{"type": "Complete", "reason": "Cancelled"}]

    def request(self, what: str, nonce: str, **more: str) -> None:
        annotations = self.manifest["metadata"]["annotations"]
        annotations[f"{GROUP}/{what}"] = nonce
        annotations |= {f"{GROUP}/{name.replace('_', '-')}": text for name, text in more.items()}
        self.step()

    def retry(self, name: str, nonce: str) -> None:
        self._annotate(name, **{f"{GROUP}/retry": nonce})
        self.step()

    def edit(self, **spec: object) -> None:
        spec = {field.rstrip("_"): value for field, value in spec.items()}
        self.manifest["spec"] = {
            field: value
            for field, value in (self.manifest["spec"] | spec).items()
            if value is not None
        }
        self.manifest["metadata"]["generation"] += 1
        self.step()

    # --- what is seen -------------------------------------------------------------------------

    def active(self) -> list[str]:
        return [f"{each.id.time:%H:%M}" for each in self.runs.active]

    def queued(self) -> list[str]:
        return [f"{each.id.time:%H:%M}" for each in self.runs.queued]

    def started(self) -> list[str]:
        return [time for time, _ in self.begun]

    def skipped(self) -> list[tuple[str, str]]:
        return [(f"{each.time:%H:%M}", each.reason) for each in self.runs.skipped]

    def condition(self) -> tuple[str, str]:
        found = next(each for each in self.status.conditions if each.type == "Scheduled")
        return found.status, found.reason

    def answer(self, type_: str) -> tuple[bool, str]:
        found = next(each for each in self.status.requests if each.type == type_)
        return found.accepted, found.message


def stranger(family: Family, number: int, **fields: object) -> Child:
    """The object of a run of that number for 12:05, which no status knows."""
    run = replace(family.plan(at("12:05")).starts[0].id, number=number)
    body = child_manifest(family.desired, run)
    body["metadata"] |= {"uid": "stranger", "resourceVersion": "7"}
    family.objects[body["metadata"]["name"]] = body
    child = child_of(body)
    assert child is not None
    assert child.key.namespace == KEY.namespace == Key(*KEY).namespace
    return replace(child, **fields)  # type: ignore[arg-type]
