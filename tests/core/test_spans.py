"""The spans of a run: a tree whose every span lies within its parent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.names import (
    ANNOTATION_BAGGAGE,
    ANNOTATION_RETRY,
    ANNOTATION_TRACEPARENT,
    ANNOTATION_TRACESTATE,
    OBSERVATORIES,
)
from observatory.api.status import Phase, Status
from observatory.api.taskstatus import Attempt, FailureClass, TaskPhase, TaskStatus
from observatory.api.trace import SpanContext, Trace, attempt_span_id, run_span_id, trace_id
from observatory.api.types import JsonObject
from observatory.core.desired import desire
from observatory.core.results import run_result
from observatory.core.spans import Span, Telling, forgotten, spans
from observatory.kube.api import PatchKind
from observatory.runtime.observer import Observer
from observatory.runtime.tracing import Tracing
from observatory.telemetry.metrics import Metrics
from tests.runtime.world import KEY, Controller, World, observatory, task
from tests.support.clock import FrozenClock

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def at(seconds: int) -> datetime:
    return BEGUN + timedelta(seconds=seconds)


def traced(world: World, *, sampled: bool = True) -> None:
    """Have the world's operator trace; what it would export stays in its queue."""
    tracing = Tracing(
        lambda _: True, lambda *_: sampled, clock=FrozenClock(), exported=lambda _: None
    )
    world.controller = Controller(world, observer=Observer(Metrics().workflows, tracing))


def world_of(
    *tasks: JsonObject, annotations: dict[str, str] | None = None, **spec: object
) -> World:
    world = World()
    traced(world)
    made = observatory("night", *tasks, **spec)
    made["metadata"]["annotations"] = annotations or {}
    world.apply(made)
    return world


def told(world: World) -> list[Span]:
    stored = world.get("night")
    desired = desire(stored)
    telling = Telling(desired, Status.from_wire(stored["status"]), desired.program)
    return list(spans(telling))


def by_name(found: Sequence[Span]) -> dict[str, Span]:
    return {span.name: span for span in found}


def assert_is_a_tree(found: Sequence[Span]) -> None:
    """One root; each other span is within its parent, which is there."""
    contexts = {span.context: span for span in found}
    assert len(contexts) == len(found), "no span twice"
    assert len({span.context.trace_id for span in found}) == 1
    rest = found[1:]
    for span in found:
        assert span.start <= span.end, span.name
    for span in rest:
        assert span.parent is not None
        parent = contexts[span.parent]
        assert parent.start <= span.start, (parent.name, span.name)
        assert span.end <= parent.end, (parent.name, span.name)
    for span in found:
        for link in span.links:
            if link.relation == "dependency":
                assert link.to in contexts


def test_a_run_is_one_tree_of_run_tasks_attempts_and_their_parts() -> None:
    world = world_of(task("a"), task("b", "a"))
    world.run("night")
    found = told(world)

    assert_is_a_tree(found)
    named = by_name(found)
    assert {"RUN night", "a", "a #1", "b", "b #1"} <= named.keys()
    root = named["RUN night"]
    uid = world.get("night")["metadata"]["uid"]
    assert root.parent is None
    assert root.context == SpanContext(trace_id(uid, 1), run_span_id(uid, 1))
    assert named["a"].parent == root.context
    assert named["a #1"].parent == named["a"].context
    assert [link.to for link in named["b"].links] == [named["a"].context]
    assert root.attributes["cicd.pipeline.name"] == "night"
    assert root.attributes["cicd.pipeline.result"] == "success"
    assert named["b"].attributes["cicd.pipeline.task.run.result"] == "success"
    assert root.error is None


def test_a_failed_attempt_is_an_error_and_the_run_that_goes_well_after_it_is_not() -> None:
    world = world_of(task("a", retry={"limit": 1, "backoff": {"initialSeconds": 1}}))
    world.exit_codes = {"a": 3}
    world.round("night")
    while not world.status("night")["tasks"][0].get("attempts"):
        world.round("night")
    world.exit_codes = {}
    world.run("night")
    found = told(world)

    assert_is_a_tree(found)
    named = by_name(found)
    assert named["a #1"].error
    assert named["a #1"].attributes["error.type"] == "ApplicationError"
    assert (named["a #2"].error, named["a"].error, named["RUN night"].error) == (None, None, None)


