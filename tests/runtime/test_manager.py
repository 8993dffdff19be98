"""The process around the operator."""

from __future__ import annotations

from observatory.kube.credentials import ClusterConfig, Credentials, Material
from observatory.machinery.lease import Durations
from observatory.runtime.clock import SystemClock
from observatory.runtime.health import Endpoints
from observatory.runtime.manager import Manager
from observatory.runtime.options import Options
from observatory.runtime.telemetry import Telemetry
from observatory.telemetry.log import Format, Level
from observatory.telemetry.metrics import Metrics


class NoCredentials:
    def read(self, *, renew: bool) -> Material:
        raise AssertionError("nothing here talks to a server")


def manager(*namespaces: str) -> Manager:
    options = Options(
        kubeconfig=None,
        context=None,
        namespaces=namespaces,
        endpoints=Endpoints("0", "0"),
        leader_elect=False,
        lease_name="test",
        lease_namespace=None,
        durations=Durations(),
        workers=2,
        log_level=Level.ERROR,
        log_format=Format.JSON,
    )
    clock = SystemClock()
    credentials = Credentials(NoCredentials(), clock.monotonic, tls=False)
    cluster, metrics = ClusterConfig("http://unused", credentials, "default"), Metrics()
    return Manager(options, cluster, clock, metrics, Telemetry({}, metrics, clock))


def test_two_processes_never_stand_for_election_under_one_name() -> None:
    assert manager().identity != manager().identity
