"""What is counted of runs and tasks."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import CollectorRegistry

from observatory.api.status import Status
from observatory.core.desired import desire
from observatory.runtime.observer import Observer
from observatory.telemetry.metrics import Metrics
from observatory.telemetry.workflowmetrics import MOST_WORKFLOWS, OTHER, WorkflowMetrics
from tests.runtime.test_tracing import Bench
from tests.runtime.world import Controller, World, observatory, task


def counted(world: World) -> Metrics:
    """Metrics that count what the world's operator does from now on."""
    metrics = Metrics()
    world.controller = Controller(world, observer=Observer(metrics.workflows, None))
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    found: float | None = metrics.registry.get_sample_value(f"observatory_{name}", labels)
    return found


def test_a_run_and_its_tasks_are_counted_once() -> None:
    world = World()
    metrics = counted(world)
    world.exit_codes = {"b": 2}
    world.apply(observatory("night", task("a"), task("b", "a"), task("c", "b")))
    world.run("night")
    world.run("night")
    of = {"namespace": "default", "workflow": ""}
    assert value(metrics, "runs_started_total", **of) == 1
    assert value(metrics, "runs_completed_total", **of, result="failure") == 1
    assert value(metrics, "run_duration_seconds_count", **of, result="failure") == 1
    results = {
        result: value(metrics, "tasks_completed_total", namespace="default", result=result)
        for result in ("success", "failure", "skip")
    }
    assert results == {"success": 1, "failure": 1, "skip": 1}
    assert value(metrics, "task_queue_seconds_count", namespace="default") == 2


def test_retries_are_counted_by_the_class_of_the_failure() -> None:
    world = World()
    metrics = counted(world)
    world.exit_codes = {"a": 2}
    world.apply(
        observatory("night", task("a", retry={"limit": 2, "backoff": {"initialSeconds": 1}}))
    )
    for _ in range(30):
        world.round("night")
    labels = {"namespace": "default", "class": "ApplicationError"}
    assert value(metrics, "task_retries_total", **labels) == 2
    assert value(metrics, "tasks_completed_total", namespace="default", result="failure") == 1


def test_measurements_of_a_traced_run_point_to_its_trace() -> None:
    bench = Bench("a")
    metrics = Metrics()
    observer = Observer(metrics.workflows, bench.tracing)
    bench.world.controller = Controller(bench.world, observer=observer)
    bench.world.run("night")
    page, content_type = metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    trace = bench.world.status("night")["trace"]
    lines = [line for line in page.decode().splitlines() if trace["traceID"] in line]
    assert len(lines) == 2
    assert any(
        line.startswith("observatory_run_duration_seconds_bucket") and trace["spanID"] in line
        for line in lines
    )
    plain, _ = metrics.exposition("text/plain")
    assert trace["traceID"] not in plain.decode()


def test_no_label_has_the_name_of_a_run_a_task_or_a_pod() -> None:
    """Ten thousand runs, one after the other, are as many series as one."""
    registry = CollectorRegistry()
    metrics = WorkflowMetrics(registry)
    world = World()
    world.apply(observatory("night", task("a")))
    world.run("night")
    stored = world.get("night")
    desired, after = desire(stored), Status.from_wire(stored["status"])

    def series() -> int:
        return sum(len(family.samples) for family in registry.collect())

    metrics.changed(desired, Status(), after, desired.program)
    once = series()
    for number in range(10_000):
        other = replace(desired, key=desired.key._replace(name=f"night-{number}"), uid=str(number))
        metrics.changed(other, Status(), after, desired.program)
    assert series() == once


def test_workflows_beyond_the_limit_share_their_series() -> None:
    registry = CollectorRegistry()
    metrics = WorkflowMetrics(registry)
    world = World()
    world.apply(observatory("night", task("a")))
    world.run("night")
    stored = world.get("night")
    desired, after = desire(stored), Status.from_wire(stored["status"])
    for number in range(MOST_WORKFLOWS + 5):
        metrics.changed(replace(desired, parent=f"w{number}"), Status(), after, None)
    labels = {"namespace": "default", "workflow": OTHER}
    assert registry.get_sample_value("observatory_runs_started_total", labels) == 5
    labels = {"namespace": "default", "workflow": "w3"}
    assert registry.get_sample_value("observatory_runs_started_total", labels) == 1
