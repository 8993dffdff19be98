"""What must hold of every write, whoever makes it: ValidatingAdmissionPolicies, in the API server.

The operator is whoever RBAC lets `operate` Observatories, a verb of no request, as `approve` and
`sign` are for certificates. So no name of an account is written anywhere, several operators share a
cluster, and an administrator of everything may do what the operator may: clean up after it.

A policy whose conditions or authorizer fail refuses the request. Writes of other objects than ours
cost a look at their metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from observatory.api.names import (
    ANNOTATION_BAGGAGE,
    ANNOTATION_RETRY,
    ANNOTATION_STOP,
    ANNOTATION_TERMINATE,
    ANNOTATION_TRACEPARENT,
    ANNOTATION_TRACESTATE,
    CONTROLLER_REVISIONS,
    GROUP,
    KIND,
    OBSERVATORIES,
    OPERATE,
    PODS,
)
from observatory.api.policy import (
    IS_OPERATOR,
    VALIDATING,
    binding,
    given,
    listed,
    named,
    on,
    policy,
)
from observatory.api.requester import RECORDED, STARTING
from observatory.api.types import JsonObject

ASKING = (
    *STARTING,
    ANNOTATION_STOP,
    ANNOTATION_TERMINATE,
    ANNOTATION_TRACEPARENT,
    ANNOTATION_TRACESTATE,
    ANNOTATION_BAGGAGE,
)
"""Annotations of ours that people may set."""

_PREFIX = f"'{GROUP}/'"
_MAKES_PODS = "authorizer.group('').resource('pods').namespace(request.namespace).check('create')"
_REMEDY = f"leave it as it is (only who may {OPERATE} observatories may write it)"


def policies() -> dict[str, tuple[JsonObject, JsonObject]]:
    """Each policy and its binding, by the name of their file."""
    gates = {"gates": _gates("object"), "gatesBefore": _gates("oldObject")}
    asks = {
        "annotations": _keys("object", "annotations", but=(*ASKING, *RECORDED)),
        "annotationsBefore": _keys("oldObject", "annotations", but=(*ASKING, *RECORDED)),
    }
    return {
        "requesters.yaml": _policy(
            "requesters",
            on(OBSERVATORIES, "CREATE", "UPDATE"),
            conditions={"asks-for-pods": _asks_for_pods()},
            validations=[
                _validation(
                    f"{_MAKES_PODS}.allowed()",
                    "'spec: ' + request.userInfo.username + ' may not create pods in namespace ' "
                    "+ request.namespace + ', and whoever asks for a workflow asks for its Pods; "
                    "bind a role with that right, such as edit'",
                )
            ],
        ),
        "status.yaml": _policy(
            "status",
            on(OBSERVATORIES, "UPDATE", subresource="status"),
            validations=[
                _validation(
                    IS_OPERATOR,
                    "'status: only the operator writes it, and ' + request.userInfo.username + "
                    f"' may not {OPERATE} observatories; leave it alone'",
                )
            ],
        ),
        "observatories.yaml": _policy(
            "observatories",
            on(OBSERVATORIES, "CREATE", "UPDATE"),
            conditions={"not-the-operator": f"!{IS_OPERATOR}"},
            variables=_metadata() | asks,
            validations=[
                *_metadata_kept(),
                _validation(
                    _kept("annotations"),
                    f"'metadata.annotations: those that begin with {GROUP}/ are the operator\\'s, "
                    f"but for those that ask for something, such as {ANNOTATION_RETRY}; {_REMEDY}'",
                ),
            ],
        ),
        "children.yaml": _policy(
            "children",
            on(PODS, "CREATE", "UPDATE"),
            on(CONTROLLER_REVISIONS, "CREATE", "UPDATE"),
            conditions={"ours": _any(_metadata()), "not-the-operator": f"!{IS_OPERATOR}"},
            variables=_metadata(),
            validations=_metadata_kept(),
        ),
        "gates.yaml": _policy(
            "gates",
            on(PODS, "CREATE", "UPDATE"),
            conditions={"ours": _any(gates), "not-the-operator": f"!{IS_OPERATOR}"},
            variables=gates,
            validations=[
                _validation(
                    "variables.gates == variables.gatesBefore",
                    f"'spec.schedulingGates: those that begin with {GROUP}/ are the operator\\'s, "
                    f"which starts a task when its start is in the status; {_REMEDY}'",
                )
            ],
        ),
    }


def _policy(
    name: str,
    *rules: JsonObject,
    validations: Sequence[JsonObject],
    conditions: Mapping[str, str] = MappingProxyType({}),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> tuple[JsonObject, JsonObject]:
    made = policy(
        VALIDATING,
        name,
        list(rules),
        matchConditions=named(conditions),
        variables=named(variables),
        validations=list(validations),
    )
    return made, binding(VALIDATING, name, validationActions=["Deny"])


def _validation(expression: str, message: str) -> JsonObject:
    """A rule; its message is an expression that names the field, the fact and the remedy."""
    return {"expression": expression, "messageExpression": message, "reason": "Forbidden"}


def _metadata() -> dict[str, str]:
    """What an object has of ours in its metadata, and had before; on CREATE it had nothing."""
    parts = {"object": "", "oldObject": "Before"}
    return {
        f"{name}{when}": expression
        for at, when in parts.items()
        for name, expression in (
            ("labels", _keys(at, "labels")),
            ("finalizers", _finalizers(at)),
            ("owners", _owners(at)),
        )
    }


def _metadata_kept() -> list[JsonObject]:
    """That nobody but the operator changes it."""
    return [
        _validation(
            _kept("labels"),
            f"'metadata.labels: those that begin with {GROUP}/ are the operator\\'s; {_REMEDY}'",
        ),
        _validation(
            "variables.finalizers == variables.finalizersBefore",
            f"'metadata.finalizers: those that begin with {GROUP}/ are the operator\\'s, which "
            f"takes them away by itself; {_REMEDY}'",
        ),
        _validation(
            # Taking one away is the garbage collector's: that is how it orphans.
            "variables.owners.all(uid, uid in variables.ownersBefore)",
            f"'metadata.ownerReferences: only the operator makes what an {KIND} controls; leave "
            "that owner out'",
        ),
    ]


def _asks_for_pods() -> str:
    new, old = given("object", "annotations", "{}"), given("oldObject", "annotations", "{}")
    asked = f"{listed(STARTING)}.exists(name, ({new})[?name] != ({old})[?name])"
    return f"oldObject == null || object.spec != oldObject.spec || {asked}"


def _any(lists: Mapping[str, str]) -> str:
    """Whether one of these lists has something. Conditions come before variables."""
    return " || ".join(f"({each}).size() > 0" for each in lists.values())


def _kept(field: str) -> str:
    """That labels or annotations of ours are as they were, and that there are no new ones."""
    new, old = f"variables.{field}", f"variables.{field}Before"
    same = f"object.metadata.{field}[key] == oldObject.metadata.{field}[key]"
    return f"{new}.all(key, key in {old} && {same}) && {old}.all(key, key in {new})"


def _keys(at: str, field: str, but: Sequence[str] = ()) -> str:
    """The names of labels or annotations of ours, but for these."""
    allowed = f" && !(key in {listed(but)})" if but else ""
    ours = f"key.startsWith({_PREFIX}){allowed}"
    return _unless_absent(at, f"({given(at, field, '{}')}).filter(key, {ours})")


def _finalizers(at: str) -> str:
    ours = f"name.startsWith({_PREFIX})"
    return _unless_absent(at, f"({given(at, 'finalizers', '[]')}).filter(name, {ours})")


def _gates(at: str) -> str:
    ours = f"gate.name.startsWith({_PREFIX})"
    found = f"{at}.spec.?schedulingGates.orValue([]).filter(gate, {ours}).map(gate, gate.name)"
    return _unless_absent(at, found)


def _owners(at: str) -> str:
    """The UIDs of the Observatories that control an object."""
    all_ = f"({given(at, 'ownerReferences', '[]')})"
    ours = f"owner.apiVersion.startsWith({_PREFIX}) && owner.kind == '{KIND}'"
    controls = "owner.?controller.orValue(false)"
    return _unless_absent(at, f"{all_}.filter(owner, {ours} && {controls}).map(owner, owner.uid)")


def _unless_absent(at: str, expression: str) -> str:
    return expression if at == "object" else f"{at} == null ? [] : {expression}"
