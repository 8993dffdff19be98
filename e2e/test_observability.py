"""Seen from outside: one run is one trace, and who should be told of a failure is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from e2e.monitoring import Monitoring, free_port, monitoring
from e2e.workflows import workflow
from tests.support.cluster import LABELS, Cluster, JsonObject, Operator, eventually
from tests.support.collector import Collector, Received
from tests.telemetry.test_dashboard import STOCK

pytestmark = pytest.mark.e2e

OWN_SPAN = "0123456789abcdef"
# What a task does that has no SDK: a span by hand, below the one that it is told of.
_OWN = """
IFS=- read -r version trace parent flags <<EOF
$TRACEPARENT
EOF
now=$(date +%%s)000000000
cat > /tmp/span.json <<EOF
{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "$trace", "spanId": "%s",
  "parentSpanId": "$parent", "name": "own work", "kind": 1,
  "startTimeUnixNano": "$now", "endTimeUnixNano": "$now"}]}]}]}
EOF
wget -q -O - --header "Content-Type: application/json" --post-file /tmp/span.json %s/v1/traces
sleep 2
"""


def task(name: str, script: str, *dependencies: str, **fields: object) -> JsonObject:
    made: JsonObject = {"name": name, "image": "busybox:1.36", "command": ["sh", "-c"], **fields}
    made["args"] = [script]
    if dependencies:
        made["dependencies"] = list(dependencies)
    return made


@pytest.fixture
def collector(cluster: Cluster) -> Iterator[Collector]:
    """A collector that containers reach: on the address of their node, which is this machine's."""
    (node,) = cluster.get("nodes")["items"]
    addresses = {each["type"]: each["address"] for each in node["status"]["addresses"]}
    try:
        made = Collector(host=addresses["InternalIP"]).__enter__()
    except OSError:
        pytest.skip("the node's address is not this machine's: containers reach no collector here")
    try:
        yield made
    finally:
        made.__exit__()


def end_of(cluster: Cluster, namespace: str, name: str) -> JsonObject:
    """The status once the whole trace has been exported."""
    cluster.wait_complete(namespace, name)
    return eventually(
        partial(cluster.status, namespace, name), lambda status: status["trace"].get("exported")
    )


def assert_is_one_tree(trace: dict[str, Received]) -> Received:
    """The root; every other span has its parent there, and is within it as recorded."""
    (root,) = [span for span in trace.values() if span.parent_id not in trace]
    for span in trace.values():
        assert span.start <= span.end
        if span is root or span.span_id == OWN_SPAN:
            continue
        parent = trace[span.parent_id]
        assert parent.start <= span.start, (parent.name, span.name)
        assert span.end <= parent.end, (parent.name, span.name)
    return root


def test_a_run_through_two_kills_is_one_trace_with_the_tasks_own_span_in_it(
    cluster: Cluster, namespace: str, tmp_path: Path, collector: Collector
) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    tasks = (
        task("first", _OWN % (OWN_SPAN, collector.endpoint)),
        task("fails-once", "sleep 1; test $ATTEMPT = 2", "first", env=[_ATTEMPT], retry=_ONCE),
        task("beside", "sleep 4", "first"),
        task("last", "exit 0", "fails-once", "beside"),
    )
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    made = workflow(namespace, "traced", *tasks)
    made["metadata"]["annotations"] = {f"{LABELS}/traceparent": caller}
    with cluster.operator(
        "--namespace", namespace, log=tmp_path / "log", environment=environment
    ) as operator:
        cluster.apply(made)
        for begun in ("first", "beside"):
            eventually(partial(_running, cluster, namespace, begun), bool)
            operator.kill()
            operator.restart()
        status = end_of(cluster, namespace, "traced")
    assert status["phase"] == "Succeeded"

    assert {span.trace_id for span in collector.spans} == {caller[3:35]}
    trace = collector.trace(caller[3:35])  # the same span twice would have to be the same
    root = assert_is_one_tree(trace)
    assert (root.name, root.parent_id) == ("RUN traced", caller[36:52])
    assert root.attributes["cicd.pipeline.result"] == "success"
    names = {span.name for span in trace.values()}
    attempts = {"first #1", "fails-once #1", "fails-once #2", "beside #1", "last #1"}
    assert {"RUN traced", *(each["name"] for each in tasks), *attempts, "running"} <= names
    assert trace[trace[OWN_SPAN].parent_id].name == "first #1"
    (failed,) = [span for span in trace.values() if span.error]
    assert failed.name == "fails-once #1"
    (last,) = [span for span in trace.values() if span.name == "last"]
    assert {trace[span_id].name for span_id, _ in last.links} == {"fails-once", "beside"}


