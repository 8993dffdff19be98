from __future__ import annotations

import asyncio
import base64
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from observatory.api.names import PODS, Key
from observatory.api.types import JsonObject
from observatory.kube.client import Client
from observatory.kube.config import load
from observatory.kube.credentials import ClusterConfig, ConfigError
from observatory.kube.errors import TransportError
from tests.kube.certificates import Authority
from tests.kube.loopback import Exchange, serving


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(1_800_000_000 + self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    folder = tmp_path / "pki"
    folder.mkdir()
    return Authority(folder)


def kubeconfig(
    folder: Path, *, cluster: JsonObject | None = None, user: JsonObject | None = None
) -> Path:
    """A kubeconfig whose context `dev` has this cluster and user."""
    path = folder / "config"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "dev",
        "clusters": [{"name": "c", "cluster": cluster or {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [
            {"name": "dev", "context": {"cluster": "c", "user": "u", "namespace": "mine"}},
            {"name": "test", "context": {"cluster": "gone", "user": "u"}},
            {"name": "anybody", "context": {"cluster": "c", "user": "nobody"}},
        ],
    }
    path.write_bytes(orjson.dumps(document))  # JSON is YAML
    return path


def loaded(path: Path | None, context: str | None = None, **options: Any) -> ClusterConfig:  # noqa: ANN401
    options.setdefault("environ", {})
    return load(str(path) if path else None, context, options.pop("clock", Clock()), **options)


def refused(path: Path | None, context: str | None = None, **options: Any) -> str:  # noqa: ANN401
    with pytest.raises(ConfigError) as error:
        loaded(path, context, **options)
    text = str(error.value)
    assert "\n" not in text
    return text


def token_of(config: ClusterConfig) -> str | None:
    return config.credentials.load().authorization


def test_the_current_context_is_used_or_the_one_that_is_named(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, user={"token": " t0k \n"})
    config = loaded(path)
    assert (config.server, config.namespace) == ("https://127.0.0.1:1", "mine")
    assert token_of(config) == "Bearer t0k"
    assert config.host == "127.0.0.1:1"
    assert config.source == f'kubeconfig {path}, context "dev"'
    assert "t0k" not in repr(config)
    assert "t0k" not in repr(config.credentials.load())


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ("prod", 'context "prod" not found (have: anybody, dev, test)'),
        ("test", 'cluster "gone" (of context "test") not found (have: c)'),
        ("anybody", 'user "nobody" (of context "anybody") not found (have: u)'),
    ],
)
def test_what_is_not_in_the_file_is_named(tmp_path: Path, context: str, message: str) -> None:
    path = kubeconfig(tmp_path)
    assert refused(path, context) == f"kubeconfig {path}: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfe\x00", "not a text file"),
        (b"a: [1", "not YAML"),
        (b"- a\n", "not a kubeconfig (it has to be of kind Config)"),
        (b"kind: Pod\n", "not a kubeconfig (it has to be of kind Config)"),
        (b"clusters: 3\n", "clusters has to be a list"),
        (b"users: [{name: x}]\n", "users[0] has to have a name and a user"),
        (b"kind: Config\n", "current-context is not set; name one of none with --context"),
        (b"[" * 3000, "not YAML"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\nkind: Config\n", "current-context"),
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config"
    path.write_bytes(content)
    assert refused(path).startswith(f"kubeconfig {path}: {message}")


def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert refused(missing) == f"kubeconfig {missing}: no such file"
    assert refused(tmp_path) == f"kubeconfig {tmp_path}: is a directory, not a file"


def test_no_configuration_at_all_says_what_to_do(tmp_path: Path) -> None:
    text = refused(None, environ={"KUBECONFIG": str(tmp_path / "none")})
    assert text == (
        f"no cluster is configured: {tmp_path}/none does not exist and this is no Pod; "
        "give one with --kubeconfig"
    )


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"insecure-skip-tls-verify": True}, {}, "insecure-skip-tls-verify is refused"),
        ({"server": "http://10.0.0.1"}, {"token": "t"}, "http://10.0.0.1 is not encrypted"),
        ({"server": "unix:///x"}, {}, 'server "unix:///x" is not an http(s) URL'),
        ({"server": ""}, {}, 'server "" is not an http(s) URL'),
        ({"proxy-url": "socks5://x:1"}, {}, 'proxy-url "socks5://x:1" is not an http(s) URL'),
        ({"certificate-authority": "none.crt"}, {}, "none.crt: no such file"),
        ({"certificate-authority-data": "%"}, {}, "certificate-authority-data is not base64"),
        (
            {"certificate-authority-data": base64.b64encode(b"hello").decode()},
            {},
            "not a PEM CA certificate",
        ),
        ({}, {"client-certificate-data": "aGVsbG8="}, "have to come together"),
        (
            {},
            {"client-certificate-data": "aGVsbG8=", "client-key-data": "aGVsbG8="},
            "not a PEM client certificate",
        ),
        ({}, {"tokenFile": "none"}, "No such file"),
        ({}, {"token": "a\nb"}, "characters that no token has"),
    ],
)
def test_what_would_not_work_or_not_be_safe_is_refused(
    tmp_path: Path, cluster: JsonObject, user: JsonObject, message: str
) -> None:
    path = kubeconfig(tmp_path, cluster={"server": "https://127.0.0.1:1", **cluster}, user=user)
    text = refused(path)
    assert message in text
    assert str(path) in text or "CERT" in text or "PEM" in text


