"""Lets go of the runs that a scheduled Observatory has left behind.

While it exists, it lets go of them itself, when its status has recorded how they ended. Without
it, nobody will record that any more.
"""

from __future__ import annotations

from contextlib import suppress

from observatory.api.names import FINALIZER, OBSERVATORIES, Key
from observatory.api.types import JsonObject
from observatory.core.children import Child, child_of
from observatory.core.owners import parent_of
from observatory.kube.api import Api, PatchKind
from observatory.kube.errors import Conflict, NotFound
from observatory.runtime.cache import Scope, parent_key


class Families:
    """Removes the finalizers of runs without a parent."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def leave(self, observatory: JsonObject, scope: Scope) -> None:
        """Let go of a run that is over, if its parent is gone."""
        metadata = observatory["metadata"]
        finalizers = metadata.get("finalizers") or []
        if FINALIZER not in finalizers or not _over(observatory):
            return
        key, owner = parent_key(observatory), parent_of(observatory)
        if key and owner and await self._exists(key, owner[1], scope):
            return
        left = [each for each in finalizers if each != FINALIZER]
        patch: JsonObject = {
            "metadata": {
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
                "finalizers": left,
            }
        }
        own = Key(metadata["namespace"], metadata["name"])
        with suppress(NotFound, Conflict):
            await self._api.patch(OBSERVATORIES, own, patch, kind=PatchKind.MERGE)

    async def _exists(self, key: Key, uid: str, scope: Scope) -> bool:
        """Whether the parent is there: by the cache, else by a look, as the cache may be behind."""
        cached = scope.observatories.get(key)
        if cached is not None and cached["metadata"]["uid"] == uid:
            return True
        try:
            found = await self._api.get(OBSERVATORIES, key)
        except (NotFound, ValueError):  # owner references can name what no object can
            return False
        return bool(found["metadata"]["uid"] == uid)


def _over(observatory: JsonObject) -> bool:
    child: Child | None = child_of(observatory)
    if child is not None:
        return child.over(None)
    # Its owner reference was taken away: all that counts is that nothing of it runs any more.
    status = observatory.get("status")
    status = status if isinstance(status, dict) else {}
    return bool(status.get("completionTime")) or not status.get("run")
