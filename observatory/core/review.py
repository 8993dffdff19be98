"""Admission: what the webhook answers to an AdmissionReview.

It denies a new spec with errors, all of them at once, and warns of what is probably not meant. It
is a convenience: the operator checks each object again, and says the same in the condition `Valid`.
So whatever isn't about a new spec passes: status, deletion, finalizers, labels. What is wrong
already can always be removed, and changed where the change makes nothing worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from observatory.api.fielderrors import ErrorType, FieldError
from observatory.api.names import GROUP, KIND, OBSERVATORIES
from observatory.api.types import JsonObject
from observatory.core.advice import advise, plan_line
from observatory.core.validation import validate

API_VERSION = "admission.k8s.io/v1"
SHOWN = 100
"""Errors that are told; the others are counted."""
UID_LENGTH = 256

_INVALID = 422
_REASONS = {
    ErrorType.INVALID: "FieldValueInvalid",
    ErrorType.REQUIRED: "FieldValueRequired",
    ErrorType.DUPLICATE: "FieldValueDuplicate",
    ErrorType.NOT_FOUND: "FieldValueNotFound",
    ErrorType.UNSUPPORTED: "FieldValueNotSupported",
    ErrorType.FORBIDDEN: "FieldValueForbidden",
    ErrorType.TOO_LONG: "FieldValueTooLong",
    ErrorType.TOO_MANY: "FieldValueTooMany",
}


class ReviewError(ValueError):
    """This is no AdmissionReview that can be answered; one line."""


def review(body: object, now: datetime) -> JsonObject:
    """The AdmissionReview that answers this one.

    Raises:
        ReviewError: It is none, or its object is none.
    """
    request = _request(body)
    uid = request.get("uid")
    if not isinstance(uid, str) or not 0 < len(uid) <= UID_LENGTH:
        raise ReviewError("request.uid: must be a text of up to 256 characters")
    response = {"uid": uid, **(_judged(request, now) if _concerns_us(request) else _ALLOWED)}
    return {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}


_ALLOWED: JsonObject = {"allowed": True}


def _request(body: object) -> JsonObject:
    if not isinstance(body, dict) or body.get("kind") != "AdmissionReview":
        raise ReviewError("the body must be an AdmissionReview")
    if body.get("apiVersion") != API_VERSION:
        raise ReviewError(f"apiVersion: must be {API_VERSION}")
    request = body.get("request")
    if not isinstance(request, dict):
        raise ReviewError("request: must be an object")
    return request


def _concerns_us(request: JsonObject) -> bool:
    """Whether it is about writing an Observatory as such."""
    resource = request.get("resource")
    return (
        request.get("operation") in ("CREATE", "UPDATE")
        and not request.get("subResource")
        and isinstance(resource, dict)
        and (resource.get("group"), resource.get("resource")) == (GROUP, OBSERVATORIES.plural)
    )


def _judged(request: JsonObject, now: datetime) -> JsonObject:
    obj, old = request.get("object"), request.get("oldObject")
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata"), dict):
        raise ReviewError("request.object: must be an object with metadata")
    stored = old if request["operation"] == "UPDATE" else None
    if obj["metadata"].get("deletionTimestamp") or _same_spec(obj, stored):
        return _ALLOWED
    errors = validate(obj)
    if errors and stored is not None and not _worse(errors, stored):
        text = f"spec: it was invalid before and still is: {len(errors)} errors; nothing starts"
        return {"allowed": True, "warnings": [text]}
    if errors:
        return {"allowed": False, "status": _refusal(obj, request, errors)}
    return {"allowed": True, "warnings": [plan_line(obj, now), *map(str, advise(obj, now))]}


def _same_spec(obj: JsonObject, old: object) -> bool:
    return isinstance(old, dict) and old.get("spec") == obj.get("spec")


def _worse(errors: Sequence[FieldError], old: object) -> bool:
    """Whether there is an error that the stored object hasn't.

    A newer operator may find errors in what an older one took. Who suspends or mends such an
    object step by step isn't kept from it.
    """
    return not {*map(str, errors)} <= {*map(str, validate(old))}


def _refusal(obj: JsonObject, request: JsonObject, errors: Sequence[FieldError]) -> JsonObject:
    """The Status that the API server itself would give; kubectl shows its causes line by line."""
    name = next((name for name in _names(obj, request) if name and isinstance(name, str)), "")
    shown, more = errors[:SHOWN], len(errors) - SHOWN
    texts = [*map(str, shown), *([f"and {more} more"] if more > 0 else [])]
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    causes = [
        {
            "reason": _REASONS[error.type],
            "message": str(error)[len(error.path) + 2 :],
            "field": error.path,
        }
        for error in shown
    ]
    if more > 0:
        causes.append({"reason": "FieldValueTooMany", "message": texts[-1], "field": "spec"})
    return {
        "status": "Failure",
        "code": _INVALID,
        "reason": "Invalid",
        "message": f'{KIND}.{GROUP} "{name}" is invalid: {listed}',
        "details": {"name": name, "group": GROUP, "kind": KIND, "causes": causes},
    }


def _names(obj: JsonObject, request: JsonObject) -> tuple[object, ...]:
    metadata = obj["metadata"]
    return metadata.get("name"), request.get("name"), metadata.get("generateName")
