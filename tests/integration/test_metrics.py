"""`--metrics-secure` on a real API server: who may read the page, and who may not."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import pytest

from e2e.monitoring import free_port
from tests.integration.account import Account, token_of
from tests.integration.workflows import Runs, task
from tests.support.cluster import Cluster, eventually, now

pytestmark = pytest.mark.integration


def scraped(port: int, token: str | None) -> tuple[int, str]:
    """The status and the page; 0 while nobody listens."""
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    request = urllib.request.Request(f"https://127.0.0.1:{port}/metrics", headers=headers)
    context = ssl._create_unverified_context()  # noqa: S323 -- the certificate is made at each start
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""


def read_role(cluster: Cluster, namespace: str, account: str) -> None:
    """Bind an account to a role as metrics-reader is."""
    cluster.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{namespace}-reads-metrics"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": f"{namespace}-op-metrics-reader",
            },
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        }
    )


def test_the_page_is_for_those_whom_a_role_lets_read_it(
    cluster: Cluster, namespace: str, account: Account, tmp_path: Path
) -> None:
    port, begun = free_port(), now()
    cluster.kubectl("create", "serviceaccount", "prometheus", "-n", namespace)
    token = token_of(cluster, namespace, "prometheus")
    flags = (
        "--namespace",
        namespace,
        "--metrics-secure",
        f"--metrics-bind-address=127.0.0.1:{port}",
    )
    runs, log = Runs(cluster, namespace), tmp_path / "operator.log"
    with cluster.operator(*flags, log=log, kubeconfig=str(account.kubeconfig)) as operator:
        operator.said("Caches synced")
        assert scraped(port, None)[0] == 401
        assert scraped(port, "stolen")[0] == 401
        status, text = scraped(port, token)
        assert (status, text) == (
            403,
            "a role has to allow get on /metrics, as metrics-reader does\n",
        )
        runs.apply("one", task("a"))
        runs.end("one")
        read_role(cluster, namespace, "prometheus")
        status, page = eventually(partial(scraped, port, token), lambda answer: answer[0] == 200)
        assert f'observatory_runs{{namespace="{namespace}",phase="Succeeded"}} 1.0' in page
        assert token not in log.read_text()
    asked = {
        each["objectRef"]["resource"]
        for each in cluster.audited(account.user, begun)
        if each["verb"] == "create" and each.get("objectRef")
    }
    assert {"tokenreviews", "subjectaccessreviews"} <= asked
    cluster.kubectl("delete", "clusterrolebinding", f"{namespace}-reads-metrics")
