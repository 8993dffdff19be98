"""The operator as a process: its start and stop, its servers, its lease, its credentials."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.integration.account import Account, make_account, remove_accounts
from tests.integration.workflows import Runs, task
from tests.kube.certificates import Authority
from tests.support.cluster import (
    LABELS,
    Cluster,
    JsonObject,
    Operator,
    eventually,
    hack_cluster,
    install,
    now,
)

pytestmark = pytest.mark.integration


def address(operator: Operator, what: str) -> str:
    """Where metrics or probes are served, as host and port."""
    host, port = operator.said(f"Started serving {what}")["address"]
    return f"{host}:{port}"


def fetched(url: str) -> tuple[int, str]:
    """The status and the text of a page."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 -- a constant scheme
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


SERVING = ("--metrics-bind-address=127.0.0.1:0", "--health-probe-bind-address=127.0.0.1:0")


def test_probes_and_metrics_are_served_under_known_names(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    flags = ("--namespace", namespace, *SERVING, "--leader-elect", "--lease-namespace", namespace)
    with cluster.operator(*flags, log=tmp_path / "log") as operator:
        probes = f"http://{address(operator, 'probes')}"
        page = f"http://{address(operator, 'metrics')}/metrics"
        eventually(lambda: fetched(f"{probes}/readyz"), lambda answer: answer == (200, "ok"))
        assert fetched(f"{probes}/healthz") == (200, "ok")
        assert "[+]caches ok" in fetched(f"{probes}/readyz?verbose")[1]
        assert fetched(f"{probes}/metrics")[0] == 404
        runs = Runs(cluster, namespace)
        runs.apply("measured", task("a"))
        runs.end("measured")
        _, text = fetched(page)
    for sample in (
        r'controller_runtime_reconcile_total\{controller="observatory",result="success"\} [1-9]',
        r'controller_runtime_max_concurrent_reconciles\{controller="observatory"\} 16\.0',
        r'controller_runtime_reconcile_errors_total\{controller="observatory"\} ',
        r'controller_runtime_reconcile_time_seconds_count\{controller="observatory"\} [1-9]',
        r'workqueue_adds_total\{controller="observatory",name="observatory"\} [1-9]',
        r'workqueue_depth\{controller="observatory",name="observatory",priority="0"\} ',
        r'rest_client_requests_total\{code="201",host="[^"]+",method="POST"\} [1-9]',
        r'leader_election_master_status\{name="observatory-operator"\} 1\.0',
        r"process_resident_memory_bytes ",
    ):
        assert re.search(f"^{sample}", text, re.MULTILINE), sample


@pytest.mark.parametrize(("flags", "protocol"), [((), None), (("--enable-http2",), "h2")])
def test_metrics_are_served_over_tls(
    cluster: Cluster, namespace: str, tmp_path: Path, flags: tuple[str, ...], protocol: str | None
) -> None:
    flags = ("--namespace", namespace, "--metrics-secure", *SERVING, *flags)
    with cluster.operator(*flags, log=tmp_path / "log") as operator:
        host, port = address(operator, "metrics").split(":")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is self-signed
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((host, int(port)), timeout=10) as plain,
            context.wrap_socket(plain) as secured,
        ):
            assert secured.selected_alpn_protocol() == protocol


def test_zero_turns_servers_off(operator: Operator) -> None:
    operator.said("Caches synced")
    assert not operator.lines("Started serving metrics")
    assert not operator.lines("Started serving probes")


@pytest.mark.parametrize(
    ("flags", "first"),
    [
        (("--log-format=json",), r'\{"ts": "[^"]+", "level": "info", "logger": "manager"'),
        (("--log-format=console",), r"(?!\{).*Started"),
        (("--log-level=error", "--log-format=json"), r"\Z"),
    ],
)
def test_logs_are_as_asked_for(
    cluster: Cluster, namespace: str, tmp_path: Path, flags: tuple[str, ...], first: str
) -> None:
    flags = ("--namespace", namespace, *flags)
    with cluster.operator(*flags, log=tmp_path / "log") as operator:
        runs = Runs(cluster, namespace)
        runs.apply("logged", task("a"))
        runs.end("logged")
    assert re.match(first, operator.log.read_text())


