"""The requests about Pods that a plan is made of, each safe to repeat and safe to be late.

Every write names the UID of the Pod that it means. One that comes too late, or a second time,
changes nothing: an answer that was lost needs no memory, only another look.
"""

from __future__ import annotations

from observatory.api.names import FINALIZER, GATE, LABEL_OBSERVATORY, PODS, Key
from observatory.api.types import JsonObject
from observatory.core.model import Desired, Pod, PodRef, Refused, Start
from observatory.core.pods import UNREADABLE, observe
from observatory.core.progress import NAME_CONFLICT, adoptable, name_conflict
from observatory.kube.api import Api, Patch, PatchKind
from observatory.kube.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    ServerError,
    TooLarge,
)
from observatory.runtime.statuswriter import Wrote


class PodWriter:
    """Creates, inspects, releases, finishes and deletes the Pods of Observatories."""

    def __init__(self, api: Api, wrote: Wrote) -> None:
        self._api = api
        self._wrote = wrote

    async def start(self, desired: Desired, start: Start) -> PodRef | Refused:
        """The gated Pod of an attempt: a new one, or one that an earlier try left."""
        if start.adopt:
            return start.adopt
        assert start.body is not None  # noqa: S101 - a start has one or the other
        try:
            pod = await self._api.create(PODS, desired.key.namespace, start.body)
            self._note(desired, pod)
        except AlreadyExists:
            # An answer got lost, or another controller was quicker: only a look tells whose it is.
            pod = await self._api.get(PODS, _key(desired, start.pod_name))
            found = _observed(pod)
            if found is None:
                return Refused(NAME_CONFLICT, name_conflict(start.pod_name))
            if found.deleting and found.gated:
                raise  # once it is gone, there can be a new one
            if not adoptable(found, desired, start.attempt):
                return Refused(NAME_CONFLICT, name_conflict(start.pod_name))
        except ApiError as error:
            if not refuses(error):
                raise
            return refusal(error)
        return PodRef(start.pod_name, pod["metadata"]["uid"])

    async def is_lost(self, desired: Desired, pod: PodRef) -> bool:
        """Whether a Pod that the cache lacks is really gone."""
        try:
            found = await self._api.get(PODS, _key(desired, pod.name))
        except NotFound:
            return True
        if found["metadata"]["uid"] != pod.uid:
            return True
        labels = {LABEL_OBSERVATORY: desired.key.name}
        stored = found["metadata"].get("labels")
        if not isinstance(stored, dict) or not labels.items() <= stored.items():
            # Without its label no watch shows it: nothing would ever be heard of it again.
            patch = {"metadata": {"uid": pod.uid, "labels": labels}}
            await self._patch(desired, pod, patch, PatchKind.MERGE)
        return False

    async def release(self, desired: Desired, pod: PodRef) -> None:
        """Remove the gate: the scheduler may have the Pod. Only for a Pod that a status records."""
        await self._remove(desired, pod, ("spec", "schedulingGates"), {"name": GATE})

    async def finish(self, desired: Desired, pod: PodRef) -> None:
        """Remove the finalizer: the Pod may go. Only once its end is stored."""
        await self._remove(desired, pod, ("metadata", "finalizers"), FINALIZER)

    async def delete(self, desired: Desired, pod: PodRef, grace: int | None = None) -> None:
        """Delete this very Pod; its containers get `grace` seconds, or what the Pod says."""
        try:
            key = _key(desired, pod.name)
            deleted = await self._api.delete(PODS, key, uid=pod.uid, grace=grace)
        except (NotFound, Conflict):
            return
        self._note(desired, deleted)

    async def _remove(
        self, desired: Desired, pod: PodRef, path: tuple[str, str], item: object
    ) -> None:
        """Remove an item of a list of the Pod.

        Ours is nearly always the first; the patch tests it. Where it isn't, the refusal sends us
        to look: the item is elsewhere, or an earlier patch removed it whose answer was lost.
        """
        try:
            await self._patch(desired, pod, _removal(pod, path, 0, item), PatchKind.JSON)
        except NotFound:
            return
        except Invalid:
            await self._find_and_remove(desired, pod, path, item)

    async def _find_and_remove(
        self, desired: Desired, pod: PodRef, path: tuple[str, str], item: object
    ) -> None:
        try:
            found = await self._api.get(PODS, _key(desired, pod.name))
            items = found[path[0]].get(path[1]) or []
            if found["metadata"]["uid"] == pod.uid and item in items:
                patch = _removal(pod, path, items.index(item), item)
                await self._patch(desired, pod, patch, PatchKind.JSON)
        except NotFound:
            return

    async def _patch(self, desired: Desired, pod: PodRef, body: Patch, kind: PatchKind) -> None:
        self._note(desired, await self._api.patch(PODS, _key(desired, pod.name), body, kind=kind))

    def _note(self, desired: Desired, stored: JsonObject) -> None:
        version = stored.get("metadata", {}).get("resourceVersion")
        if version:
            self._wrote(desired.uid, PODS, int(version))


def _observed(pod: JsonObject) -> Pod | None:
    """What there is to know of a Pod; None of one that can't be ours, since nobody can read it."""
    try:
        return observe(pod)
    except UNREADABLE:
        return None


def refuses(error: ApiError) -> bool:
    """Whether the answer is about this very object, so that its user has to be told of it."""
    if isinstance(error, ServerError):
        return error.webhook_failed
    return isinstance(error, AlreadyExists | BadRequest | Forbidden | Invalid | TooLarge)


def refusal(error: ApiError) -> Refused:
    """What it means that the API server did not take an object, and whether to ask again."""
    if isinstance(error, ServerError):
        return Refused("WebhookFailed", error.message)
    if isinstance(error, AlreadyExists):
        return Refused(NAME_CONFLICT, error.message)
    if isinstance(error, Forbidden):
        return _forbidden(error)
    if error.denied_by_policy:
        return _denied(error.message)
    return Refused("InvalidPod", error.message, permanent=True)


def _forbidden(error: Forbidden) -> Refused:
    if error.namespace_terminating:
        return Refused("NamespaceTerminating", error.message)
    if error.quota_exceeded:
        remedy = "it goes on when others end, or the quota is raised"
        return Refused("QuotaExceeded", f"{error.message}; {remedy}")
    if "cannot create resource" in error.message:
        return Refused("Forbidden", f"{error.message}; install the operator's RBAC rules")
    return _denied(error.message)


_REMEDIES = (
    (
        "violates PodSecurity",
        "set securityContext in the spec, or have the namespace enforce a level such as baseline",
    ),
    ("failed quota:", "set the resources that the quota asks for in the task"),
    (" usage per ", "set the task's resources within the namespace's LimitRange"),
    (" limit to request ratio per ", "set the task's resources within the namespace's LimitRange"),
)
"""What to do about a denial, by what Kubernetes' own admission says of it."""


def _denied(message: str) -> Refused:
    other = "mend the task, or ask for an exception of the policy"
    remedy = next((remedy for words, remedy in _REMEDIES if words in message), other)
    return Refused("AdmissionDenied", f"{message}; {remedy}")


def _removal(pod: PodRef, path: tuple[str, str], index: int, item: object) -> list[JsonObject]:
    where = f"/{path[0]}/{path[1]}/{index}"
    return [
        {"op": "test", "path": "/metadata/uid", "value": pod.uid},
        {"op": "test", "path": where, "value": item},
        {"op": "remove", "path": where},
    ]


def _key(desired: Desired, name: str) -> Key:
    return Key(desired.key.namespace, name)
