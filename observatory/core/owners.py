"""Who owns what: the references by which Kubernetes deletes what belongs to an Observatory."""

from __future__ import annotations

from observatory.api.names import API_VERSION, KIND
from observatory.api.types import JsonObject


def owner_reference(name: str, uid: str) -> JsonObject:
    """The controller reference to an Observatory."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def parent_of(observatory: JsonObject) -> tuple[str, str] | None:
    """Name and UID of the Observatory that owns this one; None where none does."""
    owners = observatory["metadata"].get("ownerReferences")
    for owner in owners if isinstance(owners, list) else ():
        if isinstance(owner, dict) and owner.get("controller") and owner.get("kind") == KIND:
            name, uid = owner.get("name"), owner.get("uid")
            if owner.get("apiVersion") == API_VERSION and isinstance(name, str):
                return name, str(uid)
    return None


def texts(items: object) -> dict[str, str]:
    """Labels or annotations, as far as they are some."""
    if not isinstance(items, dict):
        return {}
    return {name: value for name, value in items.items() if isinstance(value, str)}
