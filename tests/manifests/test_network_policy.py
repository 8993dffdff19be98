"""What the network policies let through."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from observatory.api.names import LABEL_TASK

MANIFESTS = Path(__file__).parents[2] / "manifests"
POLICIES = sorted(
    path for path in (MANIFESTS / "network-policy").glob("*.yaml") if path.stem != "kustomization"
)


def load(path: str) -> Any:  # noqa: ANN401
    return yaml.safe_load((MANIFESTS / path).read_text())


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_a_policy_is_about_the_operators_pods_and_no_others(path: Path) -> None:
    policy = yaml.safe_load(path.read_text())
    assert policy["metadata"]["name"] == path.stem
    labels = load("manager/manager.yaml")["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"] == {"matchLabels": labels}


def test_nothing_passes_that_no_other_policy_lets_through() -> None:
    spec = load("network-policy/default-deny.yaml")["spec"]
    assert spec.keys() == {"podSelector", "policyTypes"}
    assert spec["policyTypes"] == ["Ingress", "Egress"]


def test_the_operator_reaches_the_api_server_and_dns() -> None:
    rules = load("network-policy/allow-egress.yaml")["spec"]["egress"]
    assert [(port["protocol"], port["port"]) for rule in rules for port in rule["ports"]] == [
        ("TCP", 443),
        ("TCP", 6443),
        ("UDP", 53),
        ("TCP", 53),
    ]


def test_metrics_are_read_from_namespaces_that_are_named() -> None:
    (rule,) = load("network-policy/allow-metrics-traffic.yaml")["spec"]["ingress"]
    (service,) = load("manager/metrics_service.yaml")["spec"]["ports"]
    assert rule == {
        "from": [{"namespaceSelector": {"matchLabels": {"metrics": "enabled"}}}],
        "ports": [{"protocol": "TCP", "port": service["port"]}],
    }


def test_the_webhook_is_called_from_anywhere() -> None:
    # The API server is in no namespace that could be named.
    (rule,) = load("network-policy/allow-webhook-traffic.yaml")["spec"]["ingress"]
    assert rule == {"ports": [{"protocol": "TCP", "port": 9443}]}


def test_the_sample_keeps_tasks_from_the_metadata_service_and_from_nothing_else() -> None:
    spec = load("samples/network-policy/tasks-without-metadata.yaml")["spec"]
    assert spec["podSelector"] == {"matchExpressions": [{"key": LABEL_TASK, "operator": "Exists"}]}
    assert spec["policyTypes"] == ["Egress"]
    pods, world = spec["egress"]
    assert pods == {"to": [{"namespaceSelector": {}}]}
    assert world == {
        "to": [
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}},
            {"ipBlock": {"cidr": "::/0", "except": ["fd00:ec2::254/128"]}},
        ]
    }
