"""Whatever is typed or stands in a file: what is wrong with it is one line, never a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.types import JsonObject
from observatory.cli.main import main
from observatory.kube.credentials import ConfigError
from tests.fuzz.mutations import JSON, examples, mutated, values
from tests.kube.kubeconfigs import kubeconfig, loaded
from tests.runtime.world import observatory, task
from tests.support.log import restored_log

BOMB = yaml.safe_load(
    "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
)["a8"]
"""A list that is small until it is printed."""


@pytest.fixture(autouse=True, scope="module")
def _log_as_before() -> Iterator[None]:
    """What `run` does to the log of its process is not to outlive these tests."""
    with restored_log():
        yield


def said(arguments: Sequence[str]) -> tuple[object, str, str]:
    """The exit code, and what came on standard output and on standard error."""
    out, err = io.StringIO(), io.StringIO()
    code: object
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code
    return code, out.getvalue(), err.getvalue()


def refused_in_one_line(code: object, err: str) -> bool:
    return (
        code == 2 and err.startswith("error: ") and err.count("\n") == 1 and err[:-1].isprintable()
    )


FLAGS = (
    *("--kubeconfig", "--context", "--namespace", "--metrics-bind-address", "--metrics-secure"),
    *("--metrics-cert-path", "--enable-http2", "--health-probe-bind-address", "--leader-elect"),
    *("--lease-name", "--lease-namespace", "--lease-duration", "--lease-renew-deadline"),
    *("--lease-retry-period", "--workers", "--log-level", "--log-format"),
)
ODD = (
    *("", "0", "-1", "1", "16", "257", "15", "10s", "1e300", "nan", "inf", "-inf", "\u0663", "1_0"),
    *(
        "abc",
        "a,b",
        "a,,b",
        "A",
        "a\nb",
        "\udcff",
        "x" * 300,
        "~nobody/x",
        "/",
        ":",
        ":1",
        ":99999",
    ),
    *("[::1]:1", "[", "a:b:c", "--", "-", "=", "debug", "json", "127.0.0.1:0", "$(x)", "\u202e"),
)
text = st.sampled_from(ODD) | st.text(max_size=12).filter(lambda it: "\0" not in it)
flag = st.sampled_from(FLAGS) | st.builds("--{}".format, text)
arguments = st.lists(st.builds("{}={}".format, flag, text) | flag | text, max_size=4)


@examples(200)
@given(arguments)
def test_any_flags_of_run_are_refused_in_one_line(words: list[str]) -> None:
    if {"-h", "--help"} & set(words):
        return
    # Last, so that nothing ever starts: there is no such file.
    code, out, err = said(["run", *words, "--kubeconfig=/nonexistent/config"])
    assert out == ""
    assert refused_in_one_line(code, err)


@examples(100)
@given(arguments)
def test_any_words_are_no_command(words: list[str]) -> None:
    if {"-h", "--help", "--version", "run", "validate"} & set(words):
        return
    code, out, err = said(words)
    assert out == ""
    assert refused_in_one_line(code, err)


CLUSTER: JsonObject = {
    "server": "https://127.0.0.1:1",
    "certificate-authority-data": "aGVsbG8=",
    "tls-server-name": "x",
    "proxy-url": "http://127.0.0.1:2",
    "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"a": 1}}],
}
ECHO: JsonObject = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "command": "/bin/echo",
    "args": [
        json.dumps(
            {
                "apiVersion": "client.authentication.k8s.io/v1",
                "status": {"token": "t", "expirationTimestamp": "2099-01-01T00:00:00Z"},
            }
        )
    ],
    "env": [{"name": "A", "value": "b"}],
    "provideClusterInfo": True,
}
USERS: list[JsonObject] = [
    {"token": "t"},
    {"tokenFile": "token"},
    {"username": "a", "password": "b"},
    {"client-certificate-data": "aGVsbG8=", "client-key-data": "aGVsbG8="},
    {"auth-provider": {"name": "oidc", "config": {"id-token": "a.b.c"}}},
    {"exec": ECHO},
]


def documents() -> list[JsonObject]:
    with tempfile.TemporaryDirectory() as folder:
        plain = {**CLUSTER, "certificate-authority-data": None}
        paths = [kubeconfig(Path(folder), cluster=CLUSTER, user={"token": "t"}).read_bytes()]
        paths += [kubeconfig(Path(folder), cluster=plain, user=user).read_bytes() for user in USERS]
    return [json.loads(document) for document in paths]


def with_a_bomb(document: JsonObject) -> JsonObject:
    document["clusters"][0]["cluster"]["server"] = BOMB
    return document


def harmless(document: JSON) -> JSON:
    """No other program is ever run: mutated, the name of one could be that of any."""
    if isinstance(document, dict):
        return {
            key: "/bin/echo" if key == "command" else harmless(document[key]) for key in document
        }
    return [harmless(item) for item in document] if isinstance(document, list) else document


contents = (
    mutated(documents()).map(lambda it: json.dumps(harmless(it)).encode())
    | mutated(documents()).map(lambda it: yaml.safe_dump(harmless(it)).encode())
    | st.sampled_from(documents()).map(with_a_bomb).map(lambda it: yaml.safe_dump(it).encode())
    | st.binary(max_size=60)
    | st.text(alphabet="ab:-[]{}&*!|<>'\"#\n \t0.,?%", max_size=60).map(str.encode)
    | st.sampled_from(["bool", "int", "float", "timestamp", "binary", "set", "omap", "x"]).flatmap(
        lambda tag: text.map(lambda value: f"a: !!{tag} {value}".encode(errors="replace"))
    )
)


@examples(150)
@given(contents, st.none() | text)
def test_any_kubeconfig_can_be_used_or_is_refused(content: bytes, context: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config"
        path.write_bytes(content)
        (Path(folder) / "token").write_text("t")
        try:
            told = f"{path}: {loaded(path, context).server}"
        except ConfigError as error:
            told = str(error)
    assert str(path) in told
    assert len(told) < 3000


@examples(30)
@given(
    st.binary(max_size=40)
    | mutated(documents()[:2], changes=1).map(lambda it: json.dumps(it).encode())
)
def test_what_run_says_of_a_kubeconfig_is_one_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config"
        path.write_bytes(content)
        # There is no certificate: nothing starts, whatever the file.
        words = ["run", "--kubeconfig", str(path), "--metrics-cert-path=/nonexistent"]
        code, out, err = said([*words, "--metrics-secure", "--health-probe-bind-address=0"])
        assert out == ""
        assert refused_in_one_line(code, err.splitlines(keepends=True)[-1])


WORKFLOWS = [
    observatory("night", task("a"), task("b", "a", env=[{"name": "A", "value": "1"}])),
    {"apiVersion": "v1", "kind": "List", "items": [observatory("night", task("a"))]},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}},
]
files = (
    mutated(WORKFLOWS).map(lambda it: json.dumps(it).encode())
    | mutated(WORKFLOWS).map(lambda it: yaml.safe_dump(it).encode(errors="replace"))
    | values.map(lambda it: yaml.safe_dump(it).encode(errors="replace"))
    | st.binary(max_size=60)
    | st.text(alphabet="ab:-[]{}&*!|<>'\"#\n \t0x_.,?%", max_size=60).map(str.encode)
)


@examples(200)
@given(files, st.sampled_from(["a.yaml", "a.json", "a\nb.yml", "\udcff.yaml"]), st.booleans())
def test_any_file_is_judged(content: bytes, name: str, as_json: bool) -> None:  # noqa: FBT001
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        code, out, err = said(["validate", *(["--output", "json"] if as_json else []), folder])
    assert code in {0, 1, 2}
    out.encode()
    assert all(line.isprintable() for line in err.splitlines())
    if as_json:
        assert json.loads(out)["valid"] == (code == 0)
    else:
        assert all(line.isprintable() for line in out.splitlines())
        assert code != 2 or refused_in_one_line(code, err)
        assert code != 1 or "error" in out + err
