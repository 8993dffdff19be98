"""Metrics of what is so at this moment, worked out from the caches when somebody asks.

So they are right after a restart and after a failover, and nothing has to be kept up to date. Only
the operator that leads tells them: two would count everything twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from observatory.api.names import OBSERVATORIES, PODS
from observatory.api.status import Phase
from observatory.api.times import parse_time
from observatory.api.types import JsonObject
from observatory.core.model import Pod
from observatory.core.owners import parent_of
from observatory.core.schedule import is_scheduled
from observatory.runtime.cache import Cache
from observatory.telemetry.workflowmetrics import MOST_WORKFLOWS

_PREFIX = "observatory"
_PHASES = tuple(phase.value for phase in Phase)
_POD_STATES = ("gated", "waiting", "running", "ended")


@dataclass(frozen=True, slots=True)
class _Value:
    """A gauge of a workflow: its name, what it says, and how it is read from an Observatory."""

    name: str
    text: str
    read: Callable[[JsonObject], float | None]


def _time(*path: str) -> Callable[[JsonObject], float | None]:
    def read(observatory: JsonObject) -> float | None:
        text = _at(observatory, path)
        try:
            return parse_time(text).timestamp() if isinstance(text, str) else None
        except ValueError:
            return None

    return read


def _count(*path: str) -> Callable[[JsonObject], float | None]:
    def read(observatory: JsonObject) -> float | None:
        value = _at(observatory, path)
        if isinstance(value, list):
            return float(len(value))
        return float(value) if isinstance(value, int) else 0.0

    return read


def _seconds(field: str) -> Callable[[JsonObject], float | None]:
    def read(observatory: JsonObject) -> float | None:
        value = _at(observatory, ("spec", "alerts", field))
        return float(value) if isinstance(value, int) else None

    return read


def _at(observatory: JsonObject, path: tuple[str, ...]) -> object:
    value: object = observatory
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _next_run(observatory: JsonObject) -> float | None:
    times = _at(observatory, ("status", "nextRunTimes"))
    first = times[0] if isinstance(times, list) and times else None
    return _time("at")({"at": first})


def _failed(observatory: JsonObject) -> float | None:
    """1 while the latest run that has ended did not succeed; a run that is on changes nothing."""
    history = _at(observatory, ("status", "runHistory"))
    if isinstance(history, list) and history and isinstance(history[-1], dict):
        return float(history[-1].get("phase") == Phase.FAILED)
    return float(_at(observatory, ("status", "phase")) == Phase.FAILED)


def _running_since(observatory: JsonObject) -> float | None:
    active = _at(observatory, ("status", "activeRuns"))
    if isinstance(active, list):
        starts = [_time("startTime")(run) for run in active if isinstance(run, dict)]
        return min((start for start in starts if start is not None), default=None)
    if _at(observatory, ("status", "phase")) != Phase.RUNNING:
        return None
    return _time("status", "startTime")(observatory)


def _last_success(observatory: JsonObject) -> float | None:
    """When a run last succeeded, or where none ever did, when it was made."""
    last = _time("status", "lastSuccessTime")(observatory)
    if last is None and _at(observatory, ("status", "phase")) == Phase.SUCCEEDED:
        last = _time("status", "completionTime")(observatory)
    return last if last is not None else _time("metadata", "creationTimestamp")(observatory)


_OF_SCHEDULES = (
    _Value("schedule_next_run_timestamp_seconds", "When the next run begins", _next_run),
    _Value(
        "schedule_last_run_timestamp_seconds",
        "When the latest run began",
        _time("status", "lastRunTime"),
    ),
    _Value("schedule_active_runs", "Runs that are on", _count("status", "activeRuns")),
    _Value("schedule_queued_runs", "Runs that wait for another", _count("status", "queuedRuns")),
    _Value(
        "schedule_consecutive_failures",
        "How many runs have failed since one succeeded",
        _count("status", "consecutiveFailures"),
    ),
    _Value(
        "schedule_suspended",
        "1 while nobody wants it to begin runs",
        lambda each: float(_at(each, ("spec", "suspend")) is True),
    ),
)
_OF_WORKFLOWS = (
    _Value(
        "workflow_last_run_failed",
        "1 while the latest run that has ended did not succeed",
        _failed,
    ),
    _Value(
        "workflow_last_success_timestamp_seconds",
        "When a run last succeeded; where none ever did, when the workflow was created",
        _last_success,
    ),
    _Value(
        "workflow_running_since_timestamp_seconds",
        "When the oldest run began that is on; absent while none is",
        _running_since,
    ),
    _Value(
        "workflow_alert_not_succeeded_seconds",
        "spec.alerts.notSucceededForSeconds",
        _seconds("notSucceededForSeconds"),
    ),
    _Value(
        "workflow_alert_running_seconds",
        "spec.alerts.runningForSeconds",
        _seconds("runningForSeconds"),
    ),
)


class StateCollector:
    """A collector for a `CollectorRegistry`; `leads` says whether this operator is to tell."""

    def __init__(self, cache: Cache, leads: Callable[[], bool]) -> None:
        self._cache = cache
        self._leads = leads

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are those that `collect` gives."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The metrics now."""
        yield from self._informers()
        leads = self._leads()
        leading = GaugeMetricFamily(f"{_PREFIX}_operator_leading", "1 while this operator works")
        leading.add_metric([], float(leads))
        yield leading
        if not leads:
            return
        observatories = [
            each for scope in self._cache.scopes.values() for each in scope.observatories.values()
        ]
        yield _runs(observatories)
        yield self._pods()
        yield from _workflows(observatories)

    def _informers(self) -> Iterator[Metric]:
        synced = GaugeMetricFamily(
            f"{_PREFIX}_informer_synced", "1 once the cache holds its list", labels=["resource"]
        )
        objects = GaugeMetricFamily(
            f"{_PREFIX}_informer_objects", "Objects in the cache", labels=["resource"]
        )
        scopes = self._cache.scopes.values()
        for resource, stores in (
            (OBSERVATORIES, [scope.observatories for scope in scopes]),
            (PODS, [scope.pods for scope in scopes]),
        ):
            synced.add_metric([resource.plural], float(all(store.synced for store in stores)))
            objects.add_metric([resource.plural], float(sum(map(len, stores))))
        yield synced
        yield objects

    def _pods(self) -> Metric:
        family = GaugeMetricFamily(
            f"{_PREFIX}_pods", "Pods of attempts, by how far they are", labels=["state"]
        )
        counts = Counter(
            _state(pod) for scope in self._cache.scopes.values() for pod in scope.pods.values()
        )
        for state in _POD_STATES:
            family.add_metric([state], float(counts[state]))
        return family