def test_the_first_of_several_files_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder, token in ((first, "one"), (second, "two")):
        folder.mkdir()
        (folder / "token").write_text(token)
        kubeconfig(folder, user={"tokenFile": "token"})
    config = loaded(None, environ={"KUBECONFIG": f"{first}/config{os.pathsep}{second}/config"})
    assert token_of(config) == "Bearer one"  # and its path is relative to its own file


def test_a_token_file_is_read_again_after_a_minute_and_kept_when_it_is_gone(
    tmp_path: Path,
) -> None:
    file, clock = tmp_path / "token", Clock()
    file.write_text("one\n")
    config = loaded(kubeconfig(tmp_path, user={"tokenFile": "token"}), clock=clock)
    file.write_text("two\n")
    assert token_of(config) == "Bearer one"
    clock.seconds = 60
    assert config.credentials.current() is None
    assert token_of(config) == "Bearer two"
    file.unlink()
    clock.seconds = 120
    assert token_of(config) == "Bearer two"
    config.credentials.reject(config.credentials.load())
    with pytest.raises(ConfigError, match="No such file"):
        config.credentials.load()


def test_the_service_account_of_a_pod_is_used(tmp_path: Path, authority: Authority) -> None:
    account, clock = tmp_path / "account", Clock()
    account.mkdir()
    (account / "token").write_text("one\n")
    (account / "namespace").write_text("operators\n")
    (account / "ca.crt").write_bytes(authority.ca.read_bytes())
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    config = loaded(None, environ=environ, service_account=account, clock=clock)
    assert (config.server, config.namespace) == ("https://[fd00::1]:443", "operators")
    assert token_of(config) == "Bearer one"
    (account / "token").write_text("two\n")
    clock.seconds = 60
    assert token_of(config) == "Bearer two"
    (account / "token").write_text("\n")
    assert "token is empty" in refused(None, environ=environ, service_account=account)


def plugin(folder: Path, script: str, **more: Any) -> JsonObject:  # noqa: ANN401
    """A user whose plugin is this Python script; it may use `answer(**status)`."""
    path = folder / "plugin.py"
    path.write_text(
        "import json, os, sys\n"
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "def answer(**status):\n"
        "    print(json.dumps({'apiVersion': info['apiVersion'], 'kind': 'ExecCredential',"
        " 'status': status}))\n" + script
    )
    version = "client.authentication.k8s.io/v1"
    run = {"apiVersion": version, "command": sys.executable, "args": [str(path)], **more}
    return {"exec": run}


COUNTING = """
with open(sys.argv[0] + '.log', 'a+') as log:
    log.write('x')
    count = log.tell()
answer(token=f'{os.environ.get("PREFIX", "t")}{count}'%s)
"""


def test_a_plugin_is_run_once_and_again_when_its_answer_expires_or_is_refused(
    tmp_path: Path,
) -> None:
    clock = Clock()
    expires = datetime.fromtimestamp(1_800_000_100, UTC).isoformat().replace("+00:00", "Z")
    user = plugin(
        tmp_path,
        COUNTING % f", expirationTimestamp='{expires}'",
        env=[{"name": "PREFIX", "value": "p"}],
    )
    config = loaded(kubeconfig(tmp_path, user=user), clock=clock)
    clock.seconds = 90
    assert token_of(config) == "Bearer p1"
    clock.seconds = 101
    assert token_of(config) == "Bearer p2"
    config.credentials.reject(config.credentials.load())
    assert token_of(config) == "Bearer p3"


def test_a_refusal_of_an_older_token_does_not_run_the_plugin_again(tmp_path: Path) -> None:
    config = loaded(kubeconfig(tmp_path, user=plugin(tmp_path, COUNTING % "")))
    first = config.credentials.load()
    config.credentials.reject(first)
    assert token_of(config) == "Bearer t2"
    config.credentials.reject(first)
    assert token_of(config) == "Bearer t2"


