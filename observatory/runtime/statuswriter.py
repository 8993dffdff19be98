"""Stores the status of an Observatory: the one write that decides."""

from __future__ import annotations

from collections.abc import Callable

from observatory.api.names import API_VERSION, KIND, OBSERVATORIES, Resource
from observatory.api.status import Status
from observatory.api.types import JsonObject
from observatory.core.fit import fitted
from observatory.core.model import Desired
from observatory.kube.api import Api
from observatory.kube.errors import TooLarge

Wrote = Callable[[str, Resource, int], None]
"""Told of each write: the Observatory's UID, the resource, and the version that the write made."""


class StatusWriter:
    """Writes status under the resourceVersion that it was planned from."""

    def __init__(self, api: Api, wrote: Wrote) -> None:
        self._api = api
        self._wrote = wrote

    async def store(self, status: Status, desired: Desired, version: str) -> str:
        """PUT the status under `version`; the version that it is stored as.

        Raises:
            Conflict, NotFound: It is not the stored version: somebody else decided.
            TooLarge: It fits in no form.
        """
        try:
            stored = await self._put(desired, version, fitted(status, desired))
        except TooLarge:
            # Metadata, or other writers, left less room than planned for: the shortest form then.
            stored = await self._put(desired, version, fitted(status, desired, budget=0))
        new: str = stored["metadata"]["resourceVersion"]
        self._wrote(desired.uid, OBSERVATORIES, int(new))
        return new

    async def _put(self, desired: Desired, version: str, status: JsonObject) -> JsonObject:
        metadata = {
            "namespace": desired.key.namespace,
            "name": desired.key.name,
            "uid": desired.uid,
            "resourceVersion": version,
        }
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": status}
        return await self._api.replace(OBSERVATORIES, desired.key, body, subresource="status")
