"""Wrong flags and kubeconfigs: one clear line each, and exit 2, before anything is done."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, JsonObject

pytestmark = pytest.mark.integration


def refused(*arguments: str) -> str:
    """The line with which `observatory run` refuses to start."""
    done = subprocess.run(
        [sys.executable, "-m", "observatory", "run", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "KUBECONFIG"},
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--frobnicate", "unrecognized arguments: --frobnicate (see observatory run --help)"),
        ("--work=3", "error: unrecognized arguments: --work=3"),
        ("--workers", "error: argument --workers: expected one argument"),
        ("--workers=0", 'error: argument --workers: invalid value "0": must be an integer 1..256'),
        ("--workers=257", 'invalid value "257": must be an integer 1..256'),
        ("--workers=abc", 'invalid value "abc": must be an integer 1..256'),
        ("--log-level=loud", "argument --log-level: invalid choice: 'loud'"),
        ("--log-format=xml", "argument --log-format: invalid choice: 'xml'"),
        ("--namespace=", 'argument --namespace: invalid value "": a namespace is empty'),
        ("--namespace=a,,b", "a namespace is empty"),
        ("--namespace=A_B", 'argument --namespace: invalid value "A_B": must be a name'),
        ("--lease-duration=soon", 'invalid value "soon": must be seconds, such as 15 or 15s'),
        ("--lease-duration=nan", "--lease-duration"),
        ("--lease-duration=0", "--lease-duration (0s) must be at least 1s"),
        (
            "--lease-renew-deadline=15",
            "error: --lease-renew-deadline (15s) must be less than --lease-duration (15s)",
        ),
        (
            "--lease-retry-period=9",
            "--lease-retry-period (9s) times 1.2 must be less than --lease-renew-deadline (10s)",
        ),
        ("--enable-http2", "error: --enable-http2 needs --metrics-secure"),
        ("--metrics-cert-path=/tmp", "error: --metrics-cert-path needs --metrics-secure"),
        (
            "--metrics-secure --metrics-cert-path=/nowhere --metrics-bind-address=127.0.0.1:0",
            "/nowhere",
        ),
        ("--metrics-secure --metrics-bind-address=0", "--metrics-secure has nothing to secure"),
        ("--metrics-bind-address=:99999", "99999"),
        ("--metrics-bind-address=nonsense", "nonsense"),
        ("--health-probe-bind-address=203.0.113.1:80", "203.0.113.1:80"),
        ("--lease-name=A_B", 'argument --lease-name: invalid value "A_B": must be a name'),
        ("--lease-namespace=a/b", 'argument --lease-namespace: invalid value "a/b"'),
        ("extra", "error: unrecognized arguments: extra"),
    ],
)
def test_a_wrong_flag_is_refused(cluster: Cluster, flags: str, said: str) -> None:
    off = ("--metrics-bind-address=0", "--health-probe-bind-address=0")
    line = refused("--kubeconfig", cluster.kubeconfig, *off, *flags.split())
    assert line.startswith("error: ")
    assert said in line


def test_ports_in_use_are_refused(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for flag, other in (
            ("--metrics-bind-address", "--health-probe-bind-address"),
            ("--health-probe-bind-address", "--metrics-bind-address"),
        ):
            line = refused("--kubeconfig", cluster.kubeconfig, f"{other}=0", f"{flag}={address}")
            assert line.startswith(f"error: {flag}: cannot listen on {address}: ")


def write(text: str | bytes) -> Callable[[Path], None]:
    data = text.encode() if isinstance(text, str) else text

    def make(path: Path) -> None:
        path.write_bytes(data)

    return make


def without(section: str, item: str) -> Callable[[Path], None]:
    """A kubeconfig whose context names what is not there."""
    document: JsonObject = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "dev",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "dev", "context": {"cluster": "c", "user": "u"}}],
    }
    document[section] = [{"name": "other", item: document[section][0][item]}]
    return write(json.dumps(document))


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda _: None, "no such file", id="missing"),
        pytest.param(write(""), "the file is empty", id="empty"),
        pytest.param(Path.mkdir, "is a directory, not a file", id="directory"),
        pytest.param(write(bytes(range(128, 256))), "not a text file", id="binary"),
        pytest.param(write("a: [b"), "not YAML", id="no YAML"),
        pytest.param(write("- a\n- b\n"), "not a kubeconfig", id="a list"),
        pytest.param(write("kind: Pod\n"), "not a kubeconfig", id="a Pod"),
        pytest.param(write(BOMB), "more than 100000 values, aliases expanded", id="bomb"),
        pytest.param(without("clusters", "cluster"), 'cluster "c"', id="no cluster"),
        pytest.param(without("users", "user"), 'user "u"', id="no user"),
        pytest.param(without("contexts", "context"), 'context "dev" not found', id="no context"),
    ],
)
def test_a_wrong_kubeconfig_is_refused(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "kubeconfig"
    make(path)
    line = refused("--kubeconfig", str(path))
    assert line.startswith(f"error: kubeconfig {path}: ")
    assert said in line


def test_an_unknown_context_is_refused(cluster: Cluster) -> None:
    line = refused("--kubeconfig", cluster.kubeconfig, "--context=production")
    assert line.startswith(f"error: kubeconfig {cluster.kubeconfig}: ")
    assert 'context "production" not found (have: ' in line
