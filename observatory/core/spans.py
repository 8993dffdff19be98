"""The spans of a run, from what its status records: no span is ever held open in memory.

So a trace is whole whichever operators lived and died while the run went on, and the same whoever
works it out, however often. Times are those of the status: whole seconds, as Kubernetes has them.

Names and attributes are OpenTelemetry's conventions for CI/CD pipelines (semantic conventions
1.44). The tree is run, task, attempt, and the parts of an attempt. Traces are trees and workflows
are not: what a task depends on is a link.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from observatory.api.names import GROUP
from observatory.api.status import Status
from observatory.api.taskstatus import Attempt, FailureClass, TaskStatus
from observatory.api.trace import SpanContext, attempt_span_id, task_span_id
from observatory.core.model import Desired, Program
from observatory.core.results import row_result, run_result

AttributeValue = str | int
Attributes = Mapping[str, AttributeValue]


class SpanKind(StrEnum):
    """What a span is to its parent; OpenTelemetry's words."""

    SERVER = "SERVER"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class Link:
    """Another span that this one has to do with, and how."""

    to: SpanContext
    relation: str


@dataclass(frozen=True, slots=True)
class Span:
    """One span that has ended. `error` is the description of what went wrong; None if nothing."""

    name: str
    context: SpanContext
    parent: SpanContext | None
    start: datetime
    end: datetime
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Attributes = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Telling:
    """What a run is told with.

    Attributes:
        program: What it executed; None where that can't be read any more: then links are missing.
        pipeline: The name of the workflow: that of the schedule where it is a run of one.
    """

    desired: Desired
    status: Status
    program: Program | None = None

    @property
    def pipeline(self) -> str:
        """The name of the workflow: for a run of a schedule, that of the schedule."""
        return self.desired.workflow

    @property
    def run_id(self) -> str:
        """What tells this run from every other one."""
        return f"{self.desired.uid}/{self.status.run}"

    def within(self, time: datetime) -> datetime:
        """The time, or the end of the run that is nearest: nodes have clocks of their own."""
        status = self.status
        latest = min(time, status.completion_time or time)
        return max(latest, status.start_time or latest)


def spans(telling: Telling) -> Iterator[Span]:
    """The spans of a run that has ended, parents first; none where it isn't traced."""
    trace = telling.status.trace
    if trace is None or not telling.status.ended:
        return
    yield _run_span(telling)
    ready, links = _ready_times(telling), _dependencies(telling)
    for row in telling.status.tasks:
        if row.run not in (0, telling.status.run):
            continue  # a retry has kept it: its span is in the trace of that run
        yield from _task_spans(telling, row, ready.get(row.name), links.get(row.name, ()))


def forgotten(telling: Telling, before: Status) -> Iterator[Span]:
    """The spans of the earlier attempts that the status before told of and this one doesn't.

    A row keeps only the latest: what falls out of it has to be told now.
    """
    status = telling.status
    if status.trace is None or before.run != status.run:
        return
    known = {row.name: row for row in before.tasks if row.attempts}
    for row in status.tasks:
        old = known.get(row.name)
        if old is None or not row.attempts or old.attempts == row.attempts:
            continue
        oldest = row.attempts[0].attempt
        for attempt in old.attempts:
            if attempt.attempt < oldest:
                yield from _attempt_spans(telling, row.name, attempt, None)


# --- the tree ---------------------------------------------------------------------------------


def _run_span(telling: Telling) -> Span:
    status, desired = telling.status, telling.desired
    trace = status.trace
    assert trace is not None and status.start_time and status.completion_time  # noqa: S101, PT018
    result = run_result(status)
    attributes: dict[str, AttributeValue] = {
        **_of_run(telling),
        "cicd.pipeline.action.name": "RUN",
        "cicd.pipeline.result": result,
        f"{GROUP}.revision": status.revision or "",
        f"{GROUP}.progress": status.progress or "",
    }
    failed = result in ("failure", "error", "timeout")
    failure = status.failure
    if failed:
        attributes["error.type"] = _error_type(failure.class_ if failure else None, result)
    links = [(trace.previous, "previous-run"), (desired.carrier.schedule, "schedule")]
    parent_id = trace.parent_span_id
    return Span(
        name=f"RUN {telling.pipeline}",
        context=trace.root,
        parent=SpanContext(trace.trace_id, parent_id, trace.sampled) if parent_id else None,
        start=status.start_time,
        end=status.completion_time,
        kind=SpanKind.SERVER,
        attributes=attributes,
        links=tuple(
            Link(found, relation)
            for text, relation in links
            if (found := SpanContext.parse(text)) is not None
        ),
        error=(status.message or result) if failed else None,
    )


def _task_spans(
    telling: Telling, row: TaskStatus, ready: datetime | None, links: tuple[Link, ...]
) -> Iterator[Span]:
    status = telling.status
    assert status.trace is not None  # noqa: S101 - the caller has looked
    shown = [*row.attempts]
    if row.start_time and row.completion_time and row.attempt:
        shown.append(_last_attempt(row))
    known = (row.first_start_time, *(attempt.start_time for attempt in shown))
    # One that was skipped, or whose Pod was refused, has never been started: it is a moment.
    first = min((time for time in known if time), default=ready or row.completion_time)
    if first is None:
        return
    begin = telling.within(first if ready is None else min(ready, first))
    end = telling.within(max(row.completion_time or first, first))
    result = row_result(row)
    failed = result in ("failure", "error", "timeout")
    attributes: dict[str, AttributeValue] = {
        **_of_run(telling),
        "cicd.pipeline.task.name": row.name,
        "cicd.pipeline.task.run.id": f"{telling.run_id}/{row.name}",
        "cicd.pipeline.task.run.result": result,
        f"{GROUP}.attempts": row.attempt,
    }
    if failed:
        attributes["error.type"] = _error_type(row.class_, result)
    uid, run = telling.desired.uid, status.run
    yield Span(
        name=row.name,
        context=_context(telling, task_span_id(uid, run, row.name)),
        parent=status.trace.root,
        start=begin,
        end=end,
        attributes=attributes,
        links=links,
        error=(row.message or row.reason or result) if failed else None,
    )
    for attempt in shown:
        queued_since = begin if attempt.attempt == 1 else None
        yield from _attempt_spans(telling, row.name, attempt, queued_since)


