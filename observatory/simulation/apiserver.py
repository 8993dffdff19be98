"""An API server in memory: the `Api` of `observatory/kube/api.py` without sockets.

It keeps the rules that controllers live and die by: one counter of resourceVersions, optimistic
locking, the status subresource, UIDs and preconditions, finalizers, graceful deletion, scheduling
gates, paging, watches with history, bookmarks and 410. It knows no schemas, defaults nothing but
what the tests need, and does no RBAC. `tests/integration/test_fake_is_honest.py` compares it with a
real one.

Faults: `before` and `after` are called around each request and may raise. What `before` raises
is a lost request, what `after` raises is a lost answer: the write is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from observatory.api.names import LOCAL_SUBJECT_ACCESS_REVIEWS, NAMESPACES, PODS, Key, Resource
from observatory.api.types import JsonObject
from observatory.kube.api import NO_PARAMS, Patch, PatchKind
from observatory.kube.errors import ApiError, Invalid
from observatory.simulation import rules
from observatory.simulation.jsonpatch import PatchError, apply_json_patch, apply_merge_patch
from observatory.simulation.lists import Lists
from observatory.simulation.rules import PLAINLY
from observatory.simulation.storage import Storage
from observatory.simulation.watches import Watches


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: `verb` is get, list, watch, create, update, patch or delete."""

    verb: str
    resource: Resource
    key: Key  # the name is empty for lists and watches
    subresource: str | None = None
    body: Patch | None = None
    params: Mapping[str, str] = field(default_factory=dict)


Hook = Callable[[Request], None]


def _nothing(_: Request) -> None:
    return


