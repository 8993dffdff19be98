"""What no API server should let in, let in: the operator goes on, and so do the others' workflows.

Some objects pass the CRD's schema, some are stored while the schema is off, some were written by
somebody who may write status or Pods. They are there when the operator starts, or come later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.integration.workflows import Runs, condition, observatory, task
from tests.support.cluster import ROOT, Cluster, JsonObject, Operator, eventually, install
from tests.support.poison import PODS, SPECS, STATUSES, TAMPERED, pod_of

pytestmark = pytest.mark.integration

QUICK = 15
"""Seconds in which a chain of three must be done, on a machine that does much else besides."""


class Poison:
    """Puts bad objects into a namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self._number = 0

    def everything(self) -> None:
        """All of it."""
        self._number += 1
        self.without_schema()
        self.tampered()
        self.pods()
        self.absurd()

    def name(self, name: str) -> str:
        return f"{name}-{self._number}"

    def create(self, objects: list[JsonObject]) -> None:
        """Create them, with a line of kubectl for all."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        arguments = ("create", "--validate=false", "-n", self.namespace, "-f", "-")
        self.cluster.kubectl(*arguments, stdin=text)

    def set_status(self, name: str, status: object) -> None:
        arguments = ("-n", self.namespace, "--subresource=status", "--type=merge")
        patch = json.dumps({"status": status})
        self.cluster.kubectl("patch", "observatory", name, *arguments, "-p", patch)

    def without_schema(self) -> None:
        """What only gets in while the CRD has no schema."""
        with schema_off(self.cluster):
            objects = []
            for name, spec in SPECS.items():
                obj = observatory(self.namespace, self.name(name))
                del obj["spec"]
                objects.append(obj if spec is None else {**obj, "spec": spec})
            objects += [
                observatory(self.namespace, self.name(f"status-{name}"), task("a"))
                for name in STATUSES
            ]
            self.create(objects)
            for name, status in STATUSES.items():
                self.set_status(self.name(f"status-{name}"), status)

    def tampered(self) -> None:
        """What somebody wrote who may write status."""
        names = {self.name(f"tampered-{name}"): status for name, status in TAMPERED.items()}
        self.create([observatory(self.namespace, name, task("a"), suspend=True) for name in names])
        for name, status in names.items():
            self.set_status(name, status)

    def pods(self) -> None:
        """Pods that look like the operator's, more or less."""
        victim = self.name("victim")
        self.create([observatory(self.namespace, victim, task("a", hold=True))])
        uid = self.cluster.get("observatory", victim, "-n", self.namespace)["metadata"]["uid"]
        self.create(
            [pod_of(self.name(f"pod-{name}"), wish, victim, uid) for name, wish in PODS.items()]
        )

    def absurd(self) -> None:
        """What is allowed, and far too much."""
        large = observatory(self.namespace, self.name("annotated"), task("a"))
        large["metadata"]["annotations"] = {
            f"example.com/{number}": "ü" * 12_000 for number in range(10)
        }
        large["metadata"]["labels"] = {f"example.com/{'l' * 50}{n}": "x" * 63 for n in range(500)}
        heavy = observatory(
            self.namespace,
            self.name("heavy"),
            *({**task(f"t{n}"), "args": ["x" * 100_000]} for n in range(13)),
            suspend=True,
        )
        self.create([large, heavy])


@contextmanager
def schema_off(cluster: Cluster) -> Iterator[None]:
    """While this lasts, the CRD accepts any object."""
    [path] = (ROOT / "manifests" / "crd").glob("workflow*.yaml")
    crd = yaml.safe_load(path.read_text())
    [version] = crd["spec"]["versions"]
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version["schema"] = {"openAPIV3Schema": loose}
    version.pop("selectableFields", None)
    probe = {**observatory("default", "probe"), "spec": 5}
    arguments = ("create", "--dry-run=server", "--validate=false", "-f", "-")

    def accepts() -> bool:
        said = cluster.kubectl(*arguments, stdin=json.dumps(probe), check=False)
        return "created" in said

    cluster.apply(crd)
    try:
        eventually(accepts, bool)
        yield
    finally:
        install(cluster)
        eventually(accepts, lambda loose: not loose)


@contextmanager
def others_go_on(cluster: Cluster, namespace: str, name: str) -> Iterator[None]:
    """Whatever is done meanwhile, a workflow in another namespace is done in good time."""
    runs = Runs(cluster, namespace)
    yield
    runs.apply(name, task("a"), task("b", "a"), task("c", "b"))
    assert runs.end(name, seconds=QUICK)["phase"] == "Succeeded"


def test_poison_harms_nobody_else(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    poison = Poison(cluster, namespace)
    poison.everything()
    with cluster.namespace(f"{namespace}-good") as good:
        flags = ("--namespace", f"{namespace},{good}")
        with cluster.operator(*flags, log=tmp_path / "operator.log") as operator:
            with others_go_on(cluster, good, "at-the-start"):
                pass
            with others_go_on(cluster, good, "in-between"):
                poison.everything()
            with others_go_on(cluster, good, "later"):
                told(Runs(cluster, namespace))
            healthy(operator)
            victim(Runs(cluster, namespace))
        assert operator.process.returncode == 0
    release(Runs(cluster, namespace))


def told(runs: Runs) -> None:
    """Every spec that is wrong is said to be, and nothing of it was started."""
    wrong = [f"{name}-{number}" for name in SPECS for number in (1, 2)]

    def silent() -> list[str]:
        found = runs.cluster.get("observatories", "-n", runs.namespace)["items"]
        statuses = {item["metadata"]["name"]: item.get("status", {}) for item in found}
        return [name for name in wrong if condition(statuses[name], "Valid") != "False"]

    assert eventually(silent, lambda names: not names) == []


def healthy(operator: Operator) -> None:
    """It runs, and nothing that it met was beyond it."""
    assert operator.process.poll() is None
    crashes = {
        line.get("name"): line.get("exception") for line in operator.lines("Reconcile crashed")
    }
    assert crashes == {}


def victim(runs: Runs) -> None:
    """An Observatory among forged Pods has its own Pod, and nobody touched the forgeries."""
    for number in (1, 2):
        name = f"victim-{number}"
        row = runs.until(name, a="Running")["a"]
        assert not row["podName"].startswith("pod-")
        forged = runs.cluster.get("pod", f"pod-forged-{number}", "-n", runs.namespace)
        assert "deletionTimestamp" not in forged["metadata"]


def release(runs: Runs) -> None:
    """Let the namespace end: no operator is there any more that would let the Pods go."""
    remove = '{"metadata": {"finalizers": null}}'
    for name in runs.tracked():
        runs.kubectl("patch", "pod", name, "--type=merge", "-p", remove)
