"""The Helm chart: what it installs is what kustomize installs, and it goes as it came."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from observatory.cli.cleanup import LEASE
from tests.support.cluster import ROOT, Cluster, JsonObject

NAME = "observatory-operator"
SYSTEM = f"{NAME}-system"
MANIFESTS = ROOT / "manifests"
CRD = "observatories.workflow.seventh-horizon.io"
LATEST = ("--set", "image.tag=latest")
EVERYTHING = ("--set", "prometheus.enabled=true,networkPolicy.enabled=true")
NAMESPACED = ("--set", "rbac.namespaced=true,crd.enabled=false,watchNamespaces={left,right}")

# What is the chart's own: Helm's labels, and that the definition is kept.
_HELMS = {"helm.sh/chart", "app.kubernetes.io/instance", "app.kubernetes.io/version"}
_OURS = {"app.kubernetes.io/managed-by", "helm.sh/resource-policy"}

Key = tuple[str, str, str, str]


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("chart") / "chart"
    subprocess.run([sys.executable, ROOT / "hack/chart", "--out", out], check=True)
    return out


def helm(*arguments: str | Path, kubeconfig: str = "/dev/null", check: bool = True) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "hack/helm", *arguments, "--kubeconfig", kubeconfig],
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
    )
    if check and done.returncode:
        raise AssertionError(f"helm {arguments[0]}: {done.stderr}")
    return done.stdout if check else done.stdout + done.stderr


def template(chart: Path, *arguments: str, namespace: str = SYSTEM) -> list[JsonObject]:
    text = helm("template", NAME, chart, "--namespace", namespace, *arguments)
    return [document for document in yaml.safe_load_all(text) if document]


def kustomized(cluster: Cluster, *folders: str) -> list[JsonObject]:
    texts = [cluster.kubectl("kustomize", str(ROOT / "manifests" / each)) for each in folders]
    return [document for text in texts for document in yaml.safe_load_all(text)]


def by_key(documents: list[JsonObject]) -> dict[Key, Any]:
    """The objects without what is Helm's, or kustomize's, own."""
    found = {}
    for document in documents:
        metadata = document["metadata"]
        key = (
            document["apiVersion"],
            document["kind"],
            metadata.get("namespace", ""),
            metadata["name"],
        )
        assert key not in found
        found[key] = _without(document)
    return {key: each for key, each in found.items() if key[1] != "Namespace"}


def _without(node: Any) -> Any:  # noqa: ANN401
    if isinstance(node, dict):
        kept = {key: _without(item) for key, item in node.items() if key not in _HELMS | _OURS}
        return {key: item for key, item in kept.items() if item != {}}
    return [_without(item) for item in node] if isinstance(node, list) else node


@pytest.mark.integration
def test_by_default_it_is_what_kustomize_renders(cluster: Cluster, chart: Path) -> None:
    wanted = by_key(kustomized(cluster, "default"))
    assert by_key(template(chart, *LATEST)) == wanted


@pytest.mark.integration
def test_with_everything_on_it_is_all_that_kustomize_renders(cluster: Cluster, chart: Path) -> None:
    folders = ("default", "network-policy", "prometheus")
    wanted = by_key(kustomized(cluster, *folders))
    assert by_key(template(chart, *LATEST, *EVERYTHING)) == wanted


COMPONENTS = {"certmanager": "certManager.enabled"}


@pytest.mark.integration
@pytest.mark.parametrize("component", [each for each in COMPONENTS if (MANIFESTS / each).exists()])
def test_with_the_value_of_a_component_it_is_what_kustomize_makes_of_that(
    cluster: Cluster, chart: Path, tmp_path: Path, component: str
) -> None:
    kustomization = {
        "resources": [os.path.relpath(MANIFESTS / "default", tmp_path)],
        "components": [os.path.relpath(MANIFESTS / component, tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    text = cluster.kubectl("kustomize", str(tmp_path))
    values = ("--set", f"{COMPONENTS[component]}=true")
    assert by_key(template(chart, *LATEST, *values)) == by_key(list(yaml.safe_load_all(text)))


@pytest.mark.integration
@pytest.mark.parametrize(
    "values",
    [
        (),
        EVERYTHING,
        NAMESPACED,
        ("--set", "metrics.enabled=false,podDisruptionBudget.enabled=false,rbac.userRoles=false"),
        ("--set", "metrics.secure=false,fullnameOverride=mine,replicas=1,crd.enabled=false"),
        ("--set", "image.digest=sha256:" + "0" * 64 + ",priorityClassName=high"),
        (
            "--set-json",
            'args=["--workers=8","--log-level=debug"]',
            "--set-json",
            'env=[{"name":"OTEL_EXPORTER_OTLP_ENDPOINT","value":"http://collector:4318"}]',
            "--set-json",
            'tolerations=[{"operator":"Exists"}]',
            "--set-json",
            'nodeSelector={"kubernetes.io/os":"linux"}',
            "--set-json",
            'podAnnotations={"a":"1"}',
            "--set-json",
            'podLabels={"sidecar.istio.io/inject":"false"}',
            "--set-json",
            'imagePullSecrets=[{"name":"registry"}]',
        ),
    ],
    ids=["default", "everything", "namespaced", "little", "plain", "pinned", "more"],
)
def test_the_api_server_takes_what_any_values_make(
    cluster: Cluster, namespace: str, chart: Path, values: tuple[str, ...]
) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", chart, *values)
    with cluster.namespace("left"), cluster.namespace("right"):
        # Of the Prometheus Operator's kinds this API server knows nothing.
        items = [
            document
            for document in template(chart, *values, namespace=namespace)
            if "monitoring.coreos.com" not in document["apiVersion"]
        ]
        objects = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        dry = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-")
        said = cluster.kubectl(*dry, stdin=objects).splitlines()
        assert len(said) == len(items)
        assert all(line.endswith("serverside-applied (server dry run)") for line in said)


@pytest.mark.integration
def test_every_value_of_the_deployment_arrives(chart: Path) -> None:
    values = ("--set-json", 'args=["--workers=8"]', "--set", "watchNamespaces={a,b}")
    (deployment,) = of_kind(template(chart, *values), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"][-2:] == ["--namespace=a,b", "--workers=8"]
    off = ("--set", "metrics.enabled=false")
    (deployment,) = of_kind(template(chart, *off), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    said = [argument for argument in container["args"] if "metrics" in argument]
    assert said == ["--metrics-bind-address=0"]


@pytest.mark.integration
def test_two_releases_in_a_namespace_have_two_leases_that_cleanup_finds(chart: Path) -> None:
    text = helm("template", "etl", chart, "--namespace", SYSTEM)
    (deployment,) = of_kind([each for each in yaml.safe_load_all(text) if each], "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"][-1] == f"--lease-name=etl-{LEASE}"


@pytest.mark.integration
def test_namespaced_it_has_no_object_outside_of_namespaces(cluster: Cluster, chart: Path) -> None:
    documents = template(chart, *NAMESPACED)
    assert all(document["metadata"].get("namespace") for document in documents)
    roles = {
        document["metadata"]["namespace"]: document["rules"]
        for document in of_kind(documents, "Role")
        if document["metadata"]["name"].endswith("manager-role")
    }
    (entire,) = (
        document["rules"]
        for document in kustomized(cluster, "default")
        if document["metadata"]["name"] == f"{NAME}-manager-role"
    )
    assert roles == {"left": entire, "right": entire}
    bindings = [
        each for each in of_kind(documents, "RoleBinding") if "manager" in each["metadata"]["name"]
    ]
    assert [each["metadata"]["namespace"] for each in bindings] == ["left", "right"]
    for binding in bindings:
        assert binding["roleRef"]["kind"] == "Role"
        assert binding["subjects"][0]["namespace"] == SYSTEM
    (deployment,) = of_kind(documents, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert "--namespace=left,right" in container["args"]
    assert "--metrics-secure" not in container["args"]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("replica=3", "additional properties 'replica' not allowed"),
        ("replicas=two", "/replicas"),
        ("watchNamespaces={A}", "/watchNamespaces/0"),
        ("image.digest=latest", "/image/digest"),
        ("rbac.namespaced=true", "rbac.namespaced: there are no watchNamespaces"),
    ],
)
def test_values_that_mean_nothing_are_refused(chart: Path, values: str, words: str) -> None:
    assert words in helm("template", NAME, chart, "--set", values, check=False)


@pytest.mark.integration
def test_no_name_is_longer_than_a_name_may_be(chart: Path) -> None:
    release = "r" * 53  # as long as Helm allows
    text = helm("template", release, chart, "--namespace", SYSTEM, *EVERYTHING)
    names = [each["metadata"]["name"] for each in yaml.safe_load_all(text) if each]
    assert max(map(len, names)) <= 63
    assert (
        sum(name.startswith("r" * 28 + "-") for name in names) == len(names) - 1
    )  # the definition


@pytest.fixture
def release(cluster: Cluster, namespace: str, chart: Path) -> Iterator[str]:
    """A release of the chart, which takes over the definition that is there already."""
    arguments = ("--namespace", namespace, "--take-ownership", "--wait", "--timeout", "2m")
    helm("install", "tried", chart, *arguments, kubeconfig=cluster.kubeconfig)
    yield namespace
    helm("uninstall", "tried", "-n", namespace, kubeconfig=cluster.kubeconfig, check=False)


@pytest.mark.integration
def test_it_is_installed_upgraded_and_removed_and_leaves_the_definition_alone(
    cluster: Cluster, release: str, chart: Path
) -> None:
    def there() -> set[str]:
        kinds = "deployments,services,serviceaccounts,roles,rolebindings,poddisruptionbudgets"
        kinds += ",networkpolicies,clusterroles,clusterrolebindings,crd,secrets"
        selector = "app.kubernetes.io/instance=tried"
        names = cluster.kubectl("get", kinds, "-A", "-l", selector, "-o", "name")
        return set(names.split())

    definition = f"customresourcedefinition.apiextensions.k8s.io/{CRD}"
    first = there()
    deployment = "deployment.apps/tried-observatory-operator-controller-manager"
    assert {definition, deployment} < first
    values = ("--set", "networkPolicy.enabled=true,metrics.enabled=false", "--wait")
    helm("upgrade", "tried", chart, "-n", release, *values, kubeconfig=cluster.kubeconfig)
    second = there()
    assert {name for name in second - first if "networkpolicy" not in name} == set()
    assert all("metrics" in name for name in first - second)
    assert first - second
    helm("rollback", "tried", "1", "-n", release, "--wait", kubeconfig=cluster.kubeconfig)
    assert there() == first
    helm("uninstall", "tried", "-n", release, "--wait", kubeconfig=cluster.kubeconfig)
    assert there() == {definition}


@pytest.mark.integration
def test_it_takes_over_what_kustomize_has_installed(cluster: Cluster, chart: Path) -> None:
    text = cluster.kubectl("kustomize", str(ROOT / "manifests/default"))
    with cluster.namespace(SYSTEM):  # empty: what is to be taken over there is installed anew
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)
        cluster.kubectl("delete", "deployment", "-n", SYSTEM, "--all")
        flags = ("--take-ownership", "--force-conflicts", "--wait", "--timeout", "2m")
        helm("install", NAME, chart, "-n", SYSTEM, *flags, kubeconfig=cluster.kubeconfig)
        helm("uninstall", NAME, "-n", SYSTEM, "--wait", kubeconfig=cluster.kubeconfig)
        selector = f"app.kubernetes.io/name={NAME}"
        kinds = "all,roles,rolebindings,clusterroles,clusterrolebindings,serviceaccounts"
        assert cluster.kubectl("get", kinds, "-n", SYSTEM, "-l", selector, "-o", "name") == ""
        cluster.kubectl("delete", "namespace", SYSTEM)  # others will want it: wait for its end


def of_kind(documents: list[JsonObject], kind: str) -> list[JsonObject]:
    return [document for document in documents if document["kind"] == kind]
