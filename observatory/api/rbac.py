"""What the operator may do, and why: the one table behind its roles.

Not here, and never: Secrets, nodes, Pod logs and exec, roles, impersonation, wildcards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from observatory.api.names import (
    CONTROLLER_REVISIONS,
    EVENTS,
    LEASES,
    LOCAL_SUBJECT_ACCESS_REVIEWS,
    OBSERVATORIES,
    OPERATE,
    PODS,
    SUBJECT_ACCESS_REVIEWS,
    TOKEN_REVIEWS,
    VALIDATING_WEBHOOKS,
    Resource,
)
from observatory.api.types import JsonObject

LABELS = {
    "app.kubernetes.io/name": "observatory-operator",
    "app.kubernetes.io/managed-by": "kustomize",
}


@dataclass(frozen=True, slots=True)
class Permission:
    """Some verbs on one resource, or on those objects of it, and what they are needed for."""

    resource: Resource
    verbs: tuple[str, ...]
    reason: str
    subresource: str = ""
    names: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The resource as a rule of a role names it."""
        plural = self.resource.plural
        return f"{plural}/{self.subresource}" if self.subresource else plural


OPERATOR = (
    Permission(
        OBSERVATORIES,
        ("create", "delete", "get", "list", "patch", "watch"),
        "reads what is to be run; creates the runs of schedules, deletes what is kept no longer, "
        "patches its own finalizers and the annotations of runs",
    ),
    Permission(
        OBSERVATORIES,
        (OPERATE,),
        "is told from others by the admission policies, as approve and sign are; no request has it",
    ),
    Permission(
        OBSERVATORIES,
        ("update",),
        "writes what has happened; every decision is such a write",
        "status",
    ),
    Permission(
        OBSERVATORIES,
        ("update",),
        "makes Pods whose owner is deleted after them, where clusters check that",
        "finalizers",
    ),
    Permission(
        PODS,
        ("create", "delete", "get", "list", "patch", "watch"),
        "runs the tasks; patches remove its own gate and finalizer",
    ),
    Permission(
        CONTROLLER_REVISIONS,
        ("create", "delete", "get", "list", "patch"),
        "pins each run to the tasks it began with",
    ),
    Permission(
        LOCAL_SUBJECT_ACCESS_REVIEWS,
        ("create",),
        "asks, before a run of a schedule begins, whether who asked for it may still create Pods",
    ),
    Permission(EVENTS, ("create", "patch"), "tells people what it does"),
)
"""In each namespace it watches, or in all of them."""

LEADER_ELECTION = (Permission(LEASES, ("create", "get", "patch"), "elects a leader"),)
"""In its own namespace only."""

METRICS_AUTH = (
    Permission(TOKEN_REVIEWS, ("create",), "learns whose token a scraper brings"),
    Permission(SUBJECT_ACCESS_REVIEWS, ("create",), "learns whether that one may read /metrics"),
)
"""Cluster-wide, for --metrics-secure only."""

WEBHOOK_CONFIGURATION = "validating-webhook-configuration"
"""As manifests/webhook names it; kustomize puts its prefix before it, here as there."""

WEBHOOK = (
    Permission(
        VALIDATING_WEBHOOKS,
        ("get", "patch"),
        "tells the API server which certificates its webhook has, and sees that this stays so",
        names=(WEBHOOK_CONFIGURATION,),
    ),
)
"""Cluster-wide, on one object, for --webhook-port without --webhook-cert-path only."""

_HOW_THEY_GO = (
    Permission(OBSERVATORIES, ("get",), "sees how they go", "status"),
    Permission(CONTROLLER_REVISIONS, ("get", "list"), "sees what a run is pinned to"),
)
VIEWER = (
    Permission(OBSERVATORIES, ("get", "list", "watch"), "sees workflows"),
    *_HOW_THEY_GO,
)
EDITOR = (
    Permission(
        OBSERVATORIES,
        ("create", "delete", "get", "list", "patch", "update", "watch"),
        "writes workflows, and asks for runs, retries and stops",
    ),
    *_HOW_THEY_GO,
)
"""Whoever may write workflows runs containers with them: see `role_manifests`."""
ADMIN = (
    Permission(
        OBSERVATORIES,
        ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"),
        "the same, and deletes all of a namespace at once",
    ),
    *_HOW_THEY_GO,
)


def rules(permissions: Sequence[Permission]) -> list[JsonObject]:
    """The rules of a role that has these permissions and no others."""
    return [
        {
            "apiGroups": [permission.resource.group],
            "resources": [permission.target],
            "verbs": list(permission.verbs),
            **({"resourceNames": list(permission.names)} if permission.names else {}),
        }
        for permission in permissions
    ]


def role_manifests() -> dict[str, JsonObject]:
    """The roles, by the name of their file.

    Viewers are aggregated into `view`, and so into `edit` and `admin`, admins into `admin`. The
    editor role is aggregated into nothing: who gets it is to be decided, since whoever writes a
    workflow has its Pods run, with whatever Secrets they name.
    """
    return {
        "role.yaml": _role("ClusterRole", "manager-role", OPERATOR),
        "leader_election_role.yaml": _role("Role", "leader-election-role", LEADER_ELECTION),
        "metrics_auth_role.yaml": _role("ClusterRole", "metrics-auth-role", METRICS_AUTH),
        "metrics_reader_role.yaml": _reader(),
        "webhook_role.yaml": _role("ClusterRole", "webhook-role", WEBHOOK),
        "observatory_viewer_role.yaml": _role(
            "ClusterRole", "observatory-viewer-role", VIEWER, "view"
        ),
        "observatory_editor_role.yaml": _role("ClusterRole", "observatory-editor-role", EDITOR),
        "observatory_admin_role.yaml": _role(
            "ClusterRole", "observatory-admin-role", ADMIN, "admin"
        ),
    }


def _role(
    kind: str, name: str, permissions: Sequence[Permission], aggregate_to: str = ""
) -> JsonObject:
    labels = dict(LABELS)
    if aggregate_to:
        labels[f"rbac.authorization.k8s.io/aggregate-to-{aggregate_to}"] = "true"
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": labels},
        "rules": rules(permissions),
    }


def _reader() -> JsonObject:
    """The role of those who may read /metrics."""
    reader = _role("ClusterRole", "metrics-reader", ())
    return reader | {"rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]}
