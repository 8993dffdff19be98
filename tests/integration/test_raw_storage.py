"""What somebody wrote straight into etcd: it is served, and the operator lives with it.

The API server hands out whatever it can decode. What it can't decode, it can't list either, for
nobody; that is not the operator's to mend.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from observatory.api.names import GROUP
from tests.integration.test_bad_input import healthy, others_go_on
from tests.integration.workflows import Runs, condition, observatory, task
from tests.support.cluster import Cluster, JsonObject, eventually

pytestmark = pytest.mark.integration

GOOD_SPEC: dict[str, JsonObject] = {
    "generation": {"generation": "x"},
    "finalizers": {"finalizers": 5},
    "labels": {"labels": {"a": 5}, "annotations": ["x"]},
    "owners": {"ownerReferences": "x"},
    "created": {"creationTimestamp": "yesterday"},
    "deleted": {"deletionTimestamp": "soon"},
}
"""Metadata that the API server drops or mends when it reads them: these run."""
WRONG: dict[str, tuple[str, str]] = {
    "deep": ('"tasks": [', f'"tasks": {"[" * 500}{"]" * 500}, "x": ['),
    "digits": ('"tasks": [', f'"maxConcurrent": {"9" * 300}, "tasks": ['),
    "surrogate": ('"busybox', r'"\ud800'),
    "text": ('"spec": {', '"spec": "x", "x": {'),
}
"""Texts of good objects, changed: these are told what is wrong with their spec."""
UNREADABLE: dict[str, tuple[str, str]] = {
    "deeper": ('"tasks": [', f'"tasks": {"[" * 9000}{"]" * 9000}, "x": ['),
    "no-uid": ('"uid": "', '"uid": null, "x": "'),
    "number-uid": ('"uid": "', '"uid": 5, "x": "'),
}
"""These are skipped, and the log says so."""


class Etcd:
    """The JSON gateway of a local cluster's etcd, two ports before the API server's."""

    def __init__(self, cluster: Cluster) -> None:
        config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
        server = urlsplit(config["clusters"][0]["cluster"]["server"])
        self._address = (server.hostname or "", (server.port or 443) - 2)
        try:
            version = self._request("GET", "/version")
        except (OSError, http.client.HTTPException):
            version = ""
        if "etcdserver" not in version:
            pytest.skip("the etcd of this cluster cannot be reached")

    def _request(self, method: str, path: str, body: str = "") -> str:
        connection = http.client.HTTPConnection(*self._address, timeout=10)
        connection.request(method, path, body)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        return text if answer.status == http.HTTPStatus.OK else ""

    def _call(self, operation: str, **body: str) -> None:
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in body.items()}
        assert self._request("POST", f"/v3/kv/{operation}", json.dumps(encoded))

    @contextmanager
    def holding(self, namespace: str, objects: dict[str, str]) -> Iterator[None]:
        """While this lasts, these Observatories are stored."""
        prefix = f"/registry/{GROUP}/observatories/{namespace}/"
        try:
            for name, text in objects.items():
                self._call("put", key=prefix + name, value=text)
            yield
        finally:
            self._call("deleterange", key=prefix, range_end=prefix[:-1] + "0")


def stored(namespace: str, number: int, name: str) -> JsonObject:
    made = observatory(namespace, name, task("a"))
    made["metadata"] |= {
        "uid": f"0b8e4f5c-2222-4000-8000-{number:012d}",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "generation": 1,
    }
    return made


def test_what_no_api_server_has_stored_harms_nobody_else(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    etcd = Etcd(cluster)
    objects = {}
    for number, name in enumerate([*GOOD_SPEC, *WRONG, *UNREADABLE]):
        obj = stored(namespace, number, name)
        obj["metadata"] |= GOOD_SPEC.get(name, {})
        text = json.dumps(obj)
        before, after = {**WRONG, **UNREADABLE}.get(name, ("", ""))
        assert before in text
        objects[name] = text.replace(before, after, 1) if before else text
    with cluster.namespace(f"{namespace}-good") as good:
        flags = ("--namespace", f"{namespace},{good}")
        with (
            cluster.operator(*flags, log=tmp_path / "operator.log") as operator,
            etcd.holding(namespace, objects),
        ):
            with others_go_on(cluster, good, "beside"):
                runs = Runs(cluster, namespace)
                statuses = eventually(
                    lambda: {name: runs.status(name) for name in [*GOOD_SPEC, *WRONG]},
                    lambda found: all(map(settled, found.values())),
                )
            assert {statuses[name]["phase"] for name in GOOD_SPEC} == {"Succeeded"}
            assert {condition(statuses[name], "Valid") for name in WRONG} == {"False"}
            skipped = [
                line for line in operator.lines() if "could not be read" in line.get("msg", "")
            ]
            assert len(UNREADABLE) <= len(skipped) <= 2 * len(UNREADABLE)  # listed again at most
            healthy(operator)


def settled(status: JsonObject) -> bool:
    return status.get("phase") == "Succeeded" or condition(status, "Valid") == "False"