def _state(pod: Pod) -> str:
    if pod.outcome:
        return "ended"
    if pod.gated:
        return "gated"
    return "waiting" if pod.wait else "running"


def _runs(observatories: Iterable[JsonObject]) -> Metric:
    """Observatories that run themselves, or are runs of one that has a schedule, by phase."""
    family = GaugeMetricFamily(
        f"{_PREFIX}_runs",
        "Runs by phase: of each Observatory without a schedule the latest one",
        labels=["namespace", "phase"],
    )
    counts: Counter[tuple[str, str]] = Counter()
    for each in observatories:
        if not _is_scheduled(each):
            phase = _at(each, ("status", "phase"))
            known = phase if phase in _PHASES else Phase.PENDING
            counts[each["metadata"]["namespace"], str(known)] += 1
    for namespace in sorted({namespace for namespace, _ in counts}):
        for phase in _PHASES:
            family.add_metric([namespace, phase], float(counts[namespace, phase]))
    return family


def _workflows(observatories: Iterable[JsonObject]) -> Iterator[Metric]:
    """What is told of each workflow: those with a schedule, and those that ask for alerts."""
    watched = sorted(
        (
            each
            for each in observatories
            if (_is_scheduled(each) or _at(each, ("spec", "alerts"))) and not parent_of(each)
        ),
        key=lambda each: (each["metadata"]["namespace"], each["metadata"]["name"]),
    )
    left_out = GaugeMetricFamily(
        f"{_PREFIX}_workflows_without_series",
        f"Workflows beyond the first {MOST_WORKFLOWS}, of which no metrics are told",
    )
    left_out.add_metric([], float(max(len(watched) - MOST_WORKFLOWS, 0)))
    yield left_out
    shown = watched[:MOST_WORKFLOWS]
    yield _severities(shown)
    scheduled = [each for each in shown if _is_scheduled(each)]
    for values, group in ((_OF_WORKFLOWS, shown), (_OF_SCHEDULES, scheduled)):
        for value in values:
            family = GaugeMetricFamily(
                f"{_PREFIX}_{value.name}", value.text, labels=["namespace", "workflow"]
            )
            for each in group:
                if (number := value.read(each)) is not None:
                    family.add_metric(_labels(each), number)
            yield family


def _severities(observatories: Iterable[JsonObject]) -> Metric:
    family = GaugeMetricFamily(
        f"{_PREFIX}_workflow_alert_info",
        "The severity of the alerts about a workflow; absent where it wants none",
        labels=["namespace", "workflow", "severity"],
    )
    for each in observatories:
        severity = str(_at(each, ("spec", "alerts", "severity")) or "Warning").lower()
        if severity != "none":
            family.add_metric([*_labels(each), severity], 1.0)
    return family


def _labels(observatory: JsonObject) -> list[str]:
    return [observatory["metadata"]["namespace"], observatory["metadata"]["name"]]


def _is_scheduled(observatory: JsonObject) -> bool:
    spec = observatory.get("spec")
    return isinstance(spec, dict) and is_scheduled(spec)