def test_namespaces_that_were_not_named_are_left_alone(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    with (
        cluster.namespace(f"{namespace}-b") as second,
        cluster.namespace(f"{namespace}-c") as third,
        cluster.namespace(f"{namespace}-d") as fourth,
    ):
        for each in (namespace, second, third, fourth):
            Runs(cluster, each).apply("everywhere", task("a"))
        flags = ("--namespace", f"{namespace},{second}", f"--namespace={third}")
        with cluster.operator(*flags, log=tmp_path / "log"):
            for each in (namespace, second, third):
                assert Runs(cluster, each).end("everywhere")["phase"] == "Succeeded"
        assert Runs(cluster, fourth).status("everywhere") == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_mid_run_ends_it_well_and_the_next_goes_on(
    runs: Runs, operator: Operator, number: signal.Signals
) -> None:
    runs.apply("interrupted", task("a", hold=True), task("b", "a"))
    runs.running("interrupted", "a")
    operator.process.send_signal(number)
    assert operator.process.wait(timeout=10) == 0
    assert operator.lines()[-1]["msg"] == "Stopped"
    runs.let_go("a")
    operator.restart()
    assert runs.end("interrupted")["phase"] == "Succeeded"


def test_a_rotated_token_is_picked_up(
    cluster: Cluster, namespace: str, account: Account, tmp_path: Path
) -> None:
    def bound_token(secret: str) -> str:
        cluster.kubectl("create", "secret", "generic", secret, "-n", namespace)
        bound = ("--bound-object-kind=Secret", f"--bound-object-name={secret}")
        return cluster.kubectl("create", "token", account.name, "-n", namespace, *bound).strip()

    def refused() -> str:
        return cluster.kubectl("auth", "whoami", f"--token={old}", check=False)

    old = bound_token("first")
    account.token.write_text(old)
    runs, log = Runs(cluster, namespace), tmp_path / "log"
    flags = ("--namespace", namespace)
    with cluster.operator(*flags, log=log, kubeconfig=str(account.kubeconfig)) as operator:
        runs.apply("before", task("a"))
        runs.end("before")
        account.token.write_text(bound_token("second") + "\n")
        cluster.kubectl("delete", "secret", "first", "-n", namespace)
        eventually(refused, lambda answer: "Unauthorized" in answer)
        runs.apply("after", task("a"), task("b", "a"))
        assert runs.end("after")["phase"] == "Succeeded"
    assert not operator.lines("Reconcile failed")


# --- the API server ---------------------------------------------------------------------------


def test_without_the_crd_it_waits_and_says_so_once(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    crd = f"observatories.{LABELS}"
    cluster.kubectl("delete", "crd", crd, "--timeout=120s")
    begun, log = now(), tmp_path / "log"
    account = make_account(cluster, namespace, tmp_path)
    flags = ("--namespace", namespace, "--health-probe-bind-address=127.0.0.1:0")
    try:
        with cluster.operator(*flags, log=log, kubeconfig=str(account.kubeconfig)) as operator:

            def asked() -> list[JsonObject]:
                requests = cluster.audited(account.user, begun)
                return [each for each in requests if "/observatories" in each["requestURI"]]

            eventually(asked, lambda requests: len(requests) > 3)
            [line] = operator.lines("Watch failed")
            assert crd in line["error"]
            assert line["error"].endswith("; install the CRD in manifests/crd")
            probes = f"http://{address(operator, 'probes')}"
            assert fetched(f"{probes}/healthz") == (200, "ok")
            status, text = fetched(f"{probes}/readyz")
            assert (status, "[-]caches failed: not synced yet" in text) == (500, True)

            install(cluster)
            runs = Runs(cluster, namespace)
            runs.apply("patient", task("a"))
            assert runs.end("patient")["phase"] == "Succeeded"
            assert fetched(f"{probes}/readyz") == (200, "ok")
    finally:
        install(cluster)
        remove_accounts(cluster, namespace)


def kill_apiserver(folder: Path) -> None:
    """SIGKILL to the API server of a cluster of hack/cluster."""
    recorded = json.loads((folder / "run" / "kube-apiserver.json").read_text())
    handle = os.pidfd_open(recorded["pid"])
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        eventually(partial(os.path.exists, f"/proc/{recorded['pid']}"), lambda there: not there)
    finally:
        os.close(handle)


def test_an_api_server_that_dies_and_comes_back_is_no_reason_to_end(
    cluster: Cluster, namespace: str, operator: Operator, tmp_path: Path
) -> None:
    if cluster.audit_log is None:
        pytest.skip("the API server of a foreign cluster is not to be killed")
    folder = Path(cluster.kubeconfig).parent
    runs = Runs(cluster, namespace)
    runs.apply("interrupted", task("a", hold=True), task("b", "a"), task("c", duration="1s"))
    runs.running("interrupted", "a")
    healed = ("up", "--name", folder.name, "--kwok", "--audit")
    with cluster.namespace(f"{namespace}-late") as late:
        kill_apiserver(folder)
        flags = ("--namespace", late)
        try:
            with cluster.operator(*flags, log=tmp_path / "late.log") as second:
                line = second.said("Watch failed")
                assert "cannot list or watch" in line["error"]
                operator.said("Watch failed")
                hack_cluster(*healed)
                runs.let_go("a")
                Runs(cluster, late).apply("late", task("a"))
                assert runs.end("interrupted", seconds=90)["phase"] == "Succeeded"
                assert Runs(cluster, late).end("late", seconds=90)["phase"] == "Succeeded"
            assert second.process.returncode == 0
        finally:
            hack_cluster(*healed)


def unreachable(config: JsonObject, _: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"


def wrong_authority(config: JsonObject, folder: Path) -> None:
    cluster = config["clusters"][0]["cluster"]
    cluster.pop("certificate-authority-data", None)
    cluster["certificate-authority"] = str(Authority(folder).ca)


def wrong_token(config: JsonObject, _: Path) -> None:
    config["users"][0]["user"] = {"token": "nobodys"}


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (unreachable, ": Connection refused"),
        (wrong_authority, "certificate verify failed"),
        (wrong_token, "renew the credentials"),
    ],
)
def test_why_the_api_server_cannot_be_read_is_told(
    cluster: Cluster, tmp_path: Path, spoil: Callable[[JsonObject, Path], None], text: str
) -> None:
    arguments = ("config", "view", "--minify", "--raw", "-o", "json")
    config = json.loads(cluster.kubectl(*arguments))
    spoil(config, tmp_path)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    flags = ("--health-probe-bind-address=127.0.0.1:0",)
    with cluster.operator(*flags, log=tmp_path / "log", kubeconfig=str(kubeconfig)) as operator:
        lines = eventually(lambda: operator.lines("Watch failed"), lambda seen: len(seen) > 1)
        assert all(text in line["error"] for line in lines)
        assert fetched(f"http://{address(operator, 'probes')}/readyz")[0] == 500
        assert operator.stop() == 0
    assert len(operator.lines("Watch failed")) == 2, "one for each of the two caches"
