"""The requests about the runs of a scheduled Observatory, each safe to repeat and to be late.

Every write names the UID of the Observatory that it means, and where it could take something back,
the version that was looked at.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from observatory.api.names import (
    ANNOTATION_ADMITTED,
    ANNOTATION_STOP,
    ANNOTATION_TERMINATE,
    FINALIZER,
    OBSERVATORIES,
    Key,
    admission,
)
from observatory.api.runs import Active
from observatory.api.types import JsonObject
from observatory.core.admit import TERMINATED
from observatory.core.children import Child, child_of
from observatory.core.model import Desired, Refused
from observatory.core.parent import NAME_CONFLICT, stop_nonce
from observatory.core.runstarts import RunStart
from observatory.kube.api import Api, PatchKind
from observatory.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from observatory.runtime.podwriter import refusal, refuses
from observatory.runtime.statuswriter import Wrote


class RunWriter:
    """Creates, admits, stops, finishes and deletes the runs of scheduled Observatories."""

    def __init__(self, api: Api, wrote: Wrote) -> None:
        self._api = api
        self._wrote = wrote

    async def start(self, desired: Desired, start: RunStart) -> str | Refused:
        """The UID of the Observatory of a run: a new one, or one that an earlier try left."""
        if start.adopt:
            return start.adopt
        assert start.body is not None  # noqa: S101 - a start has one or the other
        try:
            run = await self._api.create(OBSERVATORIES, desired.key.namespace, start.body)
            self._note(desired, run)
        except AlreadyExists:
            # An answer got lost, or another controller was quicker: only a look tells whose it is.
            run = await self._api.get(OBSERVATORIES, Key(desired.key.namespace, start.name))
            found = child_of(run)
            ours = found is not None and (found.owner_uid, found.id) == (desired.uid, start.id)
            if found is None or not ours or found.admitted:
                message = f'Observatory "{start.name}" exists and is not this run; delete it'
                return Refused(NAME_CONFLICT, message)
            if found.deleting:
                raise  # once it is gone, there can be a new one
        except ApiError as error:
            if not refuses(error):
                raise
            refused = refusal(error)
            return replace(refused, reason="InvalidRun") if refused.permanent else refused
        uid: str = run["metadata"]["uid"]
        return uid

    async def is_gone(self, desired: Desired, run: Active) -> bool:
        """Whether a run that the cache lacks is really gone."""
        try:
            found = await self._api.get(OBSERVATORIES, Key(desired.key.namespace, run.name))
        except NotFound:
            return True
        return bool(found["metadata"]["uid"] != run.uid)

    async def admit(self, desired: Desired, run: Active, child: Child | None) -> None:
        """Let a run begin, or run again. Only for one that a status records."""
        metadata: JsonObject = {
            "uid": run.uid,
            "annotations": {ANNOTATION_ADMITTED: admission(run.retry)},
        }
        if child is not None and run.retry is not None:
            # When it ended it was let go, or is just about to be: a patch for that may be late.
            others = [each for each in child.finalizers if each != FINALIZER]
            metadata |= {"resourceVersion": str(child.version), "finalizers": [*others, FINALIZER]}
        await self._patch(desired, run.name, metadata)

    async def stop(self, desired: Desired, run: Active) -> None:
        """Ask a run to stop, or to end at once."""
        name = ANNOTATION_TERMINATE if run.cancel_reason == TERMINATED else ANNOTATION_STOP
        metadata: JsonObject = {"uid": run.uid, "annotations": {name: stop_nonce(run)}}
        await self._patch(desired, run.name, metadata)

    async def finish(self, desired: Desired, child: Child) -> None:
        """Remove the finalizer: the run may go. Only once its end is stored."""
        finalizers = [each for each in child.finalizers if each != FINALIZER]
        version = str(child.version)
        metadata: JsonObject = {"uid": child.uid, "resourceVersion": version}
        await self._patch(desired, child.key.name, metadata | {"finalizers": finalizers})

    async def delete(self, desired: Desired, child: Child) -> None:
        """Delete this very run, unless it has changed since."""
        with suppress(NotFound, Conflict):
            deleted = await self._api.delete(
                OBSERVATORIES, child.key, uid=child.uid, version=str(child.version)
            )
            self._note(desired, deleted)

    async def _patch(self, desired: Desired, name: str, metadata: JsonObject) -> None:
        """PATCH the metadata. What has changed or gone since is looked at again by a later plan."""
        key = Key(desired.key.namespace, name)
        with suppress(NotFound, Conflict):
            patch: JsonObject = {"metadata": metadata}
            self._note(
                desired, await self._api.patch(OBSERVATORIES, key, patch, kind=PatchKind.MERGE)
            )

    def _note(self, desired: Desired, stored: JsonObject) -> None:
        version = stored.get("metadata", {}).get("resourceVersion")
        if version:
            self._wrote(desired.uid, OBSERVATORIES, int(version))
