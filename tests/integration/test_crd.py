"""What the CRD promises, asked of a real API server."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from observatory.api.types import JsonObject
from observatory.core.validation import validate
from tests.support.cluster import ROOT, Cluster

pytestmark = pytest.mark.integration
NAMESPACE = f"test-crd-{os.getpid()}"  # a namespace of an earlier run may still be ending
SAMPLES = sorted((ROOT / "manifests/samples").glob("*.yaml"))


@pytest.fixture(scope="module", autouse=True)
def _namespace(cluster: Cluster) -> Iterator[None]:
    with cluster.namespace(NAMESPACE):
        yield


def task(name: object, *dependencies: object, **fields: object) -> JsonObject:
    return {"name": name, "image": "busybox", "dependencies": list(dependencies), **fields}


def observatory(name: str, *tasks: object, **spec: object) -> JsonObject:
    return {
        "apiVersion": "workflow.seventh-horizon.io/v1alpha1",
        "kind": "Observatory",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"tasks": list(tasks), **spec},
    }


def create(cluster: Cluster, obj: JsonObject, *flags: str) -> str:
    arguments = ("create", "--validate=false", *flags, "-f", "-")
    return cluster.kubectl(*arguments, stdin=json.dumps(obj), check=False)


def refused_paths(text: str) -> set[str]:
    """The fields that an `is invalid` message of kubectl names."""
    _, _, errors = text.partition("is invalid: ")
    paths = re.findall(r"^(?:\* )?([a-zA-Z][^\s:]*): ", errors, re.MULTILINE)
    return set(paths)


def patch_status(cluster: Cluster, name: str, status: JsonObject) -> str:
    return cluster.kubectl(
        *("patch", "observatory", name, "-n", NAMESPACE, "--subresource=status"),
        *("--type=merge", "--patch", json.dumps({"status": status})),
        check=False,
    )


def test_the_definition_is_accepted_as_structural(cluster: Cluster) -> None:
    crd = cluster.get("crd", "observatories.workflow.seventh-horizon.io")
    conditions = {item["type"]: item["status"] for item in crd["status"]["conditions"]}
    assert conditions["NamesAccepted"] == "True"
    assert conditions["Established"] == "True"
    assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_accepted_strictly(cluster: Cluster, sample: Path) -> None:
    arguments = ("apply", "--server-side", "--dry-run=server", "--validate=strict")
    out = cluster.kubectl(*arguments, "-n", NAMESPACE, "-f", str(sample))
    assert "serverside-applied" in out


def test_4000_tasks_with_one_that_waits_for_all_others_fit(cluster: Cluster) -> None:
    names = [f"task-{index:04}-{'x' * 20}" for index in range(3999)]
    obj = observatory("large", *map(task, names), task("end", *names))
    cluster.apply(obj)
    stored = cluster.get("observatory", "large", "-n", NAMESPACE, "--show-managed-fields")
    assert stored["spec"] == obj["spec"]
    assert len(json.dumps(stored["metadata"]["managedFields"])) < 1000


TOO_MANY = [f"t{index}" for index in range(4001)]


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(observatory("a"), id="no tasks"),
        pytest.param(observatory("a") | {"spec": None}, id="no spec"),
        pytest.param(observatory("a") | {"spec": "x"}, id="spec of the wrong type"),
        pytest.param(observatory("a", None, "x", 5, []), id="tasks of the wrong type"),
        pytest.param(observatory("a", *map(task, TOO_MANY)), id="too many tasks"),
        pytest.param(observatory("a", task("b", *TOO_MANY)), id="too many dependencies"),
        pytest.param(observatory("a", task("Build"), task("a_b"), task("-")), id="names"),
        pytest.param(observatory("a", task("x" * 64), task("")), id="length of names"),
        pytest.param(observatory("a", task("x\n"), task("\u0430")), id="names that look right"),
        pytest.param(observatory("a", task("c"), task("b", "c", "c")), id="a dependency twice"),
        pytest.param(observatory("a", {"name": None, "image": None}), id="null where required"),
        pytest.param(observatory("a", task("b", args=[None])), id="null in a list"),
        pytest.param(observatory("a", task("b", command="sh")), id="command as a string"),
        pytest.param(observatory("a", task("b", image="")), id="no image"),
        pytest.param(observatory("a", task("b"), maxConcurrent=0), id="maxConcurrent 0"),
        pytest.param(observatory("a", task("b"), maxConcurrent=2**31), id="maxConcurrent 2^31"),
        pytest.param(observatory("a", task("b"), maxConcurrent=1.5), id="maxConcurrent 1.5"),
        pytest.param(observatory("a", task("b"), maxConcurrent=True), id="maxConcurrent true"),
        pytest.param(observatory("a", task("b"), suspend="yes"), id="suspend as a string"),
        pytest.param(observatory("a", task("b"), schedule=""), id="empty schedule"),
        pytest.param(
            observatory("a", task("b", env=[{"name": "1=2"}, {"name": ""}, {"value": "x"}])),
            id="names of variables",
        ),
        pytest.param(
            observatory("a", task("b", env=[{"name": "A", "valueFrom": {}}])), id="no source"
        ),
        pytest.param(
            observatory(
                "a",
                task(
                    "b",
                    env=[
                        {
                            "name": "A",
                            "valueFrom": {
                                "fieldRef": {"fieldPath": "metadata.name"},
                                "secretKeyRef": {"name": "a", "key": "b"},
                            },
                        }
                    ],
                ),
            ),
            id="two sources",
        ),
        pytest.param(observatory("a" * 64, task("b")), id="long name"),
        pytest.param(observatory("a.b", task("b")), id="name with a dot"),
    ],
)
def test_what_the_server_refuses_validate_refuses_at_the_same_fields(
    cluster: Cluster, obj: JsonObject
) -> None:
    said = create(cluster, obj, "--dry-run=server")
    refused = refused_paths(said)
    assert refused, said
    assert refused == {error.path for error in validate(obj)}


def test_a_variable_twice_is_refused_by_the_server(cluster: Cluster) -> None:
    obj = observatory("a", task("b", env=[{"name": "A"}, {"name": "A"}]))
    assert 'spec.tasks[0].env[1]: Duplicate value: {"name":"A"}' in create(cluster, obj)


def test_null_is_absent_where_a_field_may_be(cluster: Cluster) -> None:
    obj = observatory("nulls", task("b", args=None), maxConcurrent=None, suspend=None)
    assert validate(obj) == []
    create(cluster, obj)
    stored = cluster.get("observatory", "nulls", "-n", NAMESPACE)
    assert stored["spec"] == {"tasks": [task("b")]}


def test_explain_teaches(cluster: Cluster) -> None:
    text = " ".join(cluster.kubectl("explain", "observatory.spec.tasks.dependencies").split())
    assert "The names of the tasks that this one comes after;" in text
    assert "valueFrom" in cluster.kubectl("explain", "obsy.spec.tasks.env")


def test_short_name_and_category_find_it(cluster: Cluster) -> None:
    cluster.apply(observatory("found", task("a")))
    for name in ("obsy", "seventh-horizon"):
        names = cluster.kubectl("get", name, "-n", NAMESPACE, "-o", "name")
        assert "observatory.workflow.seventh-horizon.io/found" in names


def test_the_columns_show_how_far_and_why_not_further(cluster: Cluster) -> None:
    cluster.apply(observatory("columns", task("a"), schedule="@daily"))
    status = {"phase": "Running", "progress": "0/1", "run": 1, "message": "Running a"}
    assert "patched" in patch_status(cluster, "columns", status)
    get = ("get", "obsy", "columns", "-n", NAMESPACE)
    header, row = cluster.kubectl(*get).splitlines()
    assert re.split(" {2,}", header) == [
        *("NAME", "PHASE", "PROGRESS", "DURATION", "NEXT RUN", "AGE", "MESSAGE")
    ]
    assert row.split()[:3] == ["columns", "Running", "0/1"]
    assert row.endswith("Running a")
    wide = re.split(" {2,}", cluster.kubectl(*get, "-o", "wide").splitlines()[0])
    assert wide[6:] == [
        *("RUN", "REVISION", "SCHEDULE", "LAST RUN", "LAST SUCCESS", "SUSPEND", "MESSAGE")
    ]


def test_the_phase_can_be_selected(cluster: Cluster) -> None:
    for name in ("ended", "pending"):
        cluster.apply(observatory(name, task("a")))
    patch_status(cluster, "ended", {"phase": "Failed"})
    arguments = ("get", "obsy", "-n", NAMESPACE, "--field-selector=status.phase=Failed")
    assert cluster.kubectl(*arguments, "-o", "name").split() == [
        "observatory.workflow.seventh-horizon.io/ended"
    ]


def test_the_status_is_written_apart_and_has_its_own_rules(cluster: Cluster) -> None:
    obj = observatory("apart", task("a"))
    cluster.apply(obj | {"status": {"phase": "Succeeded"}})
    assert "status" not in cluster.get("observatory", "apart", "-n", NAMESPACE)
    assert "Unsupported value" in patch_status(cluster, "apart", {"phase": "Sleeping"})
    assert "patched" in patch_status(cluster, "apart", {"run": 2})
    assert "the run count never goes back" in patch_status(cluster, "apart", {"run": 1})
    assert "patched" in patch_status(cluster, "apart", {"run": 3})


def test_kubectl_waits_for_conditions(cluster: Cluster) -> None:
    cluster.apply(observatory("waited-for", task("a")))
    condition = {
        "type": "Complete",
        "status": "True",
        "observedGeneration": 1,
        "reason": "AllTasksSucceeded",
        "message": "",
        "lastTransitionTime": "2025-01-31T12:00:00Z",
    }
    patch_status(cluster, "waited-for", {"observedGeneration": 1, "conditions": [condition]})
    arguments = ("wait", "obsy/waited-for", "-n", NAMESPACE, "--for=condition=Complete")
    assert "condition met" in cluster.kubectl(*arguments, "--timeout=5s")


@pytest.fixture(scope="module")
def account(cluster: Cluster) -> Iterator[str]:
    """The operator's account with its roles, in the namespace and with the names of this test."""
    objects = []
    for obj in yaml.safe_load_all(cluster.kubectl("kustomize", str(ROOT / "manifests/rbac"))):
        text = json.dumps(obj).replace('"namespace": "system"', f'"namespace": "{NAMESPACE}"')
        for name in ("manager-role", "leader-election-role", "observatory-"):
            text = text.replace(f'"name": "{name}', f'"name": "{NAMESPACE}-{name}')
        renamed = json.loads(text)
        if renamed["kind"] in ("Role", "RoleBinding"):
            renamed["metadata"]["namespace"] = NAMESPACE
        renamed["metadata"].pop("labels")  # Nothing of this is to be aggregated.
        objects.append(renamed)
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=manifest)
    yield f"system:serviceaccount:{NAMESPACE}:controller-manager"
    cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=manifest)


@pytest.mark.parametrize(
    ("verb", "resource", "answer"),
    [
        ("create", "pods", "yes"),
        ("update", "observatories/status", "yes"),
        ("create", "leases", "yes"),
        ("create", "events.events.k8s.io", "yes"),
        ("create", "controllerrevisions", "yes"),
        ("get", "secrets", "no"),
        ("update", "observatories", "no"),
        ("create", "pods/exec", "no"),
        ("get", "configmaps", "no"),
        ("delete", "leases", "no"),
        ("create", "rolebindings", "no"),
    ],
)
def test_the_operators_account_may_do_its_work_and_no_more(
    cluster: Cluster, account: str, verb: str, resource: str, answer: str
) -> None:
    plural, _, subresource = resource.partition("/")
    question = ("auth", "can-i", verb, plural, f"--subresource={subresource}")
    said = cluster.kubectl(*question, f"--as={account}", "-n", NAMESPACE, check=False)
    assert said.split()[0] == answer
