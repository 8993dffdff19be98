from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from observatory.api.types import JsonObject
from observatory.kube.credentials import ClusterConfig, ConfigError, Credentials, Material
from tests.kube.certificates import Authority
from tests.kube.kubeconfigs import Clock, kubeconfig, loaded, refused, token_of

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    folder = tmp_path / "pki"
    folder.mkdir()
    return Authority(folder)


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
        (b"[" * 1200, "not YAML"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\nkind: Config\n", "current-context"),
        (b"a: !!bool x\n", "not YAML: KeyError"),
        (b"a: !!timestamp x\n", "not YAML: AttributeError"),
        (b"a: !!int ''\n", "not YAML: IndexError"),
        (b"a: &a [*a]\n", "more than 100000 values, aliases expanded"),
        (BOMB.encode(), "more than 100000 values, aliases expanded"),
        (b"kind: Config\ncurrent-context: [x]\n", "context an array of 1 item not found (have: "),
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


def test_a_home_folder_of_nobody_is_one_clear_line() -> None:
    line = "kubeconfig ~nobody-has-this-name/x: whose home folder that is, is not known"
    assert refused(Path("~nobody-has-this-name/x")) == line
    assert refused(None, environ={"KUBECONFIG": "~nobody-has-this-name/x"}) == line


def test_a_path_that_is_too_long_is_one_clear_line() -> None:
    long = "/" + "x" * 5000
    assert refused(Path(long)) == f"kubeconfig {long}: File name too long"
    assert "does not exist" in refused(None, environ={"KUBECONFIG": long})


def test_of_many_contexts_a_few_are_named(tmp_path: Path) -> None:
    contexts = [{"name": f"c{n:02}" + "x" * 100, "context": {}} for n in range(30)]
    path = tmp_path / "config"
    path.write_bytes(orjson.dumps({"kind": "Config", "contexts": contexts}))
    text = refused(path, "prod")
    assert text.startswith(f'kubeconfig {path}: context "prod" not found (have: c00x')
    assert text.endswith("…, and 20 more)")
    assert len(text) < 1000


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
        (
            {"server": "https://a:99999"},
            {},
            'server "https://a:99999" is not an http(s) URL with a port',
        ),
        ({"server": "https://[::1"}, {}, 'server "https://[::1" is not an http(s) URL'),
        ({"proxy-url": "socks5://x:1"}, {}, 'proxy-url "socks5://x:1" is not an http URL'),
        ({"proxy-url": "https://x:1"}, {}, 'proxy-url "https://x:1" is not an http URL'),
        ({"certificate-authority": "none.crt"}, {}, "none.crt: no such file"),
        ({"certificate-authority": "x" * 5000}, {}, "x: no such file"),
        ({"certificate-authority-data": "%"}, {}, "certificate-authority-data is not base64"),
        (
            {"certificate-authority-data": base64.b64encode(b"hello").decode()},
            {},
            "config: certificate-authority-data: not a PEM CA certificate",
        ),
        ({}, {"client-certificate-data": "aGVsbG8="}, "have to come together"),
        (
            {},
            {"client-certificate-data": "aGVsbG8=", "client-key-data": "aGVs"},
            "config: client-certificate-data, client-key-data: not a PEM client certificate",
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


ODD: list[Any] = [None, True, 5, -1.5, "", "x", "https://a", [], [1], {}, {"name": "x"}]
FIELDS = {
    "clusters": (
        *("server", "proxy-url", "tls-server-name", "certificate-authority", "extensions"),
        *("certificate-authority-data", "insecure-skip-tls-verify"),
    ),
    "users": (
        *("token", "tokenFile", "username", "password", "auth-provider", "exec"),
        *("client-certificate", "client-key", "client-certificate-data", "client-key-data"),
    ),
    "contexts": ("cluster", "user", "namespace"),
}


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize(
    ("section", "field"), [(section, field) for section in FIELDS for field in FIELDS[section]]
)
def test_a_field_of_another_type_is_used_or_refused(
    tmp_path: Path, section: str, field: str, value: object
) -> None:
    path = kubeconfig(tmp_path)
    document = orjson.loads(path.read_bytes())
    document[section][0][section.removesuffix("s")][field] = value
    path.write_bytes(orjson.dumps(document))
    texts = []
    try:
        config = loaded(path)
    except ConfigError as error:
        texts.append(str(error))
    else:
        texts += [config.server, config.namespace, config.proxy or "", config.tls_server_name or ""]
    assert all("\n" not in text for text in texts)


@pytest.mark.parametrize(
    ("field", "url", "shown"),
    [
        ("proxy-url", "socks5://user:hunter2@10.0.0.1:1", '"socks5://10.0.0.1:1"'),
        ("proxy-url", "http://user:hunter2@10.0.0.1:port", '"http://10.0.0.1:port"'),
        ("proxy-url", "http://user:x/@hunter2@10.0.0.1", '"http://10.0.0.1"'),
        ("proxy-url", "user:hunter2@10.0.0.1", '"10.0.0.1"'),
        ("server", "https://user:hunter2@10.0.0.1", "server has credentials in its URL"),
        ("server", "http://user:hunter2@10.0.0.1", "server has credentials in its URL"),
        ("server", "https://user:hunter2@10.0.0.1:99999", '"https://10.0.0.1:99999"'),
    ],
)
def test_no_error_quotes_a_password(tmp_path: Path, field: str, url: str, shown: str) -> None:
    cluster = {"server": "https://127.0.0.1:1", field: url}
    text = refused(kubeconfig(tmp_path, cluster=cluster))
    assert shown in text
    assert "hunter2" not in text


def test_a_password_is_no_part_of_the_host_nor_of_what_is_printed() -> None:
    config = ClusterConfig(
        server="https://user:hunter2@a:1",
        credentials=Credentials(_Nothing(), Clock().monotonic, tls=False),
        proxy="http://user:hunter2@b",
    )
    assert config.host == "a:1"
    assert "http://user" not in repr(config)


class _Nothing:
    def read(self, *, renew: bool) -> Material:
        return Material()


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


def test_a_key_that_is_its_own_certificate_is_refused_with_its_file(tmp_path: Path) -> None:
    user = {"client-certificate-data": "aGVsbG8=", "client-key-data": "aGVsbG8="}
    path = kubeconfig(tmp_path, user=user)
    assert refused(path).startswith(f"kubeconfig {path}: client-certificate-data, ")
