"""Keeps a store equal to a collection in the API server, for ever: client-go's `Reflector`.

What to ask and what the answers mean is decided in `machinery.listwatch`; this is its I/O.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import orjson

from observatory.api.names import Key, Resource
from observatory.api.types import JsonObject
from observatory.kube.api import Api
from observatory.kube.errors import ApiError, TransportError
from observatory.machinery.listwatch import ListWatch
from observatory.machinery.messages import (
    Bookmark,
    Closed,
    Delete,
    Event,
    Failed,
    ListPage,
    Malformed,
    Operation,
    Page,
    Received,
    Replace,
    TimedOut,
    Upsert,
    Wait,
    Watch,
)
from observatory.machinery.store import Change, Identity, Store
from observatory.runtime.clock import Clock

T = TypeVar("T")

_UNDECODED = "a line that is not JSON, or nested more than 1,024 deep"
_SLICE = 500
"""So many objects are taken in one go, a few milliseconds; then others get their turn."""


@dataclass(frozen=True, slots=True)
class Handlers(Generic[T]):
    """Whom a reflector tells. They compute keys and count: none of them may block or wait."""

    on_change: Callable[[Sequence[Change[T]], bool], None]
    """The store has changed; whether this is the initial list. Slices of a long list come apart."""
    on_skipped: Callable[[object, str], None]
    """Something could not be read, and why. The rest goes on without it."""
    on_failed: Callable[[Failed], None]
    """A request was refused or a stream broke; it will be tried again."""


class Reflector(Generic[T]):
    """Lists and watches one resource, in one namespace or with None in all.

    What is stored is `transform(object)`. An object that it rejects, by raising, is skipped and
    reported: what the store had of it before stays. Deletes need no transform and always count.
    """

    def __init__(
        self,
        api: Api,
        resource: Resource,
        namespace: str | None,
        *,
        store: Store[T],
        transform: Callable[[JsonObject], T],
        handlers: Handlers[T],
        list_watch: ListWatch,
        clock: Clock,
    ) -> None:
        self._api = api
        self._resource = resource
        self._namespace = namespace
        self._store = store
        self._transform = transform
        self._handlers = handlers
        self._list_watch = list_watch
        self._clock = clock
        self._applying = False
        self.synced = asyncio.Event()
        """Set when the handlers have been told of the whole initial list."""

    async def run(self) -> None:
        """Reflect until cancelled."""
        while True:
            now = self._clock.monotonic()
            match self._list_watch.next_request(now):
                case Wait(until):
                    await self._clock.sleep(until - now)
                case ListPage(params):
                    await self._receive(await self._list(params))
                case Watch(params):
                    await self._watch(params)

    async def _list(self, params: Mapping[str, str]) -> Page | Failed:
        try:
            return Page(await self._api.list(self._resource, self._namespace, params))
        except (ApiError, TransportError) as error:
            return _failed(error)

    async def _watch(self, params: Mapping[str, str]) -> None:
        opened = False
        end: Received = Closed()
        try:
            async with asyncio.timeout(None) as limit:
                watchdog = asyncio.create_task(self._expire(limit))
                try:
                    async with self._api.watch(self._resource, self._namespace, params) as lines:
                        opened = True
                        count = 0
                        async for line in lines:
                            await self._receive(Event(_decoded(line)))
                            if not self._list_watch.streaming:
                                return
                            # Lines that are there already come without a turn of the loop.
                            count += 1
                            if count % _SLICE == 0:
                                await asyncio.sleep(0)
                finally:
                    watchdog.cancel()
        except TimeoutError:
            end = TimedOut()
        except (ApiError, TransportError) as error:
            end = Closed() if opened else _failed(error)
        await self._receive(end)

    async def _expire(self, limit: asyncio.Timeout) -> None:
        """Let `limit` expire at the deadline, which moves with every line.

        But never inside a listing that is being taken: the list-watch thinks that the store has it.
        """
        while (left := self._list_watch.deadline - self._clock.monotonic()) > 0 or self._applying:
            await self._clock.sleep(max(left, 1.0))
        limit.reschedule(asyncio.get_running_loop().time())

    async def _receive(self, received: Received) -> None:
        match received:
            case Failed():
                self._handlers.on_failed(received)
            case Event({"type": "ERROR", "object": dict(status)}):
                self._handlers.on_failed(Failed.from_status(status))
            case TimedOut():
                self._handlers.on_failed(Failed(None, message="the watch was silent for too long"))
            case _:
                pass
        self._applying = True
        for operation in self._list_watch.receive(received, self._clock.monotonic()):
            await self._apply(operation)
        self._applying = False

    async def _apply(self, operation: Operation) -> None:
        match operation:
            case Replace(objects, version):
                await self._replace(objects, version)
            case Upsert(obj):
                self._upsert(obj)
            case Delete(obj):
                self._tell(self._store.delete(_identity(obj)))
            case Bookmark(version):
                self._store.bookmark(version)
            case Malformed(what, reason):
                undecoded = isinstance(what, bytes)
                self._handlers.on_skipped(what, _UNDECODED if undecoded else reason)

    async def _replace(self, objects: Sequence[JsonObject], version: int) -> None:
        admitted: list[T] = []
        for part in _slices(objects):
            for raw in part:
                obj = self._admitted(raw)
                # The object is there, so its last readable version must not look deleted.
                obj = self._store.get(_identity(raw).key) if obj is None else obj
                if obj is not None:
                    admitted.append(obj)
            await asyncio.sleep(0)
        initial = not self._store.synced
        for changes in _slices(self._store.replace(admitted, version)):
            self._tell(changes, initial=initial)
            await asyncio.sleep(0)
        self.synced.set()

    def _upsert(self, raw: JsonObject) -> None:
        obj = self._admitted(raw)
        if obj is not None:
            self._tell(self._store.upsert(obj))
        else:
            self._store.bookmark(_identity(raw).version)

    def _admitted(self, raw: JsonObject) -> T | None:
        """What the store can take of an object; None if that is nothing."""
        try:
            obj = self._transform(raw)
            self._store.check(obj)
        except Exception as error:  # noqa: BLE001 -- one bad object harms only itself
            self._handlers.on_skipped(raw, f"{type(error).__name__}: {error}")
            return None
        return obj

    def _tell(self, changes: Sequence[Change[T]], *, initial: bool = False) -> None:
        if not changes:
            return
        try:
            self._handlers.on_change(changes, initial)
        except Exception as error:  # noqa: BLE001 -- events that follow must not be lost with this one
            self._handlers.on_skipped(changes, f"{type(error).__name__}: {error}")


U = TypeVar("U")


def _slices(items: Sequence[U]) -> Iterator[Sequence[U]]:
    return (items[start : start + _SLICE] for start in range(0, len(items), _SLICE))


def _identity(raw: JsonObject) -> Identity:
    metadata = raw["metadata"]
    key = Key(metadata.get("namespace") or "", metadata["name"])
    return Identity(key, metadata["uid"], int(metadata["resourceVersion"]))


def _decoded(line: bytes) -> object:
    try:
        decoded: object = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line
    return decoded


def _failed(error: ApiError | TransportError) -> Failed:
    if isinstance(error, TransportError):
        return Failed(None, message=str(error))
    return Failed(error.status, error.reason, error.message, error.details, error.retry_after)
