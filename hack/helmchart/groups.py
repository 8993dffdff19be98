"""Which values turn an object on, and the folder of its template."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .tokens import Object

ENTIRE = "not $.Values.rbac.namespaced"
"""The operator may have objects that belong to no namespace."""

MUTATING_POLICIES = 'semverCompare ">=1.36.0-0" $.Capabilities.KubeVersion.Version'
"""The API server knows MutatingAdmissionPolicies; what checks their work is of no use without."""

CLUSTER_SCOPED = frozenset(
    {
        "ClusterRole",
        "ClusterRoleBinding",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    }
)

_PEOPLE = ("viewer-role", "editor-role", "admin-role")


@dataclass(frozen=True, slots=True)
class Group:
    """Objects that a value turns on and off together; the first group that takes one has it."""

    folder: str
    takes: Callable[[str, str], bool]
    """By kind and name."""
    conditions: tuple[str, ...] = ()
    switch: str | None = None
    """The key of `values.yaml` that is there only if the group has objects."""


GROUPS = (
    Group("crd", lambda kind, _: kind == "CustomResourceDefinition", ("$.Values.crd.enabled",)),
    Group(
        "network-policy",
        lambda kind, name: kind == "NetworkPolicy" and "webhook" in name,
        ("$.Values.networkPolicy.enabled",),
        "networkPolicy",
    ),
    Group(
        "network-policy",
        lambda kind, name: kind == "NetworkPolicy" and "metrics" in name,
        ("$.Values.networkPolicy.enabled", "$.Values.metrics.enabled"),
        "networkPolicy",
    ),
    Group(
        "network-policy",
        lambda kind, _: kind == "NetworkPolicy",
        ("$.Values.networkPolicy.enabled",),
        "networkPolicy",
    ),
    Group(
        "admission",
        lambda kind, name: "AdmissionPolicy" in kind and name.endswith("requester"),
        ("$.Values.admissionPolicies.enabled", MUTATING_POLICIES),
        "admissionPolicies",
    ),
    Group(
        "admission",
        lambda kind, _: "AdmissionPolicy" in kind,
        ("$.Values.admissionPolicies.enabled",),
        "admissionPolicies",
    ),
    Group(
        "certmanager",
        lambda kind, _: kind in ("Issuer", "Certificate"),
        ("$.Values.webhook.enabled", ENTIRE),  # and certManager, since only a variant has it
        "certManager",
    ),
    Group(
        "webhook",
        lambda kind, name: kind.endswith("WebhookConfiguration") or "webhook" in name,
        ("$.Values.webhook.enabled", ENTIRE),
        "webhook",
    ),
    Group(
        "prometheus",
        lambda kind, _: kind == "ServiceMonitor",
        ("$.Values.prometheus.enabled", "$.Values.metrics.enabled"),
        "prometheus",
    ),
    Group(
        "prometheus",
        lambda kind, _: kind == "PrometheusRule",
        ("$.Values.prometheus.enabled",),
        "prometheus",
    ),
    Group(
        "metrics",
        lambda kind, name: "metrics" in name and kind in CLUSTER_SCOPED,
        ("$.Values.metrics.enabled", "$.Values.metrics.secure"),
    ),
    Group("metrics", lambda _, name: "metrics" in name, ("$.Values.metrics.enabled",)),
    Group(
        "rbac",
        lambda kind, name: kind == "ClusterRole" and name.endswith(_PEOPLE),
        ("$.Values.rbac.userRoles",),
    ),
    Group(
        "manager",
        lambda kind, _: kind == "PodDisruptionBudget",
        ("$.Values.podDisruptionBudget.enabled",),
    ),
    Group("manager", lambda kind, _: kind == "Deployment"),
    Group("rbac", lambda *_: True),
)


def group_of(document: Object) -> Group:
    """The group of an object."""
    kind, name = document["kind"], document["metadata"]["name"]
    return next(group for group in GROUPS if group.takes(kind, name))


def condition(document: Object, *more: str) -> str | None:
    """When the object is there; None is always."""
    conditions = [*group_of(document).conditions, *more]
    if document["kind"] in CLUSTER_SCOPED and ENTIRE not in conditions:
        conditions.append(ENTIRE)
    return conjunction(*conditions) if conditions else None


def conjunction(*conditions: str) -> str:
    """All of them."""
    if len(conditions) == 1:
        return conditions[0]
    return "and " + " ".join(f"({each})" if " " in each else each for each in conditions)
