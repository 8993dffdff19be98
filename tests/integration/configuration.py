"""manifests/webhook's configuration, for operators of a test and its namespace alone."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from e2e.monitoring import free_port
from observatory.api.rbac import WEBHOOK_CONFIGURATION
from observatory.runtime.webhook import PATH
from tests.support.cluster import ROOT, Cluster, JsonObject

KIND = "validatingwebhookconfiguration"


class Webhooks:
    """As many webhooks as there are replicas: each is called by a port of its own."""

    def __init__(self, cluster: Cluster, namespace: str, *, replicas: int = 1) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.name = f"{namespace}-{WEBHOOK_CONFIGURATION}"
        self.ports = [free_port() for _ in range(replicas)]

    def flags(self, replica: int = 0) -> tuple[str, ...]:
        """Of the operator that serves one of them."""
        return (
            f"--webhook-port={self.ports[replica]}",
            f"--webhook-configuration={self.name}",
        )

    def manifest(self, **more: object) -> JsonObject:
        """The configuration, as it is installed."""
        file = ROOT / "manifests" / "webhook" / "configuration.yaml"
        made: JsonObject = yaml.safe_load(file.read_text())
        made["metadata"]["name"] = self.name
        (webhook,) = made["webhooks"]
        labels = {"kubernetes.io/metadata.name": self.namespace}
        made["webhooks"] = [
            {
                **webhook,
                "name": f"replica-{number}.{webhook['name']}",
                "clientConfig": {"url": f"https://127.0.0.1:{port}{PATH}"},
                "namespaceSelector": {"matchLabels": labels},
                **more,
            }
            for number, port in enumerate(self.ports)
        ]
        return made

    @contextmanager
    def configured(self, **more: object) -> Iterator[Webhooks]:
        """The configuration is there within the context."""
        self.cluster.apply(self.manifest(**more))
        try:
            yield self
        finally:
            self.cluster.kubectl("delete", KIND, self.name)

    def certificates(self) -> list[int]:
        """How many certificates each of them trusts."""
        webhooks = self.cluster.get(KIND, self.name)["webhooks"]
        bundles = [webhook["clientConfig"].get("caBundle", "") for webhook in webhooks]
        return [b64decode(bundle).count(b"BEGIN CERTIFICATE") for bundle in bundles]

    def reset(self, **more: object) -> None:
        """Take all certificates out, as a deployment tool does that knows the manifest only."""
        self.cluster.kubectl("replace", "-f", "-", stdin=json.dumps(self.manifest(**more)))
