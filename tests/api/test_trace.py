"""Trace ids and their forms."""

from __future__ import annotations

import pytest

from observatory.api.trace import (
    SpanContext,
    Trace,
    attempt_span_id,
    run_span_id,
    task_span_id,
    trace_id,
)

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_ids_have_the_lengths_of_w3c_trace_context_and_are_the_same_each_time() -> None:
    assert trace_id("uid", 1) == trace_id("uid", 1)
    assert len(bytes.fromhex(trace_id("uid", 1))) == 16
    assert len(bytes.fromhex(run_span_id("uid", 1))) == 8


def test_no_two_things_of_a_run_have_the_same_id() -> None:
    ids = [
        run_span_id("uid", 1),
        run_span_id("uid", 2),
        run_span_id("other", 1),
        task_span_id("uid", 1, "a"),
        task_span_id("uid", 1, "run"),
        attempt_span_id("uid", 1, "a", 1),
        attempt_span_id("uid", 1, "a", 2),
        attempt_span_id("uid", 1, "a", 1, "running"),
        attempt_span_id("uid", 1, "a1", 1),
        attempt_span_id("uid", 11, "a", 1),
    ]
    assert len(set(ids)) == len(ids)


def test_a_traceparent_is_read_and_written() -> None:
    context = SpanContext.parse(PARENT)
    assert context == SpanContext(
        "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True
    )
    assert context.traceparent == PARENT
    not_sampled = SpanContext.parse(PARENT[:-2] + "00")
    assert not_sampled is not None
    assert not not_sampled.sampled


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "nonsense",
        PARENT.upper(),
        PARENT.replace("00-", "01-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        PARENT + "-more",
    ],
)
def test_what_is_no_traceparent_is_ignored(text: str | None) -> None:
    assert SpanContext.parse(text) is None


@pytest.mark.parametrize(
    "trace",
    [
        Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"),
        Trace(
            "0af7651916cd43dd8448eb211c80319c",
            "b7ad6b7169203331",
            sampled=False,
            parent_span_id="00f067aa0ba902b7",
            previous=PARENT,
            exported=True,
        ),
    ],
)
def test_a_trace_is_what_its_wire_form_says(trace: Trace) -> None:
    assert Trace.from_wire(trace.to_wire()) == trace


@pytest.mark.parametrize(
    "item",
    [
        {"traceID": "x", "spanID": "b7ad6b7169203331"},
        {"traceID": "0af7651916cd43dd8448eb211c80319c", "spanID": ""},
        {
            "traceID": "0af7651916cd43dd8448eb211c80319c",
            "spanID": "b7ad6b7169203331",
            "parentSpanID": "?",
        },
    ],
)
def test_ids_that_are_none_are_refused(item: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="trace"):
        Trace.from_wire(item)
