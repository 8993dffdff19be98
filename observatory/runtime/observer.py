"""Who watches what becomes of runs: their metrics, and their traces."""

from __future__ import annotations

from observatory.api.runs import Runs
from observatory.api.status import Status
from observatory.api.trace import Sampler
from observatory.core.model import Desired, Program
from observatory.core.spans import Telling, forgotten
from observatory.runtime.tracing import Tracing
from observatory.telemetry.workflowmetrics import WorkflowMetrics


class Observer:
    """Told of each status that has been stored. It is quick and has no part in what is done."""

    def __init__(self, counts: WorkflowMetrics, tracing: Tracing | None) -> None:
        self._counts = counts
        self._tracing = tracing

    @property
    def sampler(self) -> Sampler | None:
        """Which runs are traced; None where none is."""
        return self._tracing.sampler if self._tracing else None

    def changed(
        self, desired: Desired, before: Status, after: Status, program: Program | None
    ) -> None:
        """A status has been stored in the place of the one before."""
        if after is before:
            return
        self._counts.changed(desired, before, after, program)
        if self._tracing and after.trace and after.trace.sampled:
            self._tracing.tell(forgotten(Telling(desired, after, program), before))

    def runs_changed(self, desired: Desired, before: Runs, after: Runs) -> None:
        """So has one that tells of the runs of a schedule."""
        if after is not before:
            self._counts.runs_changed(desired, before, after)

    def wants(self, status: Status) -> bool:
        """Whether the trace of the latest run is still to be exported."""
        trace = status.trace
        return bool(self._tracing and trace and trace.to_export and status.ended)

    def exported(self, desired: Desired, status: Status, program: Program | None) -> float | None:
        """Have that trace exported: None once it is, until then when to ask again, in seconds."""
        return self._tracing.offer(Telling(desired, status, program)) if self._tracing else None

    def recorded(self, desired: Desired, status: Status) -> None:
        """A status says that it has been exported."""
        if self._tracing:
            self._tracing.recorded(desired.uid, status.run)
