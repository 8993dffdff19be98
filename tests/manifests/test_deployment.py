"""What the hand-written manifests promise to a cluster's administrator."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from observatory.api.names import OBSERVATORIES
from observatory.api.rbac import WEBHOOK_CONFIGURATION
from observatory.runtime.webhook import CONFIGURATION, PATH

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
KUSTOMIZATIONS = sorted(
    path for path in MANIFESTS.rglob("*") if path.stem.lower() == "kustomization"
)


def load(path: str) -> Any:  # noqa: ANN401
    return yaml.safe_load((MANIFESTS / path).read_text())


def pod() -> Any:  # noqa: ANN401
    return load("manager/manager.yaml")["spec"]["template"]["spec"]


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_a_kustomization_lists_all_that_is_beside_it(path: Path) -> None:
    kustomization = yaml.safe_load(path.read_text())
    listed = kustomization["resources"] + kustomization.get("configurations", [])
    beside = {file.name for file in path.parent.glob("*.yaml")} - {path.name}
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


def test_the_webhook_is_where_its_configuration_says() -> None:
    (container,) = pod()["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert f"--webhook-port={ports['webhook']}" in container["args"]
    service = load("webhook/service.yaml")
    (port,) = service["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (443, "webhook")
    configuration = load("webhook/configuration.yaml")
    assert configuration["metadata"]["name"] == WEBHOOK_CONFIGURATION
    (webhook,) = configuration["webhooks"]
    assert webhook["clientConfig"] == {
        "service": {**only(service["metadata"], "name", "namespace"), "path": PATH}
    }
    (rule,) = webhook["rules"]
    assert (rule["apiGroups"], rule["apiVersions"], rule["resources"]) == (
        [OBSERVATORIES.group],
        [OBSERVATORIES.version],
        [OBSERVATORIES.plural],
    )
    labels = load("manager/manager.yaml")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def only(mapping: Any, *keys: str) -> Any:  # noqa: ANN401
    return {key: mapping[key] for key in keys}


def test_the_webhook_keeps_nobody_from_working() -> None:
    (webhook,) = load("webhook/configuration.yaml")["webhooks"]
    assert (webhook["failurePolicy"], webhook["sideEffects"]) == ("Ignore", "None")
    assert (webhook["timeoutSeconds"], webhook["matchPolicy"]) == (5, "Equivalent")
    (rule,) = webhook["rules"]
    assert rule["operations"] == ["CREATE", "UPDATE"]
    (expression,) = webhook["namespaceSelector"]["matchExpressions"]
    own = load("default/kustomization.yaml")["namespace"]
    assert (expression["operator"], expression["values"]) == ("NotIn", ["kube-system", own])


def built(folder: Path) -> dict[tuple[str, str], Any]:
    """What kustomize makes of a folder, by kind and name."""
    done = subprocess.run(
        [ROOT / "hack" / "kubectl", "kustomize", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    objects = yaml.safe_load_all(done.stdout)
    return {(each["kind"], each["metadata"]["name"]): each for each in objects}


def test_kustomize_names_the_webhook_the_same_everywhere() -> None:
    objects = built(MANIFESTS / "default")
    configuration = objects["ValidatingWebhookConfiguration", CONFIGURATION]
    service = configuration["webhooks"][0]["clientConfig"]["service"]
    assert ("Service", service["name"]) in objects
    assert service["namespace"] == "observatory-operator-system"
    role = objects["ClusterRole", "observatory-operator-webhook-role"]
    assert role["rules"][0]["resourceNames"] == [CONFIGURATION]


def test_with_cert_manager_the_operator_registers_nothing(tmp_path: Path) -> None:
    parts = {"resources": MANIFESTS / "default", "components": MANIFESTS / "certmanager"}
    overlay = {field: [os.path.relpath(path, tmp_path.resolve())] for field, path in parts.items()}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    objects = built(tmp_path)
    assert not [name for _, name in objects if "webhook-role" in name]
    deployment = objects["Deployment", "observatory-operator-controller-manager"]
    template = deployment["spec"]["template"]["spec"]
    (container,) = template["containers"]
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "webhook-certs"]
    assert f"--webhook-cert-path={mount['mountPath']}" in container["args"]
    certificate = objects["Certificate", "observatory-operator-serving-cert"]["spec"]
    (volume,) = [each for each in template["volumes"] if each["name"] == "webhook-certs"]
    assert volume["secret"]["secretName"] == certificate["secretName"]
    configuration = objects["ValidatingWebhookConfiguration", CONFIGURATION]
    service = configuration["webhooks"][0]["clientConfig"]["service"]
    assert f"{service['name']}.{service['namespace']}.svc" in certificate["dnsNames"]
    assert configuration["metadata"]["annotations"] == {
        "cert-manager.io/inject-ca-from": (
            "observatory-operator-system/observatory-operator-serving-cert"
        )
    }
    assert ("Issuer", certificate["issuerRef"]["name"]) in objects


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
        ("webhook_role_binding.yaml", "webhook_role.yaml"),
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
