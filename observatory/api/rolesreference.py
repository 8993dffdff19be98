"""The reference of roles, docs/roles.md: from the same table as the roles themselves."""

from __future__ import annotations

from collections.abc import Sequence

from observatory.api.rbac import (
    ADMIN,
    EDITOR,
    LEADER_ELECTION,
    METRICS_AUTH,
    OPERATOR,
    VIEWER,
    WEBHOOK,
    Permission,
)

_INTRODUCTION = """\
# Roles

Every right that `manifests/rbac` gives, to whom, and what for. There is no right to Secrets,
ConfigMaps, nodes, Pod logs, exec, roles or impersonation, and no wildcard. A test compares what the
operator may do with what the audit log of a real API server shows, both ways; another asks it what
each of these roles may do (`kubectl auth can-i --list`), and compares that with this page.
"""

_ROLES: tuple[tuple[str, str, tuple[Permission, ...]], ...] = (
    (
        "manager-role",
        (
            "The operator, in each namespace that it watches: a ClusterRole in "
            "`manifests/default`, a Role in `manifests/namespaced`. `operate` is a verb of no "
            "request: the [admission policies](policies.md) know the operator by it."
        ),
        OPERATOR,
    ),
    ("leader-election-role", "The operator, in its own namespace.", LEADER_ELECTION),
    ("metrics-auth-role", "The operator, cluster-wide, for `--metrics-secure`.", METRICS_AUTH),
    (
        "webhook-role",
        "The operator, on one object, for `--webhook-port` where it makes its certificates itself.",
        WEBHOOK,
    ),
    ("observatory-viewer-role", "People who look. Aggregated into `view`.", VIEWER),
    (
        "observatory-editor-role",
        (
            "People who write workflows. Aggregated into nothing: whoever writes a workflow has "
            "its Pods run, with whatever Secrets of the namespace they name. Bind it to those who "
            "may create Pods, as the built-in `edit` lets them; the admission policies ask for it."
        ),
        EDITOR,
    ),
    ("observatory-admin-role", "Owners of a namespace. Aggregated into `admin`.", ADMIN),
)

_READER = """\
## metrics-reader

Whoever reads metrics, such as Prometheus: `get` on the URL `/metrics`. Bound to nobody.

The names have the prefix `observatory-operator-`, or that of the Helm release.
"""


def roles_reference() -> str:
    """The page, in Markdown."""
    sections = (_section(*role) for role in _ROLES)
    return "\n".join((_INTRODUCTION, *sections, _READER))


def _section(name: str, who: str, permissions: Sequence[Permission]) -> str:
    rows = "\n".join(map(_row, permissions))
    head = "| Resource | Verbs | What for |\n| --- | --- | --- |"
    return f"## {name}\n\n{who}\n\n{head}\n{rows}\n"


def _row(permission: Permission) -> str:
    group = permission.resource.group
    target = f"{permission.target}.{group}" if group else permission.target
    only = f", only `{', '.join(permission.names)}`" if permission.names else ""
    return f"| `{target}`{only} | {', '.join(permission.verbs)} | {permission.reason} |"
