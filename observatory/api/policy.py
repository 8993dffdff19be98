"""Admission policies and bindings as objects: `admission` and `requester` say what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from observatory.api.names import GROUP, OBSERVATORIES, OPERATE, Resource
from observatory.api.rbac import LABELS
from observatory.api.types import JsonObject

API_VERSION = "admissionregistration.k8s.io/v1"
IS_OPERATOR = (
    f"authorizer.group('{GROUP}').resource('{OBSERVATORIES.plural}')"
    f".namespace(request.namespace).check('{OPERATE}').allowed()"
)
"""Whether whoever writes is an operator, as an expression."""
MUTATING, VALIDATING = "MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"


def policy(kind: str, name: str, rules: list[JsonObject], **spec: Any) -> JsonObject:  # noqa: ANN401 - JSON
    """A policy that refuses a write that it can't judge; empty fields are left out."""
    content = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": rules}, **spec}
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "labels": dict(LABELS)},
        "spec": {field: value for field, value in content.items() if value},
    }


def binding(kind: str, name: str, **spec: Any) -> JsonObject:  # noqa: ANN401 - JSON
    """What puts the policy of that kind and name into force, everywhere."""
    return {
        "apiVersion": API_VERSION,
        "kind": f"{kind}Binding",
        "metadata": {"name": name, "labels": dict(LABELS)},
        "spec": {"policyName": name, **spec},
    }


def on(resource: Resource, *operations: str, subresource: str = "") -> JsonObject:
    """A rule: these operations on this resource, in whatever version."""
    target = f"{resource.plural}/{subresource}" if subresource else resource.plural
    return {
        "apiGroups": [resource.group],
        "apiVersions": ["*"],
        "operations": list(operations),
        "resources": [target],
    }


def named(expressions: Mapping[str, str]) -> list[JsonObject]:
    """Conditions or variables, as a policy lists them."""
    return [{"name": name, "expression": it} for name, it in expressions.items()]


def given(what: str, field: str, else_: str) -> str:
    """A field of the metadata. Server-side apply leaves null where it took everything out."""
    path = f"{what}.metadata.{field}"
    return f"has({path}) && {path} != null ? {path} : {else_}"


def listed(texts: Iterable[str]) -> str:
    """These texts as a list in an expression."""
    return "[" + ", ".join(f"'{text}'" for text in texts) + "]"
