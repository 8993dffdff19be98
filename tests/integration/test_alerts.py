"""Each alert fires when it should and does not when it shouldn't, by promtool."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from observatory.telemetry.dashboard import dashboard
from observatory.telemetry.metrics import Metrics
from tests.support.packages import program
from tests.telemetry.test_dashboard import rules

pytestmark = pytest.mark.integration

OF = 'namespace="etl", workflow="nightly"'
WARNS = f'observatory_workflow_alert_info{{{OF}, severity="warning"}}'


@dataclass(frozen=True)
class Case:
    """Series as promtool writes them, and how long after their beginning somebody looks."""

    series: dict[str, str]
    minutes: int
    fires: dict[str, str] | None = field(default=None)
    """The labels of the alert that fires; None where none does."""


_LABELS = "alertname, namespace, workflow, severity, controller, name, resource, invariant, signal"


def always(value: float) -> str:
    return f"{value}x200"


def growing(step: float) -> str:
    return f"0+{step}x200"


PANICS = 'controller_runtime_reconcile_panics_total{controller="observatory"}'
PAGES = f'observatory_workflow_alert_info{{{OF}, severity="critical", instance="%s"}}'
QUEUE = 'workqueue_queue_duration_seconds_bucket{name="observatory", le="%s"}'
CASES: dict[str, tuple[Case, ...]] = {
    "ObservatoryOperatorDown": (
        Case({"observatory_operator_leading": always(0)}, 6, {"severity": "critical"}),
        Case({}, 6, {"severity": "critical"}),
        Case({"observatory_operator_leading": always(0)}, 3),
        Case({'observatory_operator_leading{instance="a"}': always(1)}, 6),
    ),
    "ObservatoryReconcileErrors": (
        Case(
            {
                'controller_runtime_reconcile_errors_total{controller="observatory"}': growing(3),
                'controller_runtime_reconcile_total{controller="observatory"}': growing(20),
            },
            25,
            {"controller": "observatory", "severity": "warning"},
        ),
        Case(
            {
                'controller_runtime_reconcile_errors_total{controller="observatory"}': growing(1),
                'controller_runtime_reconcile_total{controller="observatory"}': growing(20),
            },
            25,
        ),
    ),
    "ObservatoryReconcilePanics": (
        Case(
            {PANICS: "0x5 1x90"},
            8,
            {"controller": "observatory", "severity": "warning"},
        ),
        Case(
            {'controller_runtime_reconcile_panics_total{controller="observatory"}': always(2)}, 60
        ),
    ),
    "ObservatoryReconcileStuck": (
        Case(
            {'workqueue_longest_running_processor_seconds{name="observatory"}': growing(60)},
            12,
            {"name": "observatory", "severity": "warning"},
        ),
        Case({'workqueue_longest_running_processor_seconds{name="observatory"}': always(20)}, 60),
    ),
    "ObservatoryWorkqueueBacklog": (
        Case(
            {QUEUE % "10": growing(1), QUEUE % "100": growing(50), QUEUE % "+Inf": growing(50)},
            20,
            {"name": "observatory", "severity": "warning"},
        ),
        Case(
            {QUEUE % "10": growing(50), QUEUE % "100": growing(50), QUEUE % "+Inf": growing(50)},
            20,
        ),
    ),
    "ObservatoryWatchFailing": (
        Case(
            # As often as it is tried again at last: each 30 to 60 seconds.
            {'observatory_watch_failures_total{resource="pods", code="403"}': growing(1)},
            30,
            {"resource": "pods", "severity": "warning"},
        ),
        Case({'observatory_watch_failures_total{resource="pods", code="410"}': growing(4)}, 30),
        Case({'observatory_watch_failures_total{resource="pods", code="503"}': "0x5 3x90"}, 30),
    ),
    "ObservatoryInvariantViolated": (
        Case(
            {'observatory_invariant_violations_total{invariant="I1"}': "0x5 1x90"},
            8,
            {"invariant": "I1", "severity": "warning"},
        ),
        Case({'observatory_invariant_violations_total{invariant="I1"}': always(3)}, 60),
    ),
    "ObservatoryCertificateReadErrors": (
        Case(
            {"certwatcher_read_certificate_errors_total": growing(6)}, 50, {"severity": "warning"}
        ),
        Case({"certwatcher_read_certificate_errors_total": "0x5 2x90"}, 50),
    ),
    "ObservatoryTelemetryExportFailing": (
        Case(
            {'observatory_otel_export_failures_total{signal="traces"}': growing(2)},
            30,
            {"signal": "traces", "severity": "info"},
        ),
        Case({'observatory_otel_export_failures_total{signal="traces"}': always(5)}, 30),
    ),
    "ObservatoryMetricsCapped": (
        Case({"observatory_workflows_without_series": always(3)}, 20, {"severity": "info"}),
        Case({"observatory_workflows_without_series": always(0)}, 20),
    ),
    "ObservatoryRunFailed": (
        Case(
            {WARNS: always(1), f"observatory_workflow_last_run_failed{{{OF}}}": always(1)},
            1,
            {"namespace": "etl", "workflow": "nightly", "severity": "warning"},
        ),
        Case({WARNS: always(1), f"observatory_workflow_last_run_failed{{{OF}}}": always(0)}, 60),
        Case({f"observatory_workflow_last_run_failed{{{OF}}}": always(1)}, 60),
        Case({WARNS: always(1), f"observatory_workflow_last_run_failed{{{OF}}}": "1x5 0x90"}, 10),
        # During a failover two operators may tell it for a moment.
        Case(
            {
                PAGES % "a": "1x9",
                PAGES % "b": "1x9",
                f'observatory_workflow_last_run_failed{{{OF}, instance="a"}}': "1x9",
                f'observatory_workflow_last_run_failed{{{OF}, instance="b"}}': "1x9",
            },
            5,
            {"namespace": "etl", "workflow": "nightly", "severity": "critical"},
        ),
    ),
    "ObservatoryRunOverdue": (
        Case(
            {
                WARNS: always(1),
                f"observatory_workflow_running_since_timestamp_seconds{{{OF}}}": always(0),
                f"observatory_workflow_alert_running_seconds{{{OF}}}": always(600),
            },
            11,
            {"namespace": "etl", "workflow": "nightly", "severity": "warning"},
        ),
        Case(
            {
                WARNS: always(1),
                f"observatory_workflow_running_since_timestamp_seconds{{{OF}}}": always(0),
                f"observatory_workflow_alert_running_seconds{{{OF}}}": always(600),
            },
            9,
        ),
        Case(
            {
                WARNS: always(1),
                f"observatory_workflow_running_since_timestamp_seconds{{{OF}}}": always(0),
            },
            60,
        ),
    ),
    "ObservatoryNotSucceeded": (
        Case(
            {
                WARNS: always(1),
                f"observatory_workflow_last_success_timestamp_seconds{{{OF}}}": always(0),
                f"observatory_workflow_alert_not_succeeded_seconds{{{OF}}}": always(1800),
            },
            31,
            {"namespace": "etl", "workflow": "nightly", "severity": "warning"},
        ),
        Case(
            {
                WARNS: always(1),
                f"observatory_workflow_last_success_timestamp_seconds{{{OF}}}": growing(60),
                f"observatory_workflow_alert_not_succeeded_seconds{{{OF}}}": always(1800),
            },
            90,
        ),
    ),
    "ObservatoryScheduleMissed": (
        Case(
            {
                WARNS: always(1),
                f"observatory_schedule_next_run_timestamp_seconds{{{OF}}}": always(60),
                f"observatory_schedule_suspended{{{OF}}}": always(0),
            },
            10,
            {"namespace": "etl", "workflow": "nightly", "severity": "warning"},
        ),
        Case(
            {
                WARNS: always(1),
                f"observatory_schedule_next_run_timestamp_seconds{{{OF}}}": always(60),
                f"observatory_schedule_suspended{{{OF}}}": always(1),
            },
            10,
        ),
        Case(
            {
                WARNS: always(1),
                f"observatory_schedule_next_run_timestamp_seconds{{{OF}}}": "120+60x200",
                f"observatory_schedule_suspended{{{OF}}}": always(0),
            },
            90,
        ),
    ),
}


def promtool(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    found = program("promtool", "prometheus")
    return subprocess.run([found, *arguments], input=stdin, capture_output=True, check=False)


def written(folder: Path, name: str, value: object) -> str:
    path = folder / name
    path.write_text(yaml.safe_dump(value))
    return str(path)


def groups() -> dict[str, object]:
    return {"groups": [{"name": "alerts", "rules": rules()}]}


def test_every_alert_is_tried_in_both_directions() -> None:
    assert set(CASES) == {rule["alert"] for rule in rules()}
    for cases in CASES.values():
        assert {case.fires is None for case in cases} == {True, False}


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_when_it_should_and_only_then(alert: str, tmp_path: Path) -> None:
    firing = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
    written(tmp_path, "rules.yaml", groups())
    tests = [
        {
            "interval": "1m",
            "name": f"{alert} {number}",
            "input_series": [
                {"series": series, "values": values} for series, values in case.series.items()
            ],
            "promql_expr_test": [
                {
                    "expr": f"count by ({_LABELS}) ({firing})",
                    "eval_time": f"{case.minutes}m",
                    "exp_samples": [
                        {"labels": _labels({"alertname": alert, **case.fires}), "value": 1}
                    ]
                    if case.fires
                    else [],
                }
            ],
        }
        for number, case in enumerate(CASES[alert])
    ]
    suite = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    done = promtool("test", "rules", written(tmp_path, "tests.yaml", suite))
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def _labels(labels: dict[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def test_the_words_of_an_alert_name_the_workflow(tmp_path: Path) -> None:
    written(tmp_path, "rules.yaml", groups())
    failed = f"observatory_workflow_last_run_failed{{{OF}}}"
    suite = {
        "rule_files": ["rules.yaml"],
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": WARNS, "values": "1x9"},
                    {"series": failed, "values": "1x9"},
                ],
                "alert_rule_test": [
                    {
                        "eval_time": "2m",
                        "alertname": "ObservatoryRunFailed",
                        "exp_alerts": [
                            {
                                "exp_labels": {
                                    "namespace": "etl",
                                    "workflow": "nightly",
                                    "severity": "warning",
                                },
                                "exp_annotations": {
                                    "summary": "The latest run of a workflow failed.",
                                    "description": "The latest run of workflow etl/nightly failed. "
                                    "The alert ends when a run succeeds.",
                                    "runbook_url": "https://workflow.seventh-horizon.io/runbooks/"
                                    "ObservatoryRunFailed",
                                },
                            }
                        ],
                    }
                ],
            }
        ],
    }
    done = promtool("test", "rules", written(tmp_path, "tests.yaml", suite))
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def test_queries_of_the_dashboard_are_queries(tmp_path: Path) -> None:
    recorded = [
        {"record": f"panel:{panel['id']}:{target['refId']}", "expr": target["expr"]}
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    ]
    for each in recorded:
        each["expr"] = each["expr"].replace("$__rate_interval", "5m")
    value = {"groups": [{"name": "dashboard", "rules": recorded}]}
    done = promtool("check", "rules", written(tmp_path, "dashboard.yaml", value))
    assert done.returncode == 0, done.stderr.decode()


def test_promtool_has_nothing_to_say_about_the_page() -> None:
    metrics = Metrics()
    metrics.initialise("observatory")
    page, _ = metrics.exposition("text/plain")
    done = promtool("check", "metrics", stdin=page)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