def test_containers_get_the_context_of_their_own_attempt() -> None:
    world = world_of(
        task("a"), task("b", "a", env=[{"name": "TRACEPARENT", "value": "own"}]), podRetention="All"
    )
    world.run("night")
    uid = world.get("night")["metadata"]["uid"]
    env = {each["name"]: each for each in world.pod_of("a")["spec"]["containers"][0]["env"]}
    context = SpanContext(trace_id(uid, 1), attempt_span_id(uid, 1, "a", 1))
    assert env["TRACEPARENT"]["value"] == context.traceparent
    assert by_name(told(world))["a #1"].context == context
    # What the task says itself counts.
    assert world.pod_of("b")["spec"]["containers"][0]["env"] == [
        {"name": "TRACEPARENT", "value": "own"}
    ]


def test_a_callers_trace_is_continued_and_its_baggage_handed_on() -> None:
    world = world_of(
        task("a"),
        annotations={
            ANNOTATION_TRACEPARENT: CALLER,
            ANNOTATION_TRACESTATE: "vendor=1",
            ANNOTATION_BAGGAGE: "cost=$(x)",
        },
    )
    world.run("night")
    caller = SpanContext.parse(CALLER)
    root = told(world)[0]
    assert (root.parent, root.context.trace_id) == (caller, CALLER[3:35])
    env = {
        each["name"]: each["value"] for each in world.pod_of("a")["spec"]["containers"][0]["env"]
    }
    assert env["TRACEPARENT"].startswith(CALLER[:36])
    assert (env["TRACESTATE"], env["BAGGAGE"]) == ("vendor=1", "cost=$$(x)")


def test_without_a_sampler_nothing_is_traced() -> None:
    world = World()
    world.apply(observatory("night", task("a")))
    world.run("night")
    assert "trace" not in world.status("night")
    assert "env" not in world.pod_of("a")["spec"]["containers"][0]
    assert told(world) == []


def test_what_is_not_sampled_tells_containers_so_and_is_not_to_be_exported() -> None:
    world = World()
    traced(world, sampled=False)
    world.apply(observatory("night", task("a")))
    world.run("night")
    (variable,) = world.pod_of("a")["spec"]["containers"][0]["env"]
    assert variable["value"].endswith("-00")
    trace = Trace.from_wire(world.status("night")["trace"])
    assert not trace.to_export


def test_a_retry_is_a_trace_of_its_own_that_links_to_the_one_before() -> None:
    world = world_of(task("a"), task("b", "a"))
    world.exit_codes = {"b": 1}
    world.run("night")
    first = told(world)[0]
    patch: JsonObject = {"metadata": {"annotations": {ANNOTATION_RETRY: "n1"}}}
    asyncio.run(world.server.patch(OBSERVATORIES, KEY, patch, kind=PatchKind.MERGE))
    world.exit_codes = {}
    world.run("night")
    found = told(world)

    assert_is_a_tree(found)
    root = found[0]
    assert root.context.trace_id != first.context.trace_id
    assert [(link.to, link.relation) for link in root.links] == [(first.context, "previous-run")]
    # What was kept has its span in the trace of the run in which it ran.
    assert "a" not in by_name(found)


def test_a_skipped_task_is_a_moment_and_the_failure_is_told_on_the_run() -> None:
    world = world_of(task("a"), task("b", "a"))
    world.exit_codes = {"a": 7}
    world.run("night")
    found = told(world)
    assert_is_a_tree(found)
    skipped = by_name(found)["b"]
    assert (skipped.start, skipped.attributes["cicd.pipeline.task.run.result"]) == (
        by_name(found)["a"].end,
        "skip",
    )
    assert (skipped.start, skipped.error) == (skipped.end, None)
    assert "b #1" not in by_name(found)
    root = found[0]
    assert root.attributes["cicd.pipeline.result"] == "failure"
    assert root.attributes["error.type"] == "ApplicationError"
    assert 'Task "a" failed' in (root.error or "")


