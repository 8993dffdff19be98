"""Names, namespaces and labels: what depends on the release in any object."""

from __future__ import annotations

import re
from typing import Any

from .tokens import Object, value

CHART = "observatory-operator"
FULL_NAME = f'include "{CHART}.fullname" $'
NAMESPACE = "$.Release.Namespace"
INSTANCE = {"app.kubernetes.io/instance": value("$.Release.Name")}
LABELS = {
    "helm.sh/chart": value(f'include "{CHART}.chart" $'),
    **INSTANCE,
    "app.kubernetes.io/version": value("$.Chart.AppVersion"),
}

_NAMESPACE = re.compile(rf"\b{CHART}-system\b")
_PREFIX = re.compile(rf"\b{CHART}-(?=[a-z])")
_SELECTOR = {"control-plane": "controller-manager", "app.kubernetes.io/name": CHART}


def of_release(document: Object) -> Object:
    """The object with the names, the namespace and the labels of a release."""
    found: Object = _replaced(document)
    labels = found["metadata"].get("labels") or {}
    labels["app.kubernetes.io/managed-by"] = value("$.Release.Service")
    found["metadata"]["labels"] = {**labels, **LABELS}
    return found


def _replaced(node: Any) -> Any:  # noqa: ANN401
    """Names anywhere; and wherever the operator's Pods are named, those of a release."""
    if isinstance(node, dict):
        found = {key: _replaced(item) for key, item in node.items()}
        return found | INSTANCE if found.items() >= _SELECTOR.items() else found
    if isinstance(node, list):
        return [_replaced(item) for item in node]
    if isinstance(node, str):
        return _PREFIX.sub(f"{value(FULL_NAME)}-", _NAMESPACE.sub(value(NAMESPACE), node))
    return node
