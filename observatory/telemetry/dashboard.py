"""The Grafana dashboard, as a value: what is on it is said once, here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from observatory.api.types import JsonObject

_WIDTH, _HEIGHT, _COLUMNS = 8, 7, 24
_RECONCILES = 'controller_runtime_reconcile_total{controller="observatory"}'
_LAST_SUCCESS = "observatory_workflow_last_success_timestamp_seconds"


@dataclass(frozen=True, slots=True)
class Panel:
    """A time series: its queries, each with the legend of its lines, and its unit."""

    title: str
    text: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"


def _quantiles(metric: str, by: str = "") -> tuple[tuple[str, str], ...]:
    labels, legend = ("le, " + by, f"{{{{{by}}}}} ") if by else ("le", "")
    rate = f"sum by ({labels}) (rate({metric}_bucket[$__rate_interval]))"
    return tuple(
        (f"histogram_quantile({quantile}, {rate})", f"{legend}p{int(quantile * 100)}")
        for quantile in (0.5, 0.99)
    )


def _rate(metric: str, by: str) -> tuple[tuple[str, str], ...]:
    return ((f"sum by ({by}) (rate({metric}[$__rate_interval]))", f"{{{{{by}}}}}"),)


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Workflows",
        (
            Panel(
                "Runs now",
                "Runs by phase.",
                (("sum by (phase) (observatory_runs)", "{{phase}}"),),
            ),
            Panel("Runs ended", "A second.", _rate("observatory_runs_completed_total", "result")),
            Panel(
                "Duration of runs",
                "From start to end.",
                _quantiles("observatory_run_duration_seconds"),
                "s",
            ),
            Panel(
                "Workflows whose latest run failed",
                "By namespace.",
                (
                    (
                        "sum by (namespace) (observatory_workflow_last_run_failed)",
                        "{{namespace}}",
                    ),
                ),
            ),
            Panel(
                "Since the last success",
                "The ten longest.",
                (
                    (
                        f"topk(10, time() - max by (namespace, workflow) ({_LAST_SUCCESS}))",
                        "{{namespace}}/{{workflow}}",
                    ),
                ),
                "s",
            ),
            Panel(
                "Skipped runs",
                "Fire times at which none began, by why.",
                _rate("observatory_schedule_skipped_runs_total", "reason"),
            ),
        ),
    ),
    (
        "Tasks",
        (
            Panel("Tasks ended", "A second.", _rate("observatory_tasks_completed_total", "result")),
            Panel(
                "Duration of tasks",
                "From the first start to the end.",
                _quantiles("observatory_task_duration_seconds"),
                "s",
            ),
            Panel("Retries", "By the failure.", _rate("observatory_task_retries_total", "class")),
            Panel(
                "Queue time",
                "From when a task could start until it did.",
                _quantiles("observatory_task_queue_seconds"),
                "s",
            ),
            Panel(
                "Pods' waits",
                "For a node, and for the image.",
                _quantiles("observatory_attempt_wait_seconds", "part"),
                "s",
            ),
            Panel("Pods", "By state.", (("sum by (state) (observatory_pods)", "{{state}}"),)),
        ),
    ),
    (
        "Operator",
        (
            Panel(
                "Reconciles",
                "A second, by result.",
                (
                    (
                        f"sum by (result) (rate({_RECONCILES}[$__rate_interval]))",
                        "{{result}}",
                    ),
                ),
            ),
            Panel(
                "Time of a reconcile",
                "With its requests.",
                _quantiles("controller_runtime_reconcile_time_seconds"),
                "s",
            ),
            Panel(
                "Time in the queue",
                "Until a worker takes a key.",
                _quantiles("workqueue_queue_duration_seconds"),
                "s",
            ),
            Panel("Depth of the queue", "Keys.", (("sum(workqueue_depth)", "keys"),)),
            Panel(
                "Requests",
                "To the API server, by the status of the answer.",
                _rate("rest_client_requests_total", "code"),
            ),
            Panel(
                "Latency of requests",
                "By verb.",
                _quantiles("rest_client_request_duration_seconds", "verb"),
                "s",
            ),
            Panel(
                "Memory",
                "Resident.",
                (("process_resident_memory_bytes", "{{instance}}"),),
                "bytes",
            ),
            Panel(
                "CPU",
                "Cores.",
                (("rate(process_cpu_seconds_total[$__rate_interval])", "{{instance}}"),),
            ),
            Panel(
                "Who leads",
                "1 for the operator that works.",
                (("observatory_operator_leading", "{{instance}}"),),
            ),
        ),
    ),
)


def dashboard() -> JsonObject:
    """The dashboard in Grafana's JSON; it asks for its data source when it is imported."""
    return {
        "title": "Observatory Operator",
        "uid": "observatory-operator",
        "tags": ["kubernetes", "workflows"],
        "schemaVersion": 39,
        "editable": True,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}],
        },
        "panels": list(_panels()),
    }


def _panels() -> Iterator[JsonObject]:
    number, top = 1, 0
    for title, panels in ROWS:
        place = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": title, "gridPos": place, "panels": []}
        number, top = number + 1, top + 1
        for index, panel in enumerate(panels):
            column = index * _WIDTH % _COLUMNS
            yield _panel(number, panel, column, top + index * _WIDTH // _COLUMNS * _HEIGHT)
            number += 1
        top += -(-len(panels) * _WIDTH // _COLUMNS) * _HEIGHT


def _panel(number: int, panel: Panel, x: int, y: int) -> JsonObject:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": source,
        "gridPos": {"x": x, "y": y, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": query, "legendFormat": legend}
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }
