"""Watches of the fake API server: they read the history, each at its own pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import contextmanager

import orjson

from observatory.api.names import Resource
from observatory.api.types import JsonObject
from observatory.simulation import rules
from observatory.simulation.selectors import Matcher, matcher
from observatory.simulation.storage import Entry, Storage


class Watches:
    """All open watches. Paused, they deliver nothing: caches grow stale until `resume`."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.open: list[Stream] = []
        self.paused = False
        storage.changed.append(self._notify)

    @contextmanager
    def opened(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str], age: int = 0
    ) -> Generator[Stream, None, None]:
        """A watch, for as long as its client reads it.

        With an `age`, its initial list is so many versions old, as a server's that lags.
        """
        stream = Stream(self, self._storage, resource, namespace, params, age=age)
        self.open.append(stream)
        try:
            yield stream
        finally:
            self.open.remove(stream)

    def pause(self) -> None:
        """Deliver nothing until `resume`."""
        self.paused = True

    def resume(self) -> None:
        """Deliver what has piled up, and go on."""
        self.paused = False
        for stream in self.open:
            stream.wake.set()

    def cut(self, error: Exception | None) -> None:
        """End all watches, cleanly or with an error."""
        for stream in self.open:
            stream.end(error)

    def bookmark(self) -> None:
        """Send a bookmark to every watch that wants them."""
        for stream in self.open:
            stream.bookmark()

    def _notify(self, entry: Entry) -> None:
        for stream in self.open:
            if stream.sees(entry):
                stream.wake.set()


class Stream:
    """One watch: what it has still to deliver is what is in the history behind its version."""

    def __init__(
        self,
        watches: Watches,
        storage: Storage,
        resource: Resource,
        namespace: str | None,
        params: Mapping[str, str],
        *,
        age: int,
    ) -> None:
        self._watches = watches
        self._storage = storage
        self._resource = resource
        self._namespace = namespace
        self._matches: Matcher = matcher(params)
        self._wants_bookmarks = params.get("allowWatchBookmarks") == "true"
        self.wake = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None
        self._pending: list[bytes] = []
        self._start(params, age)

    def _start(self, params: Mapping[str, str], age: int) -> None:
        wanted = params.get("resourceVersion", "")
        initial = params.get("sendInitialEvents") == "true"
        if "sendInitialEvents" in params and params.get("resourceVersionMatch") != "NotOlderThan":
            raise rules.invalid(
                self._resource, "", "resourceVersionMatch: Forbidden: has to be NotOlderThan"
            )
        if wanted in {"", "0"} or initial:
            self._version = max(self._storage.version - age, self._storage.compacted)
            for _, item in self._storage.items_at(self._version, self._resource, self._namespace):
                if self._matches(item):
                    self._pending.append(_line("ADDED", item))
            if initial and self._wants_bookmarks:
                annotations = {"k8s.io/initial-events-end": "true"}
                self._pending.append(self._bookmark_line(annotations))
            return
        self._version = int(wanted)  # one that is not there yet is waited for, as the real one does

    def end(self, error: Exception | None) -> None:
        """End this watch once what is pending is delivered."""
        self._ended, self._error = True, error
        self.wake.set()

    def expire(self) -> None:
        """Tell that the version of this watch is too old, and end it."""
        text = f"too old resource version: {self._version} ({self._storage.compacted})"
        status: JsonObject = {"kind": "Status", "apiVersion": "v1", "metadata": {}}
        status |= {"status": "Failure", "message": text, "reason": "Expired", "code": 410}
        self._pending.append(_line("ERROR", status))
        self.end(None)

    def bookmark(self) -> None:
        """Send a bookmark, if the client wants them."""
        if self._wants_bookmarks:
            self._read_history()
            self._pending.append(self._bookmark_line(None))
            self.wake.set()

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """What the client reads."""
        while True:
            self.wake.clear()
            if not self._watches.paused:
                self._read_history()
                delivered, self._pending = self._pending, []
                for line in delivered:
                    yield line
            if self._ended:
                if self._error is not None:
                    raise self._error
                return
            await self.wake.wait()

    def _read_history(self) -> None:
        if self._version < self._storage.compacted:
            self.expire()
            return
        for entry in self._storage.since(self._version):
            line = self._event(entry)
            if line is not None:
                self._pending.append(line)
        self._version = max(self._version, self._storage.version)

    def _event(self, entry: Entry) -> bytes | None:
        if not self.sees(entry):
            return None
        before = entry.old is not None and self._matches(entry.old)
        after = entry.new is not None and self._matches(entry.new)
        match before, after:
            case (False, True):
                return _line("ADDED", entry.new)
            case (True, True):
                return _line("MODIFIED", entry.new)
            case (True, False) if entry.new is None:
                return _line("DELETED", entry.removed)
            case (True, False):
                # It left the selection: its last state in there, with the version of leaving.
                assert entry.old is not None  # noqa: S101 - it matched before
                metadata = {**entry.old["metadata"], "resourceVersion": str(entry.version)}
                return _line("DELETED", {**entry.old, "metadata": metadata})
            case _:
                return None

    def sees(self, entry: Entry) -> bool:
        """Whether a write is of a kind and in a namespace that this watch is about."""
        if entry.resource != self._resource:
            return False
        return self._namespace is None or entry.key.namespace == self._namespace

    def _bookmark_line(self, annotations: JsonObject | None) -> bytes:
        metadata: JsonObject = {"resourceVersion": str(self._version)}
        if annotations:
            metadata["annotations"] = annotations
        kind = {"apiVersion": self._resource.api_version, "kind": self._resource.kind}
        return _line("BOOKMARK", {**kind, "metadata": metadata})


def _line(kind: str, item: JsonObject | None) -> bytes:
    return orjson.dumps({"type": kind, "object": item})
