"""ControllerRevisions: kept when a run begins, read again where the spec was edited since."""

from __future__ import annotations

from observatory.api.names import CONTROLLER_REVISIONS, LABEL_OBSERVATORY, Key
from observatory.api.types import JsonObject
from observatory.core.model import Desired, Program
from observatory.core.revision import HISTORY_LIMIT, revision_manifest, stored_program
from observatory.kube.api import Api, PatchKind
from observatory.kube.errors import AlreadyExists, Conflict, NotFound


class Revisions:
    """Stores and loads the programs that runs are pinned to."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def keep(self, desired: Desired, program: Program, run: int) -> None:
        """Store a program before a status names it. One that is stored already is as good.

        Raises:
            AlreadyExists: A ControllerRevision of that name is not this program's.
        """
        key = Key(desired.key.namespace, program.revision)
        body = revision_manifest(desired, program, run)
        try:
            await self._api.create(CONTROLLER_REVISIONS, key.namespace, body)
        except AlreadyExists:
            await self._renumber(desired, program, run, key)
        if run > HISTORY_LIMIT:
            await self._prune(desired)

    async def _renumber(self, desired: Desired, program: Program, run: int, key: Key) -> None:
        """An earlier run had the same tasks, or an answer was lost: only its turn may be new."""
        found = await self._api.get(CONTROLLER_REVISIONS, key)
        if not _owned(found, desired) or found.get("data") != program.content:
            text = (
                f'ControllerRevision "{key.name}" exists and does not hold the tasks of this '
                "Observatory; delete it to go on"
            )
            raise AlreadyExists(409, "AlreadyExists", text)
        if found.get("revision") != run:
            # The UID is a precondition: it is this one that was looked at.
            patch = {"metadata": {"uid": found["metadata"]["uid"]}, "revision": run}
            await self._api.patch(CONTROLLER_REVISIONS, key, patch, kind=PatchKind.MERGE)

    async def load(self, desired: Desired, name: str) -> Program | None:
        """The program of that revision; None if it is gone or not ours to read."""
        try:
            revision = await self._api.get(CONTROLLER_REVISIONS, Key(desired.key.namespace, name))
            return stored_program(revision) if _owned(revision, desired) else None
        except (NotFound, KeyError, TypeError, ValueError, AttributeError):
            return None

    async def _prune(self, desired: Desired) -> None:
        selector = {"labelSelector": f"{LABEL_OBSERVATORY}={desired.key.name}"}
        listed = await self._api.list(CONTROLLER_REVISIONS, desired.key.namespace, selector)
        own = [item for item in listed["items"] if _owned(item, desired)]
        own.sort(key=_number, reverse=True)
        for item in own[HISTORY_LIMIT:]:
            name, uid = item["metadata"]["name"], item["metadata"]["uid"]
            try:
                key = Key(desired.key.namespace, name)
                await self._api.delete(CONTROLLER_REVISIONS, key, uid=uid)
            except (NotFound, Conflict):
                continue  # somebody else deleted it


def _owned(revision: JsonObject, desired: Desired) -> bool:
    owners = revision["metadata"].get("ownerReferences")
    return any(
        isinstance(owner, dict) and owner.get("uid") == desired.uid
        for owner in (owners if isinstance(owners, list) else ())
    )


def _number(revision: JsonObject) -> int:
    """Which run it is for; of one without a number, that it goes first."""
    number = revision.get("revision")
    return number if isinstance(number, int) else 0
