"""A schedule of each minute with real containers, while the operator is killed twice.

It takes four minutes; `OBSERVATORY_TEST_MINUTES=10` makes it ten.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from operator import lt
from pathlib import Path

import pytest

from e2e import ledger
from e2e.workflows import workflow
from tests.support.cluster import LABELS, Cluster, JsonObject, Operator, eventually, now

pytestmark = pytest.mark.e2e

MINUTES = int(os.environ.get("OBSERVATORY_TEST_MINUTES", "4"))
MINUTE = timedelta(minutes=1)
LONG = 75
"""Seconds: longer than the interval."""
ENOUGH = {"successfulRunsHistoryLimit": 100, "failedRunsHistoryLimit": 100}


# Also what is ended by SIGTERM writes when it ends: then nothing of it runs any more.
_SCRIPT = """
say() {{ read up _ < /proc/uptime; echo "{name} $POD $1 $up" >> {mount}/ledger; }}
echo $OBSERVATORY_SCHEDULED_TIME
say start
trap 'say end; exit 143' TERM
sleep {seconds} & wait $!
say end
"""


def schedule(namespace: str, name: str, seconds: int, **spec: object) -> JsonObject:
    task = ledger.task(name)
    task["args"] = [_SCRIPT.format(name=name, seconds=seconds, mount=ledger.MOUNT)]
    made = workflow(namespace, name, task)
    made["spec"] |= {"schedule": "* * * * *", **ENOUGH, **spec}
    return made


def runs_of(cluster: Cluster, namespace: str, name: str) -> dict[datetime, JsonObject]:
    """The runs of a schedule by their fire times."""
    selector = f"{LABELS}/parent={name}"
    found = cluster.get("observatories", "-n", namespace, "-l", selector)["items"]
    times = [each["metadata"]["annotations"][f"{LABELS}/scheduled-time"] for each in found]
    assert len(set(times)) == len(times), "two runs for one fire time"
    return {datetime.fromisoformat(time): each for time, each in zip(times, found, strict=True)}


def skipped(status: JsonObject) -> dict[datetime, str]:
    """Each fire time that was skipped, with the reason."""
    found = {}
    for skip in status.get("skippedRuns", ()):
        time = datetime.fromisoformat(skip["time"])
        while time <= datetime.fromisoformat(skip.get("until", skip["time"])):
            found[time] = skip["reason"]
            time += MINUTE
    return found


def ran(folder: Path, name: str) -> list[tuple[float, float]]:
    """When the containers of a schedule ran, in seconds since the boot, as they wrote it."""
    spans: dict[str, dict[str, float]] = {}
    for line in ledger.lines(folder):
        if line.task == name:
            assert line.what not in spans.setdefault(line.pod_uid, {}), "a container ran twice"
            spans[line.pod_uid][line.what] = line.at
    return sorted((span["start"], span["end"]) for span in spans.values())


def at_rest(cluster: Cluster, namespace: str, name: str) -> JsonObject:
    """The status of a suspended schedule, once its runs have ended."""
    return eventually(
        lambda: cluster.status(namespace, name),
        lambda status: not status.get("activeRuns") and "Suspended" in str(status["message"]),
        seconds=4 * LONG,
    )


def test_each_minute_has_its_run_or_a_reason_though_the_operator_is_killed_twice(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path
) -> None:
    policies = ("Forbid", "Replace", "Queue")
    cluster.apply(schedule(namespace, "quick", 3))
    for policy in policies:
        cluster.apply(schedule(namespace, policy.lower(), LONG, concurrencyPolicy=policy))
    begun = now()
    first = begun.replace(second=0, microsecond=0) + MINUTE
    for part in (1, 2):
        moment = first + MINUTE * (MINUTES * part // 3)
        eventually(now, partial(lt, moment), seconds=60 * MINUTES)
        operator.kill()
        operator.restart()
    last = first + MINUTE * (MINUTES - 1)
    eventually(now, partial(lt, last + MINUTE / 2), seconds=60 * MINUTES)
    names = ["quick", *map(str.lower, policies)]
    for name in names:
        cluster.kubectl(
            "patch", "observatory", name, "-n", namespace, "--type=merge",
            '--patch={"spec": {"suspend": true}}',
        )  # fmt: skip
    statuses = {name: at_rest(cluster, namespace, name) for name in names}

    wanted = {first + MINUTE * number for number in range(MINUTES)}
    for name in names:
        times = runs_of(cluster, namespace, name)
        reasons = skipped(statuses[name])
        queued = {
            datetime.fromisoformat(each["time"]) for each in statuses[name].get("queuedRuns", ())
        }
        assert times.keys() | reasons.keys() | queued >= wanted, name
        assert not times.keys() & reasons.keys(), name
        spans = ran(folder, name)
        assert len(spans) == len(times), "each run has had one container"
        if name != "quick":
            assert all(end <= begin for (_, end), (begin, _) in pairwise(spans)), spans
    assert runs_of(cluster, namespace, "quick").keys() >= wanted
    assert set(skipped(statuses["forbid"]).values()) == {"RunInProgress"}
    ended = Counter(
        each.get("reason") for each in statuses["replace"]["runHistory"] if "reason" in each
    )
    assert ended.keys() == {"Replaced"}
    assert not skipped(statuses["queue"])
    assert {each["phase"] for each in statuses["queue"]["runHistory"]} == {"Succeeded"}


def test_a_run_now_knows_its_time_and_its_parent_shows_how_it_went(
    cluster: Cluster, namespace: str, operator: Operator, folder: Path
) -> None:
    made = schedule(namespace, "yearly", 0)
    made["spec"]["schedule"] = "0 0 1 1 *"
    cluster.apply(made)
    cluster.kubectl("annotate", "observatory", "yearly", "-n", namespace, f"{LABELS}/run-now=now-1")
    status = eventually(
        lambda: cluster.status(namespace, "yearly"), lambda seen: seen.get("lastSuccessTime")
    )
    (time,) = runs_of(cluster, namespace, "yearly")
    assert len(ran(folder, "yearly")) == 1
    logs = cluster.kubectl("logs", "-n", namespace, "-l", f"{LABELS}/task=yearly")
    assert datetime.fromisoformat(logs.strip()) == time
    assert status["phase"] == "Succeeded"
    header, *lines = cluster.kubectl("get", "observatory", "-n", namespace).splitlines()
    assert "NEXT RUN" in header
    (line,) = (line for line in lines if line.startswith("yearly "))
    assert status["nextRunTimes"][0] in line
    assert "succeeded" in line
