"""What the hand-written manifests promise to a cluster's administrator."""

from pathlib import Path
from typing import Any

import pytest
import yaml

MANIFESTS = Path(__file__).parents[2] / "manifests"
KUSTOMIZATIONS = sorted(
    path for path in MANIFESTS.rglob("*") if path.stem.lower() == "kustomization"
)


def load(path: str) -> Any:  # noqa: ANN401
    return yaml.safe_load((MANIFESTS / path).read_text())


def pod() -> Any:  # noqa: ANN401
    return load("manager/manager.yaml")["spec"]["template"]["spec"]


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_a_kustomization_lists_all_that_is_beside_it(path: Path) -> None:
    listed = yaml.safe_load(path.read_text())["resources"]
    beside = {file.name for file in path.parent.glob("*.yaml")} - {
        path.name,
        "kustomizeconfig.yaml",
    }
    if beside:
        assert set(listed) == beside
    for resource in listed:
        assert (path.parent / resource).exists()


def test_the_definition_can_be_applied_without_kustomize() -> None:
    # kubectl takes every .yaml of a directory, and a Kustomization is no object.
    assert [path.suffix for path in (MANIFESTS / "crd").iterdir() if path.suffix] == [".yaml"]


def test_the_namespace_enforces_what_the_deployment_keeps() -> None:
    labels = load("manager/namespace.yaml")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert load("default/kustomization.yaml")["namespace"] == "observatory-operator-system"
    assert pod()["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = pod()["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_temporary_files_can_be_written_and_stay_in_memory() -> None:
    (container,) = pod()["containers"]
    assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 -- in the container
    assert pod()["volumes"] == [
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}
    ]


def test_ports_probes_and_flags_agree() -> None:
    (container,) = pod()["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert f"--metrics-bind-address=:{ports['https']}" in container["args"]
    assert "--metrics-secure" in container["args"]
    assert f"--health-probe-bind-address=:{ports['health']}" in container["args"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    (port,) = load("manager/metrics_service.yaml")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (ports["https"], "https")
    (endpoint,) = load("prometheus/monitor.yaml")["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["scheme"], endpoint["honorLabels"]) == (
        "https",
        "https",
        True,
    )


def test_labels_lead_from_the_service_to_the_pods() -> None:
    deployment = load("manager/manager.yaml")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    for selector in (
        deployment["selector"]["matchLabels"],
        load("manager/metrics_service.yaml")["spec"]["selector"],
    ):
        assert selector.items() <= labels.items()
    monitor = load("prometheus/monitor.yaml")["spec"]["selector"]["matchLabels"]
    assert monitor.items() <= load("manager/metrics_service.yaml")["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("binding", "role"),
    [
        ("role_binding.yaml", "role.yaml"),
        ("leader_election_role_binding.yaml", "leader_election_role.yaml"),
        ("metrics_auth_role_binding.yaml", "metrics_auth_role.yaml"),
    ],
)
def test_a_binding_gives_the_role_to_the_deployments_account(binding: str, role: str) -> None:
    bound, given = load(f"rbac/{binding}"), load(f"rbac/{role}")
    assert bound["roleRef"]["name"] == given["metadata"]["name"]
    assert bound["roleRef"]["kind"] == given["kind"]
    (subject,) = bound["subjects"]
    account = load("rbac/service_account.yaml")["metadata"]
    assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])
    assert pod()["serviceAccountName"] == account["name"]


OPERATOR = {"control-plane": "controller-manager", "app.kubernetes.io/name": "observatory-operator"}


def test_a_replica_stands_by_and_another_is_ready_before_one_is_stopped() -> None:
    deployment = load("manager/manager.yaml")["spec"]
    (container,) = pod()["containers"]
    assert deployment["replicas"] == 2
    assert "--leader-elect" in container["args"]
    assert deployment["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }


def test_replicas_are_spread_where_that_is_possible_and_only_there() -> None:
    spread = pod()["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    for each in spread:
        assert each["whenUnsatisfiable"] == "ScheduleAnyway"
        assert each["labelSelector"]["matchLabels"] == OPERATOR
        # Else a roll-out would be spread against the Pods that it replaces.
        assert each["matchLabelKeys"] == ["pod-template-hash"]


def test_a_drain_takes_one_replica_and_is_never_held_up() -> None:
    budget = load("manager/pod_disruption_budget.yaml")["spec"]
    assert budget == {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": OPERATOR},
    }


def test_memory_is_limited_and_time_is_not() -> None:
    (container,) = pod()["containers"]
    assert container["resources"].keys() == {"requests", "limits"}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    # A throttled leader would lose its lease.
    assert container["resources"]["limits"].keys() == {"memory"}
