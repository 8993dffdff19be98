import pytest

from observatory.api.names import CONTROLLER_REVISIONS, OBSERVATORIES, OPERATE
from observatory.api.rbac import (
    ADMIN,
    EDITOR,
    LEADER_ELECTION,
    OPERATOR,
    VIEWER,
    WEBHOOK,
    Permission,
    role_manifests,
)

ALL = (*OPERATOR, *LEADER_ELECTION, *VIEWER, *EDITOR, *ADMIN, *WEBHOOK)


@pytest.mark.parametrize("permission", ALL, ids=lambda permission: permission.target)
def test_no_permission_is_wider_than_its_name(permission: Permission) -> None:
    assert permission.resource.plural not in {"secrets", "nodes", "serviceaccounts", "configmaps"}
    assert "*" not in (permission.target, permission.resource.group, *permission.verbs)
    assert not {"escalate", "bind", "impersonate"} & set(permission.verbs)
    assert permission.subresource in {"", "status", "finalizers"}
    assert permission.reason


def test_the_operator_creates_and_deletes_runs_and_never_replaces_what_a_user_wrote() -> None:
    verbs: dict[str, set[str]] = {}
    for permission in OPERATOR:
        if permission.resource == OBSERVATORIES:
            verbs.setdefault(permission.target, set()).update(permission.verbs)
    assert verbs == {
        "observatories": {"create", "delete", "get", "list", "operate", "patch", "watch"},
        "observatories/status": {"update"},
        "observatories/finalizers": {"update"},
    }


@pytest.mark.parametrize("permissions", [VIEWER, EDITOR, ADMIN])
def test_people_never_write_status_and_never_touch_pods(
    permissions: tuple[Permission, ...],
) -> None:
    resources = {permission.resource for permission in permissions}
    assert resources == {OBSERVATORIES, CONTROLLER_REVISIONS}
    status = [permission for permission in permissions if permission.subresource == "status"]
    assert [permission.verbs for permission in status] == [("get",)]
    of_revisions = [each.verbs for each in permissions if each.resource == CONTROLLER_REVISIONS]
    assert of_revisions == [("get", "list")]
    assert not any(OPERATE in permission.verbs for permission in permissions)


def test_editing_is_not_given_to_everybody_who_may_edit() -> None:
    roles = role_manifests()
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    given = {
        file: [
            label.removeprefix(prefix) for label in role["metadata"]["labels"] if prefix in label
        ]
        for file, role in roles.items()
    }
    assert given == {
        "role.yaml": [],
        "leader_election_role.yaml": [],
        "metrics_auth_role.yaml": [],
        "metrics_reader_role.yaml": [],
        "webhook_role.yaml": [],
        "observatory_viewer_role.yaml": ["view"],
        "observatory_editor_role.yaml": [],
        "observatory_admin_role.yaml": ["admin"],
    }


def test_the_lease_is_written_in_one_namespace_only() -> None:
    role = role_manifests()["leader_election_role.yaml"]
    assert role["kind"] == "Role"
    assert role["rules"] == [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["create", "get", "patch"],
        }
    ]


def test_certificates_are_registered_in_one_object_only() -> None:
    role = role_manifests()["webhook_role.yaml"]
    assert role["rules"] == [
        {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["validatingwebhookconfigurations"],
            "verbs": ["get", "patch"],
            "resourceNames": ["validating-webhook-configuration"],
        }
    ]
