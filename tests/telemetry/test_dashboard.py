"""Every query of the dashboard, and of the alerts, asks for metrics that we export."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from observatory.runtime.controller import NAME
from observatory.runtime.statemetrics import StateCollector
from observatory.telemetry.dashboard import dashboard
from observatory.telemetry.metrics import Metrics
from tests.runtime.test_statemetrics import cache_of

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
_NAME = re.compile(
    r"\b(?:observatory|controller_runtime|workqueue|rest_client|process|certwatcher)_[a-z_]+"
)

STOCK = {
    "controller_runtime_active_workers",
    "controller_runtime_max_concurrent_reconciles",
    "controller_runtime_reconcile_errors_total",
    "controller_runtime_reconcile_time_seconds_bucket",
    "controller_runtime_reconcile_total",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "workqueue_adds_total",
    "workqueue_depth",
    "workqueue_longest_running_processor_seconds",
    "workqueue_queue_duration_seconds_bucket",
    "workqueue_retries_total",
    "workqueue_unfinished_work_seconds",
    "workqueue_work_duration_seconds_bucket",
}
"""What kubebuilder's stock dashboards ask for, of `controller-runtime` and of its resources."""


def exported() -> set[str]:
    """The names of all series that an operator can export."""
    metrics = Metrics()
    metrics.initialise(NAME)
    metrics.registry.register(StateCollector(cache_of(), lambda: True))
    names = set()
    for family in metrics.registry.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
        suffixes["info"] = ("_info",)
        names |= {family.name + suffix for suffix in suffixes.get(family.type, ("",))}
    return names


def rules() -> list[dict[str, Any]]:
    found = yaml.safe_load((ROOT / "manifests/prometheus/rules.yaml").read_text())
    return [rule for group in found["spec"]["groups"] for rule in group["rules"]]


def queries() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


@pytest.mark.parametrize("query", list(queries()))
def test_a_query_of_the_dashboard_asks_for_what_is_exported(query: str) -> None:
    asked = set(_NAME.findall(query))
    assert asked
    assert asked <= exported()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_is_exported_and_has_a_page_about_it(rule: dict[str, Any]) -> None:
    assert set(_NAME.findall(rule["expr"])) <= exported()
    annotations = rule["annotations"]
    assert annotations["summary"].endswith(".")
    assert annotations["description"].endswith(".")
    assert annotations["runbook_url"].endswith(f"/runbooks/{rule['alert']}")
    page = (RUNBOOKS / f"{rule['alert']}.md").read_text()
    assert page.startswith(f"# {rule['alert']}\n")
    for title in ("Meaning", "Impact", "Diagnosis", "Mitigation"):
        assert f"\n## {title}\n" in page
    by_itself = "severity" in rule.get("labels", {})
    by_the_workflow = "observatory_workflow_alert_info" in rule["expr"]
    assert by_itself != by_the_workflow


def test_each_page_is_about_an_alert_that_there_is() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {rule["alert"] for rule in rules()}


def test_kubebuilders_stock_dashboards_have_their_data() -> None:
    assert exported() >= STOCK


def test_panels_do_not_lie_on_each_other() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert all(0 <= place["x"] <= 24 - place["w"] for place in places)
