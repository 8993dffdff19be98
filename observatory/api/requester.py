"""Who asked for what an Observatory runs: recorded by the API server, so that nobody can forge it.

A MutatingAdmissionPolicy writes the annotations on each write that says what is run, and takes back
what anybody else writes there; a ValidatingAdmissionPolicy holds other admission plugins, which may
have their turn after it, to the same. Both are made of one set of expressions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from observatory.api.names import (
    ANNOTATION_BACKFILL,
    ANNOTATION_BACKFILL_CONCURRENCY,
    ANNOTATION_BACKFILL_RANGE,
    ANNOTATION_REQUESTED_BY,
    ANNOTATION_REQUESTED_BY_GROUPS,
    ANNOTATION_REQUESTED_BY_UID,
    ANNOTATION_RETRY,
    ANNOTATION_RETRY_FROM,
    ANNOTATION_RUN_NOW,
    GROUP,
    KIND,
    OBSERVATORIES,
)
from observatory.api.policy import (
    IS_OPERATOR,
    MUTATING,
    VALIDATING,
    binding,
    given,
    listed,
    named,
    on,
    policy,
)
from observatory.api.types import JsonObject

RECORDED = (ANNOTATION_REQUESTED_BY, ANNOTATION_REQUESTED_BY_UID, ANNOTATION_REQUESTED_BY_GROUPS)
STARTING = (
    ANNOTATION_RETRY,
    ANNOTATION_RETRY_FROM,
    ANNOTATION_RUN_NOW,
    ANNOTATION_BACKFILL,
    ANNOTATION_BACKFILL_RANGE,
    ANNOTATION_BACKFILL_CONCURRENCY,
)
"""The requests that begin runs: whoever changes one is the requester from then on."""


@dataclass(frozen=True, slots=True)
class Requester:
    """Somebody as the API server knew them when they asked."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, annotations: dict[str, str]) -> Self | None:
        """The one that is recorded; None where none is."""
        name = annotations.get(ANNOTATION_REQUESTED_BY)
        if not name:
            return None
        groups = annotations.get(ANNOTATION_REQUESTED_BY_GROUPS, "").split("\n")
        uid = annotations.get(ANNOTATION_REQUESTED_BY_UID, "")
        return cls(name, uid, tuple(filter(None, groups)))

    def annotations(self) -> dict[str, str]:
        """What records them."""
        return dict(zip(RECORDED, (self.name, self.uid, "\n".join(self.groups)), strict=True))


_NAME = "requester"
_REFUSED = (
    f"the annotations {GROUP}/requested-by* are the API server's: another admission plugin has "
    "changed them, or the MutatingAdmissionPolicy that writes them is missing; leave them alone"
)


def _variables() -> list[JsonObject]:
    """What both policies decide by."""
    before = f"request.operation == 'CREATE' ? {{}} : {given('oldObject', 'annotations', '{}')}"
    inherits = (
        "request.operation == 'CREATE' && "
        f"({given('object', 'ownerReferences', '[]')})"
        f".exists(o, o.kind == '{KIND}' && o.?controller.orValue(false) == true) && {IS_OPERATOR}"
    )
    changed = (
        "request.operation == 'CREATE' || object.?spec != oldObject.?spec || "
        f"{listed(STARTING)}.exists(n, variables.annotations[?n].orValue('') != "
        "variables.before[?n].orValue(''))"
    )
    user = "request.userInfo"
    stamp = ", ".join(
        f"'{name}': {value}"
        for name, value in (
            (ANNOTATION_REQUESTED_BY, f"{user}.?username.orValue('')"),
            (ANNOTATION_REQUESTED_BY_UID, f"{user}.?uid.orValue('')"),
            (
                ANNOTATION_REQUESTED_BY_GROUPS,
                f"{user}.?groups.orValue([]).filter(g, !g.contains('\\n')).join('\\n')",
            ),
        )
    )
    wanted = (
        f"variables.inherits ? variables.annotations : "
        f"variables.changed ? {{{stamp}}} : variables.before"
    )
    return named(
        {
            "annotations": given("object", "annotations", "{}"),
            "before": before,
            "inherits": inherits,
            "changed": changed,
            "wanted": wanted,
        }
    )


def _differs(name: str) -> str:
    return f"variables.annotations[?{name}].orValue('') != variables.wanted[?{name}].orValue('')"


def _patch() -> str:
    """A JSON Patch of what differs, and of nothing else: an update of nothing remains one."""
    names = listed(RECORDED)
    path = "'/metadata/annotations/' + jsonpatch.escapeKey(n)"
    return (
        f"!{names}.exists(n, {_differs('n')}) ? [] : "
        "(size(variables.annotations) > 0 ? [] : "
        "[JSONPatch{op: 'add', path: '/metadata/annotations', value: {}}]) + "
        f"{names}.filter(n, {_differs('n')}).map(n, "
        f"variables.wanted[?n].orValue('') == '' ? JSONPatch{{op: 'remove', path: {path}}} : "
        f"JSONPatch{{op: 'add', path: {path}, value: variables.wanted[n]}})"
    )


def requester_manifests() -> dict[str, JsonObject]:
    """The policies and their bindings, by the name of their file."""
    rules = [on(OBSERVATORIES, "CREATE", "UPDATE")]
    unforged = f"!{listed(RECORDED)}.exists(n, {_differs('n')})"
    return {
        "requester_record.yaml": policy(
            MUTATING,
            _NAME,
            rules,
            variables=_variables(),
            # Again where another plugin has changed the object since.
            reinvocationPolicy="IfNeeded",
            mutations=[{"patchType": "JSONPatch", "jsonPatch": {"expression": _patch()}}],
        ),
        "requester_record_binding.yaml": binding(MUTATING, _NAME),
        "requester_check.yaml": policy(
            VALIDATING,
            _NAME,
            rules,
            variables=_variables(),
            validations=[{"expression": unforged, "message": _REFUSED, "reason": "Forbidden"}],
        ),
        "requester_check_binding.yaml": binding(VALIDATING, _NAME, validationActions=["Deny"]),
    }