def _attempt_spans(
    telling: Telling, task: str, attempt: Attempt, queued_since: datetime | None
) -> Iterator[Span]:
    started, ended = attempt.start_time, attempt.completion_time
    if started is None or ended is None:
        return  # it was refused before it was started
    uid, run, number = telling.desired.uid, telling.status.run, attempt.attempt
    started, ended = telling.within(started), telling.within(max(started, ended))
    begin = started if queued_since is None else min(queued_since, started)
    end = ended
    context = _context(telling, attempt_span_id(uid, run, task, number))
    failed = attempt.class_ is not None and attempt.class_ is not FailureClass.CANCELLED
    attributes: dict[str, AttributeValue] = {
        **_of_run(telling),
        "cicd.pipeline.task.name": task,
        f"{GROUP}.attempt": number,
    }
    known: dict[str, AttributeValue | None] = {
        "k8s.pod.name": attempt.pod_name,
        "k8s.node.name": attempt.node_name,
        f"{GROUP}.exit_code": attempt.exit_code,
        f"{GROUP}.signal": attempt.signal,
        f"{GROUP}.reason": attempt.reason,
        "error.type": attempt.class_.value if failed and attempt.class_ else None,
    }
    attributes |= {name: value for name, value in known.items() if value is not None}
    yield Span(
        name=f"{task} #{number}",
        context=context,
        parent=_context(telling, task_span_id(uid, run, task)),
        start=begin,
        end=end,
        attributes=attributes,
        error=(attempt.message or attempt.reason or "failed") if failed else None,
    )
    for part, since, until in _parts(attempt, begin, started, end):
        yield Span(
            name=part,
            context=_context(telling, attempt_span_id(uid, run, task, number, part)),
            parent=context,
            start=since,
            end=until,
            attributes={**_of_run(telling), "cicd.pipeline.task.name": task},
        )


PARTS = ("scheduling", "image pull")
"""What comes between the start of an attempt and that of its container, in order."""


def _parts(
    attempt: Attempt, begin: datetime, started: datetime, end: datetime
) -> Iterator[tuple[str, datetime, datetime]]:
    """The parts of an attempt, one after the other, within it and without a gap."""
    if begin < started:
        yield "queueing", begin, started
    waited = attempt.waited
    if waited is None:
        ran = attempt.class_ is None or attempt.exit_code is not None
        waited = (0,) * len(PARTS) if ran else ()
    at = started
    for part, seconds in zip(PARTS, waited, strict=False):
        until = min(at + timedelta(seconds=seconds), end)
        if until > at:
            yield part, at, until
        at = until
    if len(waited) == len(PARTS):
        yield "running", at, end
    elif at < end:
        yield PARTS[len(waited)], at, end  # it never came any further


def _ready_times(telling: Telling) -> dict[str, datetime]:
    """When each task could have started, by the ends of what it depends on."""
    status, program = telling.status, telling.program
    begun = status.start_time
    if program is None or begun is None:
        return {}
    ends = {row.name: row.completion_time for row in status.tasks}
    starts = {row.name: row.first_start_time or row.start_time for row in status.tasks}
    ready = {}
    for index, task in enumerate(program.tasks):
        start = starts.get(task.name) or status.completion_time
        if start is None:
            continue
        first = status.finally_time if index >= program.main else begun
        times = [first or begun, *(ends.get(name) for name in task.dependencies)]
        ready[task.name] = max((time for time in times if time and time <= start), default=start)
    return ready


def _dependencies(telling: Telling) -> dict[str, tuple[Link, ...]]:
    """The links of each task to what it depends on, as far as that ran in this run."""
    program, status = telling.program, telling.status
    uid, run = telling.desired.uid, status.run
    contexts = {
        row.name: _context(telling, task_span_id(uid, run, row.name))
        for row in status.tasks
        if row.attempt and row.run in (0, run)
    }
    return {
        task.name: tuple(
            Link(contexts[name], "dependency") for name in task.dependencies if name in contexts
        )
        for task in (program.tasks if program else ())
    }


def _last_attempt(row: TaskStatus) -> Attempt:
    """The attempt that a row itself tells of."""
    return Attempt(
        attempt=row.attempt,
        class_=row.class_,
        reason=row.reason,
        message=row.message,
        pod_name=row.pod_name,
        node_name=row.node_name,
        start_time=row.start_time,
        completion_time=row.completion_time,
        exit_code=row.exit_code,
        signal=row.signal,
        waited=row.waited,
    )


def _context(telling: Telling, span_id: str) -> SpanContext:
    trace = telling.status.trace
    assert trace is not None  # noqa: S101 - the caller has looked
    return SpanContext(trace.trace_id, span_id, trace.sampled)


def _of_run(telling: Telling) -> dict[str, AttributeValue]:
    """What each span says, so that each can be found by it."""
    key = telling.desired.key
    return {
        "cicd.pipeline.name": telling.pipeline,
        "cicd.pipeline.run.id": telling.run_id,
        "k8s.namespace.name": key.namespace,
        f"{GROUP}.observatory": key.name,
        f"{GROUP}.run": telling.status.run,
    }


def _error_type(class_: FailureClass | None, result: str) -> str:
    return class_.value if class_ is not None else result
