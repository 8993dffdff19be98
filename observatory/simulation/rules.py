"""What the real API server does to objects on their way into storage, resource by resource.

`tests/integration/test_fake_is_honest.py` holds each rule against a real one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from observatory.api.names import (
    CONTROLLER_REVISIONS,
    EVENTS,
    LEASES,
    NAMESPACES,
    PODS,
    Key,
    Resource,
)
from observatory.api.types import JsonObject
from observatory.kube.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    ServerError,
)
from observatory.simulation.storage import copied

DEFAULT_GRACE_SECONDS = 30
_NAME_LENGTH = 253
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
# What an update may change in the spec of a Pod, gates apart.
_MUTABLE_POD_FIELDS = ("activeDeadlineSeconds", "tolerations", "schedulingGates")
# Kept from what is stored, whatever an update says.
_SERVER_METADATA = (
    "uid",
    "name",
    "namespace",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a resource differs from the others."""

    has_status: bool = False  # a status subresource
    has_generation: bool = False
    unconditional_update: bool = True  # a PUT without resourceVersion is accepted
    create_on_update: bool = False  # a PUT of what is not there creates it
    custom: bool = False


_BUILT_IN = {
    PODS: Behaviour(has_status=True, has_generation=True),
    NAMESPACES: Behaviour(has_status=True),
    CONTROLLER_REVISIONS: Behaviour(),
    EVENTS: Behaviour(create_on_update=True),
    LEASES: Behaviour(unconditional_update=False, create_on_update=True),
}
_CUSTOM = Behaviour(has_status=True, has_generation=True, unconditional_update=False, custom=True)


def behaviour(resource: Resource) -> Behaviour:
    """How a resource behaves; one that is not built in is a custom one."""
    return _BUILT_IN.get(resource, _CUSTOM)


def prepared_for_create(resource: Resource, namespace: str, body: JsonObject) -> JsonObject:
    """The object without what a client may not set, or the reason why not."""
    item = copied(body)
    metadata = item.setdefault("metadata", {})
    name = str(metadata.get("name") or "")
    if metadata.setdefault("namespace", namespace) != namespace:
        raise BadRequest(400, "BadRequest", "the namespace of the object does not match the URL")
    if not namespace:
        del metadata["namespace"]
    if metadata.get("resourceVersion"):
        raise ServerError(
            500, "InternalError", "resourceVersion should not be set on objects to be created"
        )
    if not _SUBDOMAIN.match(name) or len(name) > _NAME_LENGTH:
        raise invalid(resource, name, f'metadata.name: Invalid value: "{name}"')
    item |= {"apiVersion": resource.api_version, "kind": resource.kind}
    rules = behaviour(resource)
    if rules.has_status:
        item.pop("status", None)
    for field in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
        metadata.pop(field, None)
    if rules.has_generation:
        metadata["generation"] = 1
    if resource == PODS:
        _prepare_pod(item)
    return item