_ATTEMPT = {
    "name": "ATTEMPT",
    "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{LABELS}/attempt']"}},
}
_ONCE = {"limit": 1, "backoff": {"initialSeconds": 1}}


def _running(cluster: Cluster, namespace: str, name: str) -> bool:
    rows = cluster.status(namespace, "traced").get("tasks", ())
    return any((row["name"], row["phase"]) == (name, "Running") for row in rows)


def test_a_collector_that_is_down_is_in_nobodys_way(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    port = free_port()
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    flags = ("--namespace", namespace)
    with cluster.operator(*flags, log=tmp_path / "log", environment=environment) as operator:
        cluster.apply(workflow(namespace, "alone", task("a", "exit 0")))
        status = cluster.wait_complete(namespace, "alone")
        assert status["phase"] == "Succeeded"
        operator.said("Export of trace failed")
        assert not cluster.status(namespace, "alone")["trace"].get("exported")
        assert operator.stop() == 0
    # The next operator hands over what this one could not.
    with (
        Collector(port=port) as collector,
        cluster.operator(*flags, log=tmp_path / "log", environment=environment),
    ):
        status = end_of(cluster, namespace, "alone")
    assert_is_one_tree(collector.trace(status["trace"]["traceID"]))


@pytest.fixture
def watched(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Monitoring]:
    """An operator that a Prometheus watches."""
    port = free_port()
    flags = ("--namespace", namespace, "--metrics-bind-address", f"127.0.0.1:{port}")
    with (
        cluster.operator(*flags, log=tmp_path / "operator.log"),
        monitoring(tmp_path, port, {}) as found,
    ):
        yield found


def test_a_failing_scheduled_workflow_raises_its_alert_and_resolves_it(
    cluster: Cluster, namespace: str, watched: Monitoring
) -> None:
    made = workflow(namespace, "nightly", task("a", "exit 3"))
    made["spec"] |= {"schedule": "0 0 29 2 *", "alerts": {"severity": "Critical"}}
    cluster.apply(made)
    run_now(cluster, namespace, "n1")
    of = {"namespace": namespace, "workflow": "nightly", "severity": "critical"}
    told = partial(watched.statuses, "ObservatoryRunFailed", **of)
    eventually(told, lambda statuses: "firing" in statuses)
    assert "resolved" not in told()

    made["spec"]["tasks"] = [task("a", "exit 0")]
    cluster.apply(made)
    run_now(cluster, namespace, "n2")
    eventually(told, lambda statuses: statuses[-1:] == ["resolved"], seconds=120)
    assert not watched.statuses("ObservatoryOperatorDown")


def run_now(cluster: Cluster, namespace: str, nonce: str) -> None:
    annotation = f"{LABELS}/run-now={nonce}"
    cluster.kubectl("annotate", "obsy", "nightly", "-n", namespace, annotation, "--overwrite")
    eventually(
        partial(cluster.status, namespace, "nightly"),
        lambda status: (
            not status.get("activeRuns") and nonce in json.dumps(status.get("requests", ()))
        ),
    )


def test_kubebuilders_stock_dashboards_show_data(
    cluster: Cluster, namespace: str, watched: Monitoring
) -> None:
    cluster.apply(workflow(namespace, "some", task("a", "exit 0")))
    cluster.wait_complete(namespace, "some")
    missing = set(STOCK)

    def look() -> set[str]:
        missing.difference_update([name for name in missing if watched.query(name)])
        return missing

    eventually(look, lambda names: not names)
    # Counters grow from when they are scraped.
    cluster.apply(workflow(namespace, "more", task("a", "exit 0")))
    rate = 'sum(rate(controller_runtime_reconcile_total{job="observatory-operator"}[1m]))'
    eventually(partial(watched.query, rate), lambda result: result and result[0]["value"][1] != "0")


def test_levels_of_the_log_change_while_it_runs(operator: Operator) -> None:
    import signal  # noqa: PLC0415 -- for this test alone

    operator.said("Caches synced")
    operator.process.send_signal(signal.SIGUSR1)
    eventually(lambda: operator.lines("Changed log level"), bool)
    operator.process.send_signal(signal.SIGUSR2)
    levels = eventually(lambda: operator.lines("Changed log level"), lambda lines: len(lines) == 2)
    assert [line["level"] for line in levels] == ["warning", "warning"]
