"""What the reading commands show of an Observatory, worked out once for all of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from observatory.api.names import Key
from observatory.api.status import Status, StatusError
from observatory.api.taskstatus import TaskPhase, TaskStatus
from observatory.api.text import one_line
from observatory.api.times import format_duration
from observatory.api.types import JsonObject
from observatory.api.wire import optional_time
from observatory.core.desired import desire
from observatory.core.model import Desired, Program


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task: its row, and what it depends on."""

    row: TaskStatus
    dependencies: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name."""
        return self.row.name

    @property
    def start(self) -> datetime | None:
        """When its first attempt was started."""
        return self.row.first_start_time or self.row.start_time

    def duration(self, now: datetime) -> str:
        """How long it has taken so far; empty before its start."""
        end = self.row.completion_time or (now if not self.row.phase.ended else None)
        return format_duration(end - self.start) if self.start and end else ""

    @property
    def note(self) -> str:
        """Why it is as it is, in one line."""
        row = self.row
        parts = []
        if row.attempt > 1:
            parts.append(f"attempt {row.attempt}")
        if row.reason and row.phase is not TaskPhase.SUCCEEDED:
            code = f" (exit code {row.exit_code})" if row.exit_code else ""
            last = (row.message or "").strip().rpartition("\n")[2]
            parts.append(f"{row.reason}{code}" + (f": {last}" if last else ""))
        if row.ignored:
            parts.append("ignored")
        if row.run:
            parts.append(f"kept from run {row.run}")
        return one_line(", ".join(parts))


@dataclass(frozen=True, slots=True)
class View:
    """An Observatory and its latest run; `problem` is what is wrong with its status."""

    key: Key
    desired: Desired
    status: Status
    tasks: tuple[TaskView, ...]
    problem: str = ""

    @property
    def by_name(self) -> Mapping[str, TaskView]:
        """The tasks by their names."""
        return {task.name: task for task in self.tasks}

    def age(self, now: datetime) -> str:
        """How long ago it was created."""
        return format_duration(now - self.desired.created) if self.desired.created else ""

    def duration(self, now: datetime) -> str:
        """How long its latest run has taken so far."""
        start = self.status.start_time
        return format_duration((self.status.completion_time or now) - start) if start else ""

    @property
    def order(self) -> tuple[TaskView, ...]:
        """The tasks in the order of the run: each after what it depends on, `finally` last."""
        program = self.desired.program
        if program is None:
            return self.tasks
        place = {program.tasks[index].name: at for at, index in enumerate(program.order)}
        last = len(place)
        return tuple(
            sorted(self.tasks, key=lambda each: (each.row.final, place.get(each.name, last)))
        )


def view_of(observatory: JsonObject, pinned: Program | None = None) -> View:
    """What is to be shown of an Observatory. It never raises: somebody wants to see just that.

    `pinned` is what its latest run executed, where the spec was edited since.
    """
    desired = desire(observatory)
    if pinned is not None:
        desired = replace(desired, program=pinned)
    status, problem = _status(observatory)
    depends = _dependencies(desired.program)
    names = [row.name for row in status.tasks]
    rows = status.tasks or tuple(TaskStatus(name) for name in depends)
    if desired.program and not names:
        final = {task.name for task in desired.program.tasks[desired.program.main :]}
        rows = tuple(TaskStatus(name, final=name in final) for name in depends)
    tasks = tuple(TaskView(row, depends.get(row.name, ())) for row in rows)
    return View(desired.key, desired, status, tasks, problem)


def glance(observatory: JsonObject) -> View:
    """The same without its tasks, and without a look at its spec: for lists of thousands."""
    metadata = observatory["metadata"]
    key = Key(metadata["namespace"], metadata["name"])
    desired = Desired(
        key,
        metadata["uid"],
        metadata.get("generation", 0),
        deleting=False,
        created=optional_time(metadata.get("creationTimestamp")),
    )
    status, problem = _status(observatory)
    return View(key, desired, status, (), problem)


def _status(observatory: JsonObject) -> tuple[Status, str]:
    """The status, and what is wrong with it."""
    try:
        return Status.from_wire(observatory.get("status") or {}), ""
    except StatusError as error:
        return Status(), str(error)


def _dependencies(program: Program | None) -> dict[str, tuple[str, ...]]:
    return {task.name: task.dependencies for task in program.tasks} if program else {}
