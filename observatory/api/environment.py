"""What Kubernetes asks of environment variables beyond their structure.

The API server would refuse the Pod; here the error names the field of the Observatory instead.
"""

from __future__ import annotations

import re

from observatory.api.fielderrors import (
    FieldError,
    did_you_mean,
    forbidden,
    not_found,
    unsupported,
)
from observatory.api.types import JsonObject

FIELD_PATHS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['[^']+'\]\Z")
_HUGE_PAGES = re.compile(r"(limits|requests)\.hugepages-[A-Za-z0-9.]+\Z")


def check_variable(variable: JsonObject, path: str) -> list[FieldError]:
    """What is wrong with one item of `env`, whatever its structure."""
    source = variable.get("valueFrom")
    if not isinstance(source, dict):
        return []
    path = f"{path}.valueFrom"
    errors = []
    if variable.get("value"):
        errors.append(forbidden(path, 'may not be specified when "value" is not empty'))
    errors += _check_field(source.get("fieldRef"), f"{path}.fieldRef")
    errors += _check_resource(source.get("resourceFieldRef"), f"{path}.resourceFieldRef")
    errors += _check_file(source.get("fileKeyRef"), f"{path}.fileKeyRef")
    return errors


def _check_field(reference: object, path: str) -> list[FieldError]:
    if not isinstance(reference, dict):
        return []
    errors = []
    version = reference.get("apiVersion")
    if isinstance(version, str) and version not in ("", "v1"):
        errors.append(unsupported(f"{path}.apiVersion", version, ["v1"]))
    field = reference.get("fieldPath")
    if isinstance(field, str) and field not in ("", *FIELD_PATHS) and not _SUBSCRIPT.match(field):
        supported = (*FIELD_PATHS, "metadata.labels['KEY']", "metadata.annotations['KEY']")
        hint = did_you_mean(field, FIELD_PATHS)
        errors.append(unsupported(f"{path}.fieldPath", field, supported, hint))
    return errors


def _check_resource(reference: object, path: str) -> list[FieldError]:
    resource = reference.get("resource") if isinstance(reference, dict) else None
    if not isinstance(resource, str) or resource in ("", *RESOURCES) or _HUGE_PAGES.match(resource):
        return []
    hint = did_you_mean(resource, RESOURCES)
    return [unsupported(f"{path}.resource", resource, RESOURCES, hint)]


def _check_file(reference: object, path: str) -> list[FieldError]:
    volume = reference.get("volumeName") if isinstance(reference, dict) else None
    if not isinstance(volume, str) or not volume:
        return []
    return [not_found(f"{path}.volumeName", volume, "tasks have no volumes in this version")]