def _prepare_pod(pod: JsonObject) -> None:
    spec = pod.get("spec") or {}
    name = pod["metadata"]["name"]
    if not spec.get("containers"):
        raise invalid(PODS, name, "spec.containers: Required value")
    if spec.get("schedulingGates") and spec.get("nodeName"):
        raise invalid(
            PODS, name, "spec.nodeName: Forbidden: cannot be set until all gates are cleared"
        )
    spec.setdefault("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
    status: JsonObject = {"phase": "Pending", "qosClass": "BestEffort"}
    if spec.get("schedulingGates"):
        status["conditions"] = [
            {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
        ]
    pod["status"] = status


def prepared_for_update(
    resource: Resource, old: JsonObject, body: JsonObject, subresource: str | None
) -> JsonObject:
    """What would be stored: the parts of the body that this endpoint may change."""
    new = copied(body)
    name = old["metadata"]["name"]
    metadata = new.setdefault("metadata", {})
    if metadata.get("name", name) != name:
        raise BadRequest(400, "BadRequest", "the name of the object does not match the URL")
    rules = behaviour(resource)
    _check_preconditions(resource, old, metadata)
    for field in _SERVER_METADATA:
        _copy(old["metadata"], metadata, field)
    new |= {"apiVersion": resource.api_version, "kind": resource.kind}
    if subresource == "status":
        kept = copied(old)
        _copy(new, kept, "status")
        if not rules.custom:  # built-in kinds let a status update change labels and the like
            owners = kept["metadata"].get("ownerReferences")
            kept["metadata"] = metadata | ({"ownerReferences": owners} if owners else {})
        return kept
    if rules.has_status:
        _copy(old, new, "status")
    _check_change(resource, old, new)
    if rules.has_generation and _desired(new) != _desired(old):
        metadata["generation"] = old["metadata"]["generation"] + 1
    return new


def _copy(source: JsonObject, target: JsonObject, field: str) -> None:
    if field in source:
        target[field] = source[field]
    else:
        target.pop(field, None)


def _desired(item: JsonObject) -> JsonObject:
    return {key: value for key, value in item.items() if key not in {"metadata", "status"}}


def _check_preconditions(resource: Resource, old: JsonObject, metadata: JsonObject) -> None:
    name = old["metadata"]["name"]
    version = metadata.get("resourceVersion")
    if not version and not behaviour(resource).unconditional_update:
        raise invalid(resource, name, "metadata.resourceVersion: must be specified for an update")
    if metadata.get("uid") and metadata["uid"] != old["metadata"]["uid"]:
        raise conflict(resource, name, "Precondition failed: UID in precondition")
    if version and version != old["metadata"]["resourceVersion"]:
        raise conflict(resource, name, "the object has been modified; please apply your changes")


def _check_change(resource: Resource, old: JsonObject, new: JsonObject) -> None:
    name = old["metadata"]["name"]
    before = set(old["metadata"].get("finalizers") or ())
    after = set(new["metadata"].get("finalizers") or ())
    if old["metadata"].get("deletionTimestamp") and after - before:
        raise invalid(
            resource, name, "metadata.finalizers: Forbidden: no new finalizers can be added"
        )
    if resource == CONTROLLER_REVISIONS and new.get("data") != old.get("data"):
        raise invalid(resource, name, "data: Forbidden: is immutable")
    if resource == PODS:
        _check_pod_change(name, old["spec"], new.get("spec") or {})


def _check_pod_change(name: str, old: JsonObject, new: JsonObject) -> None:
    gates = {gate["name"] for gate in old.get("schedulingGates") or ()}
    if added := {gate["name"] for gate in new.get("schedulingGates") or ()} - gates:
        raise invalid(
            PODS, name, f"spec.schedulingGates: Forbidden: only deletion is allowed: {added}"
        )
    if _fixed(old) != _fixed(new):
        raise invalid(PODS, name, "spec: Forbidden: pod updates may not change fields other than")


def _fixed(spec: JsonObject) -> JsonObject:
    fixed = {key: value for key, value in spec.items() if key not in _MUTABLE_POD_FIELDS}
    fixed["containers"] = [
        {key: value for key, value in container.items() if key != "image"}
        for container in spec.get("containers") or ()
    ]
    return fixed


def emptied(item: JsonObject) -> bool:
    """Whether an object that is being deleted waits for nothing any more."""
    metadata = item["metadata"]
    return bool(
        metadata.get("deletionTimestamp")
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
    )


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What a DELETE may say beside what it deletes."""

    uid: str | None = None
    version: str | None = None
    grace: int | None = None

    def params(self) -> dict[str, str]:
        """What is shown of them where requests are told."""
        told = {"uid": self.uid, "resourceVersion": self.version, "gracePeriodSeconds": self.grace}
        return {name: str(value) for name, value in told.items() if value is not None}

    def met_by(self, metadata: JsonObject) -> bool:
        """Whether the preconditions hold."""
        return self.uid in {None, metadata["uid"]} and self.version in {
            None,
            metadata["resourceVersion"],
        }


PLAINLY = DeleteOptions()


def grace_seconds(resource: Resource, item: JsonObject, asked: int | None = None) -> int:
    """How long a deletion waits for the kubelet."""
    if resource != PODS or not item["spec"].get("nodeName"):
        return 0
    if item.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
        return 0
    return int(item["spec"]["terminationGracePeriodSeconds"] if asked is None else asked)


def details(resource: Resource, name: str) -> JsonObject:
    """The `details` of a Status about an object."""
    kind = resource.plural
    return {"name": name, "kind": kind, **({"group": resource.group} if resource.group else {})}


def invalid(resource: Resource, name: str, message: str) -> ApiError:
    """422."""
    text = f'{resource.kind} "{name}" is invalid: {message}'
    return Invalid(422, "Invalid", text, details(resource, name))


def conflict(resource: Resource, name: str, message: str) -> ApiError:
    """409, for a version or UID that is not the stored one."""
    text = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {message}'
    return Conflict(409, "Conflict", text, details(resource, name))


def not_found(resource: Resource, name: str) -> ApiError:
    """404."""
    text = f'{resource.qualified} "{name}" not found'
    return NotFound(404, "NotFound", text, details(resource, name))


def already_exists(resource: Resource, name: str) -> ApiError:
    """409, for a name that is taken."""
    text = f'{resource.qualified} "{name}" already exists'
    return AlreadyExists(409, "AlreadyExists", text, details(resource, name))


def terminating(resource: Resource, key: Key) -> ApiError:
    """403, for a namespace that is being deleted."""
    text = (
        f'{resource.qualified} "{key.name}" is forbidden: unable to create new content in '
        f"namespace {key.namespace} because it is being terminated"
    )
    cause = {"reason": "NamespaceTerminating", "field": "metadata.namespace"}
    return Forbidden(403, "Forbidden", text, {**details(resource, key.name), "causes": [cause]})
