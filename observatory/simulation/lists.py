"""Lists of the fake API server: pages of one consistent state."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from observatory.api.names import Resource
from observatory.api.types import JsonObject
from observatory.kube.errors import ApiError, BadRequest, Gone, ServerError
from observatory.simulation import rules
from observatory.simulation.selectors import matcher
from observatory.simulation.storage import Storage

_State = tuple[int, Resource, str | None, str | None, str | None]
"""A version, and what of it was listed: many things are, at one version."""


class Lists:
    """Serves pages; a continue token names the state of the first page and where to go on."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._states: dict[_State, list[JsonObject]] = {}

    def page(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> JsonObject:
        """One page, as a raw List."""
        version, start, items = self._state(resource, namespace, params)
        limit = int(params.get("limit") or 0)
        if params.get("resourceVersion") == "0":
            limit = 0  # the watch cache serves it, whole
        end = start + limit if limit else len(items)
        metadata: JsonObject = {"resourceVersion": str(version)}
        if end < len(items):
            self._states[_state(version, resource, namespace, params)] = items
            token = f"{version}:{end}"
            metadata["continue"] = base64.urlsafe_b64encode(token.encode()).decode()
            metadata["remainingItemCount"] = len(items) - end
        shown = items[start:end]
        if not rules.behaviour(resource).custom:
            # Items of built-in kinds come without what the list says for all of them.
            hidden = {"apiVersion", "kind"}
            shown = [{k: v for k, v in item.items() if k not in hidden} for item in shown]
        return {
            "apiVersion": resource.api_version,
            "kind": f"{resource.kind}List",
            "metadata": metadata,
            "items": shown,
        }

    def _state(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> tuple[int, int, list[JsonObject]]:
        wanted = params.get("resourceVersion", "")
        if token := params.get("continue"):
            if wanted not in {"", "0"}:
                text = "specifying resource version is not allowed when using continue"
                raise BadRequest(400, "BadRequest", text)
            version, start = map(int, base64.urlsafe_b64decode(token).split(b":"))
            state = _state(version, resource, namespace, params)
            if version < self._storage.compacted or state not in self._states:
                raise Gone(410, "Expired", "The provided continue parameter is too old")
            return version, start, self._states[state]
        if wanted.isdigit() and int(wanted) > self._storage.version:
            raise too_large(wanted, self._storage.version)
        matches = matcher(params)
        items = [item for _, item in self._storage.items(resource, namespace) if matches(item)]
        return self._storage.version, 0, items


def _state(
    version: int, resource: Resource, namespace: str | None, params: Mapping[str, str]
) -> _State:
    selectors = params.get("labelSelector"), params.get("fieldSelector")
    return version, resource, namespace, *selectors


def too_large(wanted: str, version: int) -> ApiError:
    """The answer to a resourceVersion that is not there yet."""
    text = f"Timeout: Too large resource version: {wanted}, current: {version}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    details = {"causes": [cause], "retryAfterSeconds": 1}
    return ServerError(504, "Timeout", text, details, retry_after=1)