@pytest.mark.parametrize(
    ("waited", "class_", "parts"),
    [
        ((2, 3), None, [("scheduling", 0, 2), ("image pull", 2, 5), ("running", 5, 10)]),
        ((0, 0), None, [("running", 0, 10)]),
        (None, None, [("running", 0, 10)]),
        ((4,), FailureClass.IMAGE_PULL, [("scheduling", 0, 4), ("image pull", 4, 10)]),
        ((), FailureClass.TIMEOUT, [("scheduling", 0, 10)]),
        ((20, 1), None, [("scheduling", 0, 10), ("running", 10, 10)]),
    ],
)
def test_the_parts_of_an_attempt_follow_each_other_without_a_gap(
    waited: tuple[int, ...] | None,
    class_: FailureClass | None,
    parts: list[tuple[str, int, int]],
) -> None:
    phase = TaskPhase.FAILED if class_ else TaskPhase.SUCCEEDED
    row = TaskStatus(
        "a",
        phase,
        1,
        start_time=at(0),
        completion_time=at(10),
        class_=class_,
        waited=waited,
    )
    found = list(spans(telling_of(row)))
    attempt = by_name(found)["a #1"].context
    shown = [span for span in found if span.parent == attempt]
    assert [(each.name, each.start, each.end) for each in shown] == [
        (name, at(start), at(end)) for name, start, end in parts
    ]


def telling_of(*rows: TaskStatus, end: int = 100) -> Telling:
    desired = desire(observatory_of(*(row.name for row in rows)))
    status = Status(
        phase=Phase.SUCCEEDED,
        run=1,
        revision="r",
        start_time=at(0),
        completion_time=at(end),
        tasks=rows,
        trace=Trace(trace_id("u", 1), run_span_id("u", 1)),
    )
    return Telling(desired, status, desired.program)


def observatory_of(*names: str) -> JsonObject:
    made = observatory("night", *(task(name) for name in names))
    made["metadata"]["uid"] = "u"
    return made


def test_attempts_that_fall_out_of_the_status_are_told_when_they_do() -> None:
    def attempts(*numbers: int) -> tuple[Attempt, ...]:
        return tuple(
            Attempt(
                n,
                FailureClass.APPLICATION_ERROR,
                start_time=at(n * 10),
                completion_time=at(n * 10 + 5),
                exit_code=1,
            )
            for n in numbers
        )

    before = TaskStatus("a", TaskPhase.RUNNING, 4, start_time=at(40), attempts=attempts(1, 2, 3))
    after = replace(before, phase=TaskPhase.PENDING, attempts=attempts(2, 3, 4))
    telling = telling_of(after)
    old = replace(telling.status, tasks=(before,))
    assert [span.name for span in forgotten(telling, old)] == ["a #1", "running"]
    assert list(forgotten(telling, telling.status)) == []


@given(st.data())
def test_whatever_the_clocks_said_each_span_is_within_its_parent(data: st.DataObject) -> None:
    """Rows as nodes whose clocks differ may leave them behind."""
    seconds = st.integers(-20, 120)
    rows = []
    for number in range(data.draw(st.integers(1, 4))):
        start = data.draw(seconds)
        rows.append(
            TaskStatus(
                f"t{number}",
                TaskPhase.SUCCEEDED,
                1,
                start_time=at(start),
                completion_time=at(data.draw(seconds)),
                waited=data.draw(st.none() | st.tuples(st.integers(0, 99), st.integers(0, 99))),
            )
        )
    assert_is_a_tree(list(spans(telling_of(*rows))))


def test_a_run_that_was_stopped_is_cancelled_and_one_past_its_deadline_timed_out() -> None:
    world = world_of(task("a"), activeDeadlineSeconds=5)
    world.exit_codes = {"a": None}
    for _ in range(10):
        world.round("night")
    status = Status.from_wire(world.status("night"))
    assert (status.phase, run_result(status)) == (Phase.FAILED, "timeout")
