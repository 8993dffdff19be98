"""What the API server offers to the rest of the operator, whoever plays it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol, TypeAlias

from observatory.api.names import Key, Resource
from observatory.api.types import JsonObject

NO_PARAMS: Mapping[str, str] = MappingProxyType({})

Patch: TypeAlias = JsonObject | list[JsonObject]
"""A list for JSON Patch, an object for the other kinds."""


class PatchKind(StrEnum):
    """How a patch is written; the value is its media type."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"


class Api(Protocol):
    """What the API server offers; `Client` over HTTP, `simulation/apiserver.py` in memory."""

    async def get(self, resource: Resource, key: Key) -> JsonObject:
        """The object, as stored now."""

    async def list(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> JsonObject:
        """One page of objects, as a raw List; None means all namespaces."""

    async def create(self, resource: Resource, namespace: str, body: JsonObject) -> JsonObject:
        """POST: the object as created."""

    async def replace(
        self, resource: Resource, key: Key, body: JsonObject, *, subresource: str | None = None
    ) -> JsonObject:
        """PUT: the object as stored; `Conflict` unless the body's resourceVersion is current."""

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
        """PATCH: the object as stored."""

    async def delete(
        self,
        resource: Resource,
        key: Key,
        *,
        uid: str | None = None,
        version: str | None = None,
        grace: int | None = None,
    ) -> JsonObject:
        """DELETE: the object while it exists, else a Status.

        `Conflict` if it has another UID or resourceVersion. `grace` is a Pod's, in seconds.
        """

    def watch(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The lines of a watch, one JSON text each; they end when the server ends the stream.

        Raises `ApiError` when it is refused, `TransportError` when it is cut or silent too long.
        """