@pytest.mark.parametrize(
    ("script", "more", "message"),
    [
        ("sys.exit('no\\nlogin')", {}, "exit code 1: no login"),
        ("print('{}')", {}, "its output is not an ExecCredential with a status"),
        ("answer()", {}, "neither token nor clientCertificateData"),
        ("answer(clientCertificateData='x')", {}, "have to come together"),
        ("answer(token='t')", {"apiVersion": "v9"}, 'apiVersion "v9" is not supported'),
        ("", {"command": "no-such-plugin", "installHint": "get it"}, "not found. get it"),
        ("", {"command": ""}, "command is missing"),
    ],
)
def test_a_plugin_that_fails_is_one_clear_line(
    tmp_path: Path, script: str, more: Mapping[str, Any], message: str
) -> None:
    path = kubeconfig(tmp_path, user=plugin(tmp_path, script, **more))
    text = refused(path)
    assert text.startswith(f"kubeconfig {path}: exec plugin")
    assert message in text


def test_a_plugin_is_told_of_the_cluster_only_if_it_wants(tmp_path: Path) -> None:
    script = "answer(token=info['spec'].get('cluster', {}).get('server', 'none'))"
    told = kubeconfig(tmp_path, user=plugin(tmp_path, script, provideClusterInfo=True))
    assert token_of(loaded(told)) == "Bearer https://127.0.0.1:1"
    untold = kubeconfig(tmp_path, user=plugin(tmp_path, script))
    assert token_of(loaded(untold)) == "Bearer none"


async def say_ok(exchange: Exchange) -> None:
    await exchange.answer(200, {"kind": "Pod"})


def reached(
    tmp_path: Path,
    authority: Authority,
    user: JsonObject,
    cluster: JsonObject | None = None,
    *,
    client_certificates: bool = False,
) -> Exchange:
    """The request as it came to a TLS server."""

    async def main() -> Exchange:
        context = authority.server_context(
            authority.issue("localhost"), client_certificates=client_certificates
        )
        async with serving(say_ok, context) as server:
            found = {"server": server.url, "certificate-authority": str(authority.ca)}
            path = kubeconfig(tmp_path, cluster=found | (cluster or {}), user=user)
            async with Client(loaded(path)) as client:
                await client.get(PODS, Key("a", "b"))
        return server.exchanges[0]

    return asyncio.run(main())


def test_the_server_is_checked_against_the_ca(tmp_path: Path, authority: Authority) -> None:
    exchange = reached(tmp_path, authority, {"token": "t"})
    assert exchange.headers["authorization"] == "Bearer t"


def test_a_server_of_another_ca_gets_no_token(tmp_path: Path, authority: Authority) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    other = {"certificate-authority": str(Authority(folder).ca)}
    with pytest.raises(TransportError, match="certificate verify failed"):
        reached(tmp_path, authority, {"token": "t"}, other)


def test_the_name_in_the_certificate_can_be_given(tmp_path: Path, authority: Authority) -> None:
    exchange = reached(tmp_path, authority, {}, {"tls-server-name": "localhost"})
    assert exchange.method == "GET"
    with pytest.raises(TransportError, match="elsewhere"):
        reached(tmp_path, authority, {}, {"tls-server-name": "elsewhere"})


def test_a_client_certificate_is_shown(tmp_path: Path, authority: Authority) -> None:
    pair = authority.issue("me")
    data = {
        "client-certificate-data": base64.b64encode(pair.certificate.read_bytes()).decode(),
        "client-key-data": base64.b64encode(pair.key.read_bytes()).decode(),
    }
    files = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
    of_plugin = plugin(
        tmp_path,
        f"answer(clientCertificateData=open({str(pair.certificate)!r}).read(),"
        f" clientKeyData=open({str(pair.key)!r}).read())",
    )
    for user in (data, files, of_plugin):
        exchange = reached(tmp_path, authority, user, client_certificates=True)
        assert "authorization" not in exchange.headers
    with pytest.raises(TransportError):
        reached(tmp_path, authority, {}, client_certificates=True)


def test_a_rotated_ca_is_read_and_an_unchanged_one_keeps_its_connections(
    tmp_path: Path, authority: Authority
) -> None:
    clock = Clock()
    cluster = {"server": "https://127.0.0.1:1", "certificate-authority": str(authority.ca)}
    config = loaded(kubeconfig(tmp_path, cluster=cluster), clock=clock)
    first = config.credentials.load().tls
    clock.seconds = 60
    assert config.credentials.load().tls is first
    Authority(authority.folder)  # writes another ca.crt
    clock.seconds = 120
    assert config.credentials.load().tls is not first


def test_a_password_is_sent_as_basic_authentication(tmp_path: Path, authority: Authority) -> None:
    exchange = reached(tmp_path, authority, {"username": "me", "password": "x"})
    assert exchange.headers["authorization"] == "Basic bWU6eA=="
