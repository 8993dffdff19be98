"""The recorder: watches etcd itself, so that nothing between it and the truth can lie.

etcd offers its watch as JSON over HTTP. The API server has to store JSON for it
(`--storage-media-type=application/json`), as those of `hack/cluster` do.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from observatory.api.names import Resource
from tests.faults.recording import Record, decoded

JsonObject = dict[str, Any]
State = dict[tuple[str, str], JsonObject]
"""What is stored in one namespace, by the plural of the resource and the name."""
_ALL = "AA=="  # a zero byte: as key and end of a range, every key
_LONGEST_LINE = 64 * 2**20


class Recorder:
    """Follows etcd from now on; keeps the writes of each namespace, and writes them to files."""

    def __init__(self, etcd: str, folder: Path) -> None:
        self._etcd = etcd
        self._folder = folder
        self.version = 0
        self.records: dict[str, list[Record]] = defaultdict(list)
        """The writes of each namespace; those without one are under an empty name."""
        self.state: dict[str, State] = defaultdict(dict)
        self.gap = False
        """Whether etcd had forgotten something that was not recorded yet."""
        self._forgotten: set[str] = set()
        self._kinds: dict[str, tuple[Resource, str, str]] = {}
        self._changed: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._anything = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; returns when what happens from now on is recorded."""
        self._folder.mkdir(parents=True, exist_ok=True)
        begun = asyncio.Event()
        self._task = asyncio.create_task(self._run(begun))
        self._task.add_done_callback(self._wake_all)
        waiting = asyncio.create_task(begun.wait())
        await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            await self._task

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def until(
        self, namespace: str, accept: Callable[[State], object], seconds: float
    ) -> bool:
        """Whether what is stored in a namespace becomes acceptable within so many seconds."""
        changed = self._changed[namespace]
        try:
            async with asyncio.timeout(seconds):
                while True:
                    changed.clear()
                    self._check()
                    if accept(self.state[namespace]):
                        return True
                    await changed.wait()
        except TimeoutError:
            return False

    async def reach(self, version: int, seconds: float = 30) -> bool:
        """Whether everything up to a version is recorded, within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while self.version < version:
                    self._check()
                    self._anything.clear()
                    await self._anything.wait()
        except TimeoutError:
            return False
        return True

    def _check(self) -> None:
        """Without a recorder nothing can be said; let everybody who waits for it know."""
        if self._task is not None and self._task.done():
            self._task.result()
            raise ConnectionError("the recorder has ended")

    def save(self, namespace: str) -> Path:
        """Write what was recorded of a namespace; the file. It is not kept in memory any more."""
        path = self._folder / f"{namespace or 'cluster'}.jsonl"
        with path.open("ab") as file:
            file.writelines(record.to_line() for record in self.records.pop(namespace, []))
        return path

    def forget(self, namespace: str) -> None:
        """Keep nothing of a namespace, and of what is still to come neither."""
        self._forgotten.add(namespace)
        self.records.pop(namespace, None)
        self.state.pop(namespace, None)
        self._changed.pop(namespace, None)

    def earlier(self, namespace: str, plural: str, back: int) -> tuple[int, list[JsonObject]]:
        """The version and the objects of a collection as they were so many of its writes ago."""
        records = [each for each in self.records[namespace] if each.resource.plural == plural]
        kept = records[: max(len(records) - back, 0)]
        objects: dict[str, JsonObject] = {}
        for record in kept:
            objects.pop(record.name, None)
            if record.new is not None:
                objects[record.name] = record.new
        version = kept[-1].version if kept else self.records[namespace][0].version
        return version, list(objects.values())

    def _wake_all(self, _: asyncio.Task[None]) -> None:
        for event in (self._anything, *self._changed.values()):
            event.set()

    async def _run(self, begun: asyncio.Event) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with aiohttp.ClientSession(timeout=timeout, read_bufsize=2**20) as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError, OSError, asyncio.TimeoutError):
                    await self._watch(session, begun)
                if not begun.is_set():
                    raise ConnectionError(f"etcd does not answer at {self._etcd}")
                await asyncio.sleep(0.2)  # it is being restarted

    async def _watch(self, session: aiohttp.ClientSession, begun: asyncio.Event) -> None:
        create: JsonObject = {"key": _ALL, "range_end": _ALL}
        if self.version:
            create["start_revision"] = str(self.version + 1)
        body = orjson.dumps({"create_request": create})
        async with session.post(f"{self._etcd}/v3/watch", data=body) as response:
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._take(orjson.loads(line))
                    begun.set()
                if len(rest) > _LONGEST_LINE:
                    raise ConnectionError("etcd sends a line without an end")

    def _take(self, answer: JsonObject) -> None:
        result = answer.get("result") or {}
        if result.get("canceled"):
            self.gap = True
            self.version = int(result.get("compact_revision") or self.version)
            return
        now = time.time()
        for event in result.get("events", ()):
            self._event(event, now)
        version = int((result.get("header") or {}).get("revision") or 0)
        if result.get("created") and not self.version:
            self.version = version
        self._anything.set()

    def _event(self, event: JsonObject, now: float) -> None:
        kv = event["kv"]
        key = base64.b64decode(kv["key"]).decode()
        version = int(kv["mod_revision"])
        self.version = max(self.version, version)
        if event.get("type") == "DELETE":
            if key not in self._kinds:
                return
            resource, namespace, name = self._kinds.pop(key)
            if namespace in self._forgotten:
                return
            self.state[namespace].pop((resource.plural, name), None)
            new = None
        else:
            found = decoded(key, base64.b64decode(kv.get("value", "")), version)
            if found is None:
                return
            resource, namespace, name, new = found
            if namespace in self._forgotten:
                return
            self._kinds[key] = (resource, namespace, name)
            self.state[namespace][resource.plural, name] = new
        if namespace or resource.plural == "namespaces":
            self.records[namespace].append(Record(version, resource, namespace, name, now, new))
        self._changed[namespace].set()
