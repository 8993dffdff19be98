"""The protocol of client-go's reflector, without I/O: what to ask next, and what an answer means.

A cycle is a listing and the watches after it. It begins as a WatchList: a stream of all objects, up
to a bookmark, that goes on as the watch. Where that is refused it is a List in pages. A watch that
ends is taken up at the last version. An error such as 410, or an end at once, begins a new cycle.

The first listing is always consistent (`resourceVersion=""`); client-go's may be served from a
cache of any age. A new cycle lists at the last version, and consistently only if that is refused.
WatchList has deadlines here: servers and proxies that accept it and never send the bookmark that
ends it have hung client-go's informers for ever (k9s #4044).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto

from observatory.api.jitter import fraction
from observatory.api.types import JsonObject
from observatory.machinery.backoff import Backoff
from observatory.machinery.instant import Instant
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
    Request,
    TimedOut,
    Upsert,
    Wait,
    Watch,
    text_of,
)

PAGE_SIZE = 500
WATCH_SECONDS = 300
"""The server ends a watch after 300 to 600 s; they spread so that they do not all come back."""
READ_SECONDS = 75.0
"""A bookmark is due every 60 s. A connection that is silent for longer is dead."""
SHORT_WATCH_SECONDS = 1.0
"""A stream that ends sooner, having brought nothing, says that something is wrong."""
EVENT_SECONDS = 10.0
"""The longest silence in a WatchList before its bookmark."""
BOOKMARK_SECONDS = 30.0
"""The longest wait for that bookmark after the last object was added."""
WATCH_LIST_SECONDS = 120.0
"""The longest wait for that bookmark: where objects are added all the time, none is the last."""
NO_WATCH_LIST_SECONDS = 3600.0
WATCH_LIST_TRIES = 2
"""After so many WatchLists in a row that were cut off, this cycle lists."""

_KINDS = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")
_NOT_UNDERSTOOD = (400, 422)
_INITIAL_EVENTS_END = "k8s.io/initial-events-end"
_VERSION = re.compile(r"[0-9]{1,20}\Z")
"""A 64-bit number. Python refuses to read integers of thousands of digits."""


class _Phase(Enum):
    WATCH_LIST = auto()
    LIST = auto()
    WATCH = auto()


class ListWatch:
    """Keeps up with one collection. Call `next_request`, do it, `receive` the outcome, and so on.

    `seed` makes the jitter differ between processes; `selectors` go into every request.
    """

    def __init__(
        self,
        seed: str,
        *,
        selectors: Mapping[str, str] | None = None,
        watch_list: bool = True,
    ) -> None:
        self._seed = seed
        self._selectors = dict(selectors or {})
        self._backoff = Backoff(seed)
        self._not_before = Instant(float("-inf"))
        self._no_watch_list_until = Instant(float("-inf" if watch_list else "inf"))
        self._phase = _Phase.WATCH_LIST
        self._version = ""
        self._version_unavailable = False
        self._watches = 0
        self._broken_watch_lists = 0
        self._streaming = False
        self._progressed = False
        self._opened_at = self._last_line_at = self._last_added_at = Instant(0.0)
        # What has been collected of a listing that is under way.
        self._objects: dict[tuple[str, str], JsonObject] = {}
        self._continue = ""
        self._whole = False

    @property
    def streaming(self) -> bool:
        """Whether the stream that was asked for last is still wanted."""
        return self._streaming

    @property
    def deadline(self) -> Instant:
        """When the stream, open or being opened, is to be given up as `TimedOut`."""
        if self._phase is _Phase.WATCH:
            return Instant(self._last_line_at + READ_SECONDS)
        return Instant(
            min(
                self._last_line_at + EVENT_SECONDS,
                self._last_added_at + BOOKMARK_SECONDS,
                self._opened_at + WATCH_LIST_SECONDS,
            )
        )

    def next_request(self, now: Instant) -> Request:
        """What to ask of the API server now."""
        if now < self._not_before:
            return Wait(self._not_before)
        if self._phase is _Phase.WATCH_LIST and now < self._no_watch_list_until:
            self._phase = _Phase.LIST
        if self._phase is _Phase.LIST:
            return ListPage(self._list_params())
        self._opened_at = self._last_line_at = self._last_added_at = now
        self._streaming = True
        self._progressed = False
        return Watch(self._watch_params())

    def receive(self, received: Received, now: Instant) -> tuple[Operation, ...]:
        """What an outcome means for the store."""
        match received:
            case Page(body):
                return self._page(body, now)
            case Failed():
                self._failed(received, now)
            case Event(line) if self._streaming:
                return self._line(line, now)
            case Closed() if self._streaming:
                self._closed(now)
            case TimedOut() if self._streaming:
                self._timed_out(now)
            case _:
                pass  # of a stream that is not wanted any more
        return ()

    def _page(self, body: JsonObject, now: Instant) -> tuple[Operation, ...]:
        try:
            version, items = _version_of(body), _items_of(body)
        except _MalformedError as error:
            self._start_over(now)
            return (Malformed(body, str(error)),)
        skipped = []
        for item in items:
            try:
                _version_of(item)
                self._objects[_name_of(item)] = item
            except _MalformedError as error:
                skipped.append(Malformed(item, str(error)))
        self._continue = text_of(body["metadata"], "continue")
        return tuple(skipped) if self._continue else (*skipped, self._listed(version))

    def _line(self, line: object, now: Instant) -> tuple[Operation, ...]:
        self._last_line_at = now
        event = line if isinstance(line, dict) else {}
        kind, obj = text_of(event, "type"), event.get("object")
        if kind == "ERROR" and isinstance(obj, dict):
            self._failed(Failed.from_status(obj), now)
            return ()
        try:
            version = _version_of(obj)
            if self._phase is _Phase.WATCH_LIST:
                return self._initial_event(kind, event["object"], version, now)
            return self._event(kind, event["object"], version)
        except _MalformedError as error:
            return (Malformed(line, str(error)),)

    def _event(self, kind: str, obj: JsonObject, version: int) -> tuple[Operation, ...]:
        operation: Operation
        match kind:
            case "ADDED" | "MODIFIED":
                _name_of(obj)
                operation = Upsert(obj)
            case "DELETED":
                _name_of(obj)
                operation = Delete(obj)
            case _:
                operation = Bookmark(version)
        self._progressed = self._progressed or version != int(self._version)
        self._version = str(version)
        if kind in _KINDS:
            return (operation,)
        return (Malformed(obj, f"an event of type {kind}"), operation)

    def _initial_event(
        self, kind: str, obj: JsonObject, version: int, now: Instant
    ) -> tuple[Operation, ...]:
        """Collect. These objects come in any order, so none of them says how far we are."""
        match kind:
            case "ADDED" | "MODIFIED":
                self._objects[_name_of(obj)] = obj
                if kind == "ADDED":
                    self._last_added_at = now
            case "DELETED":
                self._objects.pop(_name_of(obj), None)
            case "BOOKMARK":
                annotations = obj["metadata"].get("annotations")
                if isinstance(annotations, dict) and annotations.get(_INITIAL_EVENTS_END) == "true":
                    return (self._listed(version),)
            case _:
                raise _MalformedError(f"an event of type {kind}")
        return ()

    def _listed(self, version: int) -> Replace:
        replace = Replace(tuple(self._objects.values()), version)
        self._drop_collected()
        self._version = str(version)
        self._version_unavailable = False
        self._broken_watch_lists = 0
        self._phase = _Phase.WATCH
        return replace

    def _closed(self, now: Instant) -> None:
        self._streaming = False
        if self._phase is _Phase.WATCH_LIST:
            self._broken_watch_lists += 1
            self._drop_collected()
            self._back_off(now)
            if self._broken_watch_lists % WATCH_LIST_TRIES == 0:
                self._phase = _Phase.LIST
        elif not self._progressed and now - self._opened_at < SHORT_WATCH_SECONDS:
            self._start_over(now)

    def _timed_out(self, now: Instant) -> None:
        self._streaming = False
        if self._phase is _Phase.WATCH_LIST:
            self._drop_collected()
            self._no_watch_list_until = Instant(now + NO_WATCH_LIST_SECONDS)
            self._version_unavailable = True  # in pages, which only a consistent list has
            self._phase = _Phase.LIST

    def _failed(self, failed: Failed, now: Instant) -> None:
        self._streaming = False
        if self._phase is _Phase.WATCH:
            if failed.busy:
                self._back_off(now, failed.retry_after)
            else:
                self._start_over(now, failed.retry_after)
            return
        paging = bool(self._continue)
        self._drop_collected()
        refused = failed.expired or failed.too_large
        if paging and failed.expired:
            self._whole = True
        elif refused and self._list_version():
            self._version_unavailable = True
        elif self._phase is _Phase.LIST:
            self._start_over(now, failed.retry_after)
        elif failed.busy:
            self._back_off(now, failed.retry_after)
        else:
            # No WatchList in this cycle, and not soon again where it is not understood.
            self._phase = _Phase.LIST
            if failed.code in _NOT_UNDERSTOOD:
                self._no_watch_list_until = Instant(now + NO_WATCH_LIST_SECONDS)

    def _start_over(self, now: Instant, retry_after: float | None = None) -> None:
        """Begin a new cycle: list again, with whatever version we have."""
        self._drop_collected()
        self._phase = _Phase.WATCH_LIST
        self._back_off(now, retry_after)

    def _back_off(self, now: Instant, retry_after: float | None = None) -> None:
        self._not_before = Instant(now + max(self._backoff.next(now), retry_after or 0.0))

    def _drop_collected(self) -> None:
        self._objects = {}
        self._continue = ""
        self._whole = False

    def _list_version(self) -> str:
        return "" if self._version_unavailable else self._version

    def _list_params(self) -> dict[str, str]:
        if self._continue:
            # The token stands for the version too; with both, the request is refused.
            return {**self._selectors, "limit": str(PAGE_SIZE), "continue": self._continue}
        params = {**self._selectors, "resourceVersion": self._list_version()}
        # A limit would keep the API server from answering "not older than" from its cache.
        if not self._list_version() and not self._whole:
            params["limit"] = str(PAGE_SIZE)
        return params

    def _watch_params(self) -> dict[str, str]:
        self._watches += 1
        seconds = WATCH_SECONDS * (1 + fraction(self._seed, self._watches))
        params = {
            **self._selectors,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(seconds)),
            "resourceVersion": self._version,
        }
        if self._phase is _Phase.WATCH_LIST:
            params["resourceVersion"] = self._list_version()
            params["resourceVersionMatch"] = "NotOlderThan"
            params["sendInitialEvents"] = "true"
        return params


class _MalformedError(ValueError):
    """Something is not as the API server sends it."""


def _version_of(obj: object) -> int:
    """The version of an object or a List."""
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if isinstance(version, str) and _VERSION.match(version):
        return int(version)
    raise _MalformedError("no resourceVersion, or one that is not a number")


def _items_of(body: JsonObject) -> list[JsonObject]:
    """The objects of a List. To take what is no List for an empty one would delete everything."""
    items = body.get("items", "")
    if items is None:  # how Go writes an empty list that nobody made
        return []
    if isinstance(items, list):
        return items
    raise _MalformedError("a List has no items")


def _name_of(obj: JsonObject) -> tuple[str, str]:
    """The namespace and name of an object whose metadata are complete."""
    metadata = obj["metadata"]
    for name in ("name", "uid"):
        if not isinstance(metadata.get(name), str):
            raise _MalformedError(f"no metadata.{name}")
    namespace = metadata.get("namespace")
    if not isinstance(namespace, str | None):
        raise _MalformedError("a metadata.namespace that is no text")
    return namespace or "", metadata["name"]
