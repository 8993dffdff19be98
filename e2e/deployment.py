"""The operator as strangers install it: an image that was built here, and `make deploy`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.cluster import ROOT, Cluster, JsonObject, eventually, hack_cluster, install

NAMESPACE = "observatory-operator-system"
NAME = "observatory-operator-controller-manager"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{NAME}"
LEASE = "observatory-operator"
IMAGE = "localhost/observatory-operator:e2e"
NEXT = "localhost/observatory-operator:e2e-next"
"""The image of the upgrade: the same layers under another name, so all Pods are replaced."""


def image_archive(folder: Path) -> Path:
    """An archive of the image, built from this checkout."""
    archive = folder / "image.tar"
    make("docker-build", "CONTAINER_TOOL=hack/image", f"IMG={IMAGE}")
    run(ROOT / "hack" / "image", "save", "--output", archive, IMAGE)
    return archive


def give_images(cluster: Cluster, folder: Path) -> None:
    """Give both images to the node; they go with it."""
    if cluster.audit_log is None:
        pytest.skip("the nodes of a foreign cluster can be given no image from here")
    archive = image_archive(folder)
    name = Path(cluster.kubeconfig).parent.name
    for image in (IMAGE, NEXT):
        hack_cluster("load-image", image, str(archive), "--name", name)
    archive.unlink()


class Deployment:
    """The operator's Deployment, through make and kubectl alone."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def make(self, *arguments: str) -> str:
        return make(*arguments, kubeconfig=self._cluster.kubeconfig)

    def deploy(self, image: str) -> None:
        """`make deploy`, until every replica is that image's and ready."""
        self.make("deploy", f"IMG={image}")
        self.await_rolled_out()

    def await_rolled_out(self) -> None:
        self.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=180s")

    def undeploy(self) -> None:
        """`make undeploy`; the CRD is put back for the tests that come after."""
        self.make("undeploy")
        install(self._cluster)

    def kubectl(self, *arguments: str) -> str:
        return self._cluster.kubectl("-n", NAMESPACE, *arguments)

    def pods(self) -> dict[str, JsonObject]:
        """Its Pods that are not being deleted."""
        found = self._cluster.get("pods", "-n", NAMESPACE)["items"]
        return {
            pod["metadata"]["name"]: pod
            for pod in found
            if "deletionTimestamp" not in pod["metadata"]
        }

    def leader(self) -> str:
        """The name of the Pod that leads; empty while none does."""
        lease = json.loads(self.kubectl("get", "lease", LEASE, "-o", "json"))
        holder: str = lease["spec"].get("holderIdentity") or ""
        return holder.partition("_")[0]

    def await_leader(self, *, other_than: str = "") -> str:
        return eventually(self.leader, lambda name: name not in {"", other_than})


def make(*arguments: str, kubeconfig: str = "") -> str:
    environment = {**os.environ, "KUBECONFIG": kubeconfig}
    return run("make", "--no-print-directory", *arguments, environment=environment)


def run(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout[-4000:]}"
    return done.stdout
