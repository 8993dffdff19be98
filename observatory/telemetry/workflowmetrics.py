"""Metrics about workflows: what has happened to runs and tasks since this process began to lead.

What is so at this moment is not counted here but read from the caches, see
`runtime/statemetrics.py`. No label has the name of a run, a task or a Pod: the number of series
doesn't grow with that of runs.
"""

from __future__ import annotations

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram

from observatory.api.runs import Runs
from observatory.api.status import Status
from observatory.api.taskstatus import FailureClass, TaskPhase, TaskStatus
from observatory.api.trace import SpanContext, task_span_id
from observatory.core.model import Desired, Program
from observatory.core.results import row_result, run_result
from observatory.core.spans import PARTS

DURATION_BUCKETS = (5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400)
"""Seconds of runs and tasks: from a script to a day."""
WAIT_BUCKETS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
MOST_WORKFLOWS = 1000
"""Workflows with series of their own; those that come after share the ones of `OTHER`."""
OTHER = "_other"


class WorkflowMetrics:
    """Counts what changes from one stored status to the next."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"observatory_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[int, ...], *labels: str) -> Histogram:
            name = f"observatory_{name}"
            return Histogram(name, text, labels, registry=registry, buckets=buckets)

        of_workflow = ("namespace", "workflow")
        self._workflows: set[tuple[str, str]] = set()
        self.started = counter("runs_started_total", "Runs that have begun", *of_workflow)
        self.completed = counter(
            "runs_completed_total", "Runs that have ended, by their result", *of_workflow, "result"
        )
        self.run_duration = histogram(
            "run_duration_seconds",
            "How long runs took, from their start to their end",
            DURATION_BUCKETS,
            *of_workflow,
            "result",
        )
        self.tasks = counter(
            "tasks_completed_total", "Tasks that have ended, by their result", "namespace", "result"
        )
        self.task_duration = histogram(
            "task_duration_seconds",
            "How long tasks took, from the start of their first attempt to their end",
            DURATION_BUCKETS,
            "namespace",
            "result",
        )
        self.queue = histogram(
            "task_queue_seconds",
            "How long tasks waited that could have started, until they were",
            WAIT_BUCKETS,
            "namespace",
        )
        self.waits = histogram(
            "attempt_wait_seconds",
            "How long the Pods of attempts that have ended waited, by what for",
            WAIT_BUCKETS,
            "part",
        )
        self.retries = counter(
            "task_retries_total",
            "Attempts that failed and are tried again, by the class of the failure",
            "namespace",
            "class",
        )
        self.skipped = counter(
            "schedule_skipped_runs_total",
            "Fire times at which no run has begun, or stretches of them, by the reason",
            *of_workflow,
            "reason",
        )
        for part in PARTS:
            self.waits.labels(part)

    def changed(
        self, desired: Desired, before: Status, after: Status, program: Program | None
    ) -> None:
        """Count what is new in a status that has been stored."""
        namespace = desired.key.namespace
        workflow = self._workflow(desired)
        same = before.run == after.run
        if after.run and not same:
            self.started.labels(*workflow).inc()
        if after.ended and not (same and before.ended):
            self._run_ended(workflow, after)
        old = {row.name: row for row in before.tasks} if same else {}
        for index, row in enumerate(after.tasks):
            was = old.get(row.name)
            if row is was or row.run not in (0, after.run):
                continue
            if row.phase.ended and not (was and was.phase.ended):
                self._task_ended(desired, after, row)
            elif row.phase is TaskPhase.RUNNING and row.attempt == 1 and _newly(was, row):
                waited = _queued(index, after, program)
                if waited is not None:
                    self.queue.labels(namespace).observe(waited)
            elif row.next_attempt_time and not (was and was.next_attempt_time):
                self._retried(namespace, row)

    def runs_changed(self, desired: Desired, before: Runs, after: Runs) -> None:
        """Count what is new in what a scheduled Observatory tells of its runs."""
        for skip in after.skipped:
            if skip not in before.skipped:
                self.skipped.labels(*self._workflow(desired), skip.reason).inc()

    def _run_ended(self, workflow: tuple[str, str], status: Status) -> None:
        result = run_result(status)
        self.completed.labels(*workflow, result).inc()
        seconds = _between(status.start_time, status.completion_time)
        root = status.trace.root if status.trace else None
        self.run_duration.labels(*workflow, result).observe(seconds, _exemplar(root))

    def _task_ended(self, desired: Desired, status: Status, row: TaskStatus) -> None:
        namespace, result = desired.key.namespace, row_result(row)
        self.tasks.labels(namespace, result).inc()
        begun = row.first_start_time or row.start_time
        if begun is None:
            return  # it has never run
        context = None
        if trace := status.trace:
            span_id = task_span_id(desired.uid, status.run, row.name)
            context = SpanContext(trace.trace_id, span_id, trace.sampled)
        seconds = _between(begun, row.completion_time)
        self.task_duration.labels(namespace, result).observe(seconds, _exemplar(context))
        self._waited(row.waited)

    def _retried(self, namespace: str, row: TaskStatus) -> None:
        last = row.attempts[-1] if row.attempts else None
        class_ = (last and last.class_) or FailureClass.APPLICATION_ERROR
        self.retries.labels(namespace, class_.value).inc()
        if last is not None:
            self._waited(last.waited)

    def _waited(self, waited: tuple[int, ...] | None) -> None:
        for part, seconds in zip(PARTS, waited or (0,) * len(PARTS), strict=False):
            self.waits.labels(part).observe(seconds)

    def _workflow(self, desired: Desired) -> tuple[str, str]:
        """The labels of a workflow: its name where it has one that outlives its runs.

        Observatories that run once are as many as runs: theirs is empty.
        """
        name = desired.workflow if desired.parent or desired.scheduled or desired.alerts else ""
        labels = (desired.key.namespace, name)
        if not name or labels in self._workflows:
            return labels
        if len(self._workflows) >= MOST_WORKFLOWS:
            return desired.key.namespace, OTHER
        self._workflows.add(labels)
        return labels


def _newly(was: TaskStatus | None, row: TaskStatus) -> bool:
    return was is None or was.attempt != row.attempt


def _between(start: datetime | None, end: datetime | None) -> float:
    return max((end - start).total_seconds(), 0.0) if start and end else 0.0


def _exemplar(context: SpanContext | None) -> dict[str, str] | None:
    """The trace that a measurement is an example of, if it is recorded."""
    if context is None or not context.sampled:
        return None
    return {"trace_id": context.trace_id, "span_id": context.span_id}


def _queued(index: int, status: Status, program: Program | None) -> float | None:
    """How long a task waited that has just been started for the first time."""
    start = status.tasks[index].start_time
    if program is None or start is None or len(program.tasks) != len(status.tasks):
        return None
    since = status.finally_time if index >= program.main else status.start_time
    ends = (status.tasks[each].completion_time for each in program.dependencies[index])
    ready = max((time for time in (since, *ends) if time and time <= start), default=start)
    return _between(ready, start)
