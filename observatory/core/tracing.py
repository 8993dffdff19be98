"""What a run's trace asks of planning: its ids, and what its containers are told of them."""

from __future__ import annotations

from collections.abc import Iterator

from observatory.api.status import Status
from observatory.api.trace import Sampler, SpanContext, Trace, attempt_span_id, run_span_id
from observatory.api.trace import trace_id as id_of
from observatory.api.types import JsonObject
from observatory.core.model import Desired


def trace_of(desired: Desired, before: Status, sampler: Sampler | None) -> Trace | None:
    """The trace of the run that begins after this status; None where nothing is traced."""
    if sampler is None:
        return None
    run = before.run + 1
    caller = SpanContext.parse(desired.carrier.traceparent)
    trace_id = caller.trace_id if caller else id_of(desired.uid, run)
    return Trace(
        trace_id=trace_id,
        span_id=run_span_id(desired.uid, run),
        sampled=sampler(trace_id, caller),
        parent_span_id=caller.span_id if caller else None,
        previous=before.trace.root.traceparent if before.trace else None,
    )


def carried(desired: Desired, status: Status, task: str, attempt: int) -> Iterator[JsonObject]:
    """The variables with which a container's own spans join the trace, below their attempt."""
    trace, carrier = status.trace, desired.carrier
    if trace is None:
        return
    span_id = attempt_span_id(desired.uid, status.run, task, attempt)
    parent = SpanContext(trace.trace_id, span_id, trace.sampled)
    yield {"name": "TRACEPARENT", "value": parent.traceparent}
    # Kubernetes expands $(NAME) in values.
    if carrier.tracestate and trace.parent_span_id:
        yield {"name": "TRACESTATE", "value": carrier.tracestate.replace("$", "$$")}
    if carrier.baggage:
        yield {"name": "BAGGAGE", "value": carrier.baggage.replace("$", "$$")}
