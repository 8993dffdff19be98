from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from observatory.kube.credentials import ConfigError
from observatory.kube.execplugin import ExecPlugin
from tests.kube.kubeconfigs import Clock, kubeconfig, loaded, plugin, refused, token_of

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
        ("", {"env": [{"name": "X"}]}, "each env needs a name and a value"),
        ("", {"env": ["X=y"]}, "each env needs a name and a value"),
        (
            "answer(token='t', expirationTimestamp='2030-01-01T00:00:00')",
            {},
            "its output is not an ExecCredential with a status",
        ),
        ("answer(token=5)", {}, "its output is not an ExecCredential with a status"),
        ("answer(clientCertificateData=['c'], clientKeyData='k')", {}, "is not an ExecCredential"),
        ("", {"args": 5}, "it cannot be given its args, env or cluster"),
        ("", {"args": ["a\0b"]}, "it cannot be given its args, env or cluster"),
        ("", {"env": [{"name": "A=B", "value": "x"}]}, "it cannot be given its args, env or clu"),
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


def test_a_plugin_that_never_answers_is_ended(tmp_path: Path) -> None:
    user = plugin(tmp_path, "import time; time.sleep(5)")
    slow = ExecPlugin(Clock().now, seconds=0.2)
    with pytest.raises(ConfigError, match=r"no answer within 0\.2 s"):
        slow.credential(user["exec"], {}, renew=False)
