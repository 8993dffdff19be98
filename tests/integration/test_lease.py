"""Leader election between two operators, each with an account of its own.

So the audit log tells which of them wrote what, and when.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.account import WRITES, make_account, remove_accounts
from tests.integration.workflows import Runs, task
from tests.support.cluster import Cluster, JsonObject, Operator, eventually, now

pytestmark = pytest.mark.integration

LEASE_SECONDS = 4
QUICK_LEASE = (
    "--leader-elect",
    f"--lease-duration={LEASE_SECONDS}",
    "--lease-renew-deadline=3",
    "--lease-retry-period=1",
)


class Replicas:
    """Two operators that stand for election, each under a name of its own."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self.runs = Runs(cluster, namespace)
        self.cluster = cluster
        self.accounts = {
            name: make_account(cluster, namespace, folder, name=name)
            for name in ("first", "second")
        }
        self._folder = folder

    @contextmanager
    def started(self, name: str) -> Iterator[Operator]:
        namespace = self.runs.namespace
        flags = ("--namespace", namespace, *QUICK_LEASE)  # the lease's is that of the context
        kubeconfig = str(self.accounts[name].kubeconfig)
        log = self._folder / f"{name}.log"
        with self.cluster.operator(*flags, log=log, kubeconfig=kubeconfig) as operator:
            operator.said("Caches synced")
            yield operator

    def leads(self, operator: Operator, seconds: float) -> None:
        """Return once this operator leads."""
        line = operator.said("Acquired Lease", seconds=seconds)
        assert self.lease()["holderIdentity"] == line["identity"]

    def lease(self) -> JsonObject:
        spec: JsonObject = self.runs.cluster.get(
            "lease", "observatory-operator", "-n", self.runs.namespace
        )["spec"]
        return spec

    def writes(self, name: str, since: datetime) -> list[tuple[str, str]]:
        """What an operator has written since then."""
        requests = self.cluster.audited(self.accounts[name].user, since)
        return [(each["verb"], each["requestURI"]) for each in requests if each["verb"] in WRITES]


@pytest.fixture
def replicas(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Replicas]:
    yield Replicas(cluster, namespace, tmp_path)
    remove_accounts(cluster, namespace)


def test_a_leader_that_is_told_to_end_hands_over_at_once(replicas: Replicas) -> None:
    begun, runs = now(), replicas.runs
    with replicas.started("first") as first:
        replicas.leads(first, seconds=10)
        with replicas.started("second") as second:
            runs.apply("handed-over", task("a", hold=True), task("b", "a"))
            runs.running("handed-over", "a")
            second.said("Saw new leader")
            assert replicas.writes("second", begun) == []

            told = now()
            assert first.stop() == 0
            ended = now()
            first.said("Released Lease")
            replicas.leads(second, seconds=LEASE_SECONDS)
            assert now() - told < timedelta(seconds=LEASE_SECONDS)

            runs.let_go("a")
            assert runs.end("handed-over")["phase"] == "Succeeded"
            assert replicas.writes("first", ended) == []
        assert second.process.returncode == 0
    assert replicas.lease()["holderIdentity"] == ""


def test_a_leader_that_is_killed_is_followed_once_its_lease_has_run_out(
    replicas: Replicas,
) -> None:
    runs = replicas.runs
    with replicas.started("first") as first:
        replicas.leads(first, seconds=10)
        with replicas.started("second") as second:
            runs.apply("inherited", task("a", hold=True), task("b", "a"))
            runs.running("inherited", "a")
            second.said("Saw new leader")
            first.kill()
            killed = now()
            # It may have renewed just then; a candidate looks every 1 to 2.2 retry periods.
            replicas.leads(second, seconds=LEASE_SECONDS + 2.2 + 1)
            writes = replicas.writes("second", killed)
            assert writes[0][1].partition("?")[0].endswith("/leases/observatory-operator")
            runs.let_go("a")
            assert runs.end("inherited")["phase"] == "Succeeded"
            assert replicas.lease()["leaseTransitions"] == 1


def test_a_leader_that_wakes_up_after_its_lease_ends_without_a_write(replicas: Replicas) -> None:
    runs = replicas.runs
    with replicas.started("first") as first:
        replicas.leads(first, seconds=10)
        with replicas.started("second") as second:
            runs.apply("old", task("a", hold=True), task("b", "a"))
            runs.running("old", "a")
            first.pause()
            paused = now()
            replicas.leads(second, seconds=LEASE_SECONDS + 3.2)
            # Work that the sleeper finds when it wakes.
            runs.apply("new", task("a", hold=True), task("b", gate=True))
            runs.running("new", "a")
            over = paused + timedelta(seconds=2 * LEASE_SECONDS)
            eventually(now, lambda moment: moment > over)
            runs.let_go("a")
            first.go_on()

            assert first.process.wait(timeout=10) == 1
            assert replicas.writes("first", paused) == []
            assert runs.end("old")["phase"] == "Succeeded"
            runs.ungate(runs.pod("new", "b")["metadata"]["name"])
            assert runs.end("new")["phase"] == "Succeeded"