class ApiServer:
    """The server. `now` gives creation and deletion times; the namespaces exist from the start."""

    def __init__(
        self, now: Callable[[], datetime], namespaces: tuple[str, ...] = ("default",)
    ) -> None:
        self._now = now
        self._uids = 0
        self.storage = Storage()
        self.watches = Watches(self.storage)
        self._lists = Lists(self.storage)
        self.before: Hook = _nothing
        self.after: Hook = _nothing
        self.requests: list[Request] = []
        self.admission: list[Callable[[Resource, JsonObject], None]] = []
        """Asked before an object is created, and before it is known whether its name is taken; what
        they raise is the answer."""
        self.allows: Callable[[JsonObject], bool] = lambda _: True
        """What LocalSubjectAccessReviews are answered, by their spec."""
        for name in namespaces:
            self.create_now(NAMESPACES, "", {"metadata": {"name": name}})

    # The Api

    async def get(self, resource: Resource, key: Key) -> JsonObject:
        """See `Api.get`."""
        request = Request("get", resource, key)
        return await self._served(request, lambda: self.get_now(resource, key))

    async def list(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> JsonObject:
        """See `Api.list`."""
        request = Request("list", resource, Key(namespace or "", ""), params=params)
        return await self._served(request, lambda: self.list_now(resource, namespace, params))

    async def create(self, resource: Resource, namespace: str, body: JsonObject) -> JsonObject:
        """See `Api.create`."""
        name = str(body.get("metadata", {}).get("name", ""))
        request = Request("create", resource, Key(namespace, name), body=body)
        return await self._served(request, lambda: self.create_now(resource, namespace, body))

    async def replace(
        self, resource: Resource, key: Key, body: JsonObject, *, subresource: str | None = None
    ) -> JsonObject:
        """See `Api.replace`."""
        request = Request("update", resource, key, subresource, body)
        return await self._served(
            request, lambda: self.replace_now(resource, key, body, subresource=subresource)
        )

    async def patch(
        self,
        resource: Resource,
        key: Key,
        body: Patch,
        *,
        kind: PatchKind,
        subresource: str | None = None,
        params: Mapping[str, str] = NO_PARAMS,
    ) -> JsonObject:
        """See `Api.patch`."""
        request = Request("patch", resource, key, subresource, body, params)
        return await self._served(
            request, lambda: self.patch_now(resource, key, body, kind=kind, subresource=subresource)
        )

    async def delete(
        self,
        resource: Resource,
        key: Key,
        *,
        uid: str | None = None,
        version: str | None = None,
        grace: int | None = None,
    ) -> JsonObject:
        """See `Api.delete`."""
        options = rules.DeleteOptions(uid, version, grace)
        request = Request("delete", resource, key, params=options.params())
        return await self._served(request, lambda: self.delete_now(resource, key, options))

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """See `Api.watch`."""
        request = Request("watch", resource, Key(namespace or "", ""), params=params)
        self._asked(request)
        await asyncio.sleep(0)
        with self.watches.opened(resource, namespace, params) as stream:
            self.after(request)
            yield stream.lines()

    # What happens in the cluster without a request of ours

    def compact(self) -> None:
        """Forget the history: older watches end with 410, older continue tokens are refused."""
        self.storage.compact()

    def cut_watches(self, error: Exception | None = None) -> None:
        """End all watches, cleanly or with an error."""
        self.watches.cut(error)

    def collect_garbage(self) -> int:
        """Delete what no living owner owns, and what is in namespaces that are being deleted.

        Returns how many objects it touched; goes on until there is nothing more to do.
        """
        touched = 0
        while doomed := self._doomed():
            for resource, key in doomed:
                self.delete_now(resource, key)
            touched += len(doomed)
        for key, item in self.storage.items(NAMESPACES, None):
            held = any(at.namespace == key.name for _, at in self.storage.objects)
            if item["metadata"].get("deletionTimestamp") and not held:
                self.storage.remove(NAMESPACES, key)
        return touched

    def _doomed(self) -> Sequence[tuple[Resource, Key]]:
        uids = {item["metadata"]["uid"] for item in self.storage.objects.values()}
        ending = {
            key.name
            for key, item in self.storage.items(NAMESPACES, None)
            if item["metadata"].get("deletionTimestamp")
        }
        found = []
        for (resource, key), item in self.storage.objects.items():
            owners = [owner["uid"] for owner in item["metadata"].get("ownerReferences") or ()]
            orphaned = bool(owners) and not uids.intersection(owners)
            deleting = item["metadata"].get("deletionTimestamp")
            if (orphaned or key.namespace in ending) and not deleting:
                found.append((resource, key))
        return found

    # The same operations at once, for tests that set the scene

    def get_now(self, resource: Resource, key: Key) -> JsonObject:
        """GET."""
        found = self.storage.get(resource, key)
        if found is None:
            raise rules.not_found(resource, key.name)
        return found

    def list_now(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> JsonObject:
        """GET of a collection."""
        return self._lists.page(resource, namespace, params)

    def create_now(self, resource: Resource, namespace: str, body: JsonObject) -> JsonObject:
        """POST. A review is answered and not stored."""
        if resource == LOCAL_SUBJECT_ACCESS_REVIEWS:
            return {**body, "status": {"allowed": self.allows(body["spec"])}}
        item = rules.prepared_for_create(resource, namespace, body)
        key = Key(namespace, item["metadata"]["name"])
        if namespace:
            home = self.storage.get(NAMESPACES, Key("", namespace))
            if home is None:
                raise rules.not_found(NAMESPACES, namespace)
            if home["metadata"].get("deletionTimestamp"):
                raise rules.terminating(resource, key)
        for admit in self.admission:
            admit(resource, item)
        if self.storage.get(resource, key) is not None:
            raise rules.already_exists(resource, key.name)
        self._uids += 1
        item["metadata"]["uid"] = f"00000000-0000-4000-8000-{self._uids:012d}"
        item["metadata"]["creationTimestamp"] = self.time()
        return self.storage.put(resource, key, item)

    def replace_now(
        self, resource: Resource, key: Key, body: JsonObject, *, subresource: str | None = None
    ) -> JsonObject:
        """PUT."""
        old = self.storage.get(resource, key)
        if old is None:
            if rules.behaviour(resource).create_on_update and subresource is None:
                if body["metadata"].keys() & {"resourceVersion", "uid"}:
                    raise rules.conflict(resource, key.name, "there is no object to be updated")
                return self.create_now(resource, key.namespace, body)
            raise rules.not_found(resource, key.name)
        return self._updated(resource, key, old, body, subresource)

    def patch_now(
        self,
        resource: Resource,
        key: Key,
        body: Patch,
        *,
        kind: PatchKind,
        subresource: str | None = None,
    ) -> JsonObject:
        """PATCH."""
        old = self.get_now(resource, key)
        try:
            if kind is PatchKind.JSON:
                operations = body if isinstance(body, list) else [body]
                new = apply_json_patch(old, operations)
            else:
                new = apply_merge_patch(old, body)
        except PatchError as error:
            text = "the server rejected our request due to an error in our request"
            raise Invalid(422, "Invalid", text) from error
        return self._updated(resource, key, old, new, subresource)

    def delete_now(
        self, resource: Resource, key: Key, options: rules.DeleteOptions = PLAINLY
    ) -> JsonObject:
        """DELETE."""
        item = self.get_now(resource, key)
        metadata = item["metadata"]
        if not options.met_by(metadata):
            raise rules.conflict(resource, key.name, "Precondition failed: UID in precondition")
        grace = rules.grace_seconds(resource, item, options.grace)
        first = "deletionTimestamp" not in metadata
        if first or grace < metadata.get("deletionGracePeriodSeconds", 0):
            metadata["deletionTimestamp"] = self.time(grace)
            metadata["deletionGracePeriodSeconds"] = grace
        if first and "generation" in metadata:
            metadata["generation"] += 1
        if grace or metadata.get("finalizers") or resource == NAMESPACES:
            return self.storage.put(resource, key, item)
        if resource == PODS:
            # Two writes even when nothing holds it: a Pod is marked first and then removed.
            self.storage.put(resource, key, item)
            return self.storage.remove(resource, key)
        self.storage.remove(resource, key)
        status: JsonObject = {"kind": "Status", "apiVersion": "v1", "status": "Success"}
        return status | {
            "details": {**rules.details(resource, key.name), "uid": metadata["uid"]},
        }

    def _updated(
        self,
        resource: Resource,
        key: Key,
        old: JsonObject,
        body: JsonObject,
        subresource: str | None,
    ) -> JsonObject:
        new = rules.prepared_for_update(resource, old, body, subresource)
        if rules.emptied(new):
            # The update itself is never written: the answer has it, with the version before; the
            # DELETED event has what was stored.
            self.storage.remove(resource, key)
            new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
            return new
        return self.storage.put(resource, key, new)

    async def _served(self, request: Request, serve: Callable[[], JsonObject]) -> JsonObject:
        self._asked(request)
        await asyncio.sleep(0)  # others get their turn, as they do while a real request is out
        try:
            answer = serve()
        except ApiError:
            self.after(request)
            raise
        self.after(request)
        return answer

    def _asked(self, request: Request) -> None:
        self.requests.append(request)
        self.before(request)

    def time(self, seconds: int = 0) -> str:
        """The time so many seconds from now, as objects have it."""
        return (self._now() + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
