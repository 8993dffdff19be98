from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from observatory.api.names import PODS, Key
from observatory.api.types import JsonObject
from observatory.kube.client import Client
from observatory.kube.credentials import ConfigError, Credentials, Material
from observatory.kube.errors import TransportError
from tests.kube.certificates import Authority
from tests.kube.kubeconfigs import Clock, kubeconfig, loaded, plugin
from tests.kube.loopback import Exchange, serving


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    folder = tmp_path / "pki"
    folder.mkdir()
    return Authority(folder)


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
    with pytest.raises(TransportError, match=r":\d+: certificate verify failed: [a-z -]+$"):
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


class Source:
    """Answers once, and fails in a way that nobody has thought of."""

    def __init__(self, answers: int) -> None:
        self.answers = answers

    def read(self, *, renew: bool) -> Material:
        self.answers -= 1
        if self.answers < 0:
            raise AttributeError(f"no {renew}\nattribute")
        return Material(authorization="Bearer t")


def test_an_unexpected_error_is_one_line() -> None:
    with pytest.raises(ConfigError) as failure:
        Credentials(Source(0), Clock().monotonic, tls=False).load()
    assert str(failure.value) == (
        "the credentials cannot be read: AttributeError: no False attribute"
    )


def test_an_unexpected_error_keeps_what_worked_before() -> None:
    clock = Clock()
    credentials = Credentials(Source(1), clock.monotonic, tls=False)
    first = credentials.load()
    clock.seconds += 1000
    assert credentials.load() is first
