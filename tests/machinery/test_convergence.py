"""A list-watch and a store against a small model of an API server, with faults at every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from observatory.api.names import Key
from observatory.api.types import JsonObject
from observatory.machinery.instant import Instant
from observatory.machinery.listwatch import ListWatch
from observatory.machinery.messages import (
    Bookmark,
    Closed,
    Delete,
    Event,
    Failed,
    ListPage,
    Operation,
    Page,
    Replace,
    TimedOut,
    Upsert,
    Wait,
    Watch,
)
from observatory.machinery.store import Identity, Store

EXPIRED = Failed(410, "Expired", "too old resource version")
TOO_LARGE = Failed(504, "Timeout", "Too large resource version: 9, current: 5")
FAULTS = [
    EXPIRED,
    TOO_LARGE,
    Failed(429, "TooManyRequests", retry_after=3.0),
    Failed(500, "StoreReadError", "a corrupt object"),
    Failed(None, message="connection reset"),
]
BAD_LINES = [b'{"type": "AD', {"type": "ADDED", "object": {}}, {"type": "NEWS", "object": None}]

MOSTLY = st.sampled_from([True, True, True, False])


def identify(obj: JsonObject) -> Identity:
    metadata = obj["metadata"]
    key = Key(metadata["namespace"], metadata["name"])
    return Identity(key, metadata["uid"], int(metadata["resourceVersion"]))


@dataclass
class Server:
    """Objects, the history of their changes, and how far back it is known."""

    watch_list: bool
    page_size: int = 2
    version: int = 10
    compacted: int = 0
    objects: dict[str, JsonObject] = field(default_factory=dict)
    history: list[tuple[int, str, JsonObject]] = field(default_factory=list)

    def write(self, name: str, *, delete: bool, recreate: bool) -> None:
        self.version += 1
        old = self.objects.pop(name, None)
        uid = old["metadata"]["uid"] if old else f"{name}-{self.version}"
        metadata = {"namespace": "n", "name": name, "resourceVersion": str(self.version)}
        obj: JsonObject = {"metadata": {**metadata, "uid": uid}}
        kind = "DELETED" if delete else "MODIFIED" if old else "ADDED"
        if delete and old is None:
            return
        if not delete:
            self.objects[name] = obj
        self.history.append((self.version, kind, obj))
        if delete and recreate:
            self.write(name, delete=False, recreate=False)

    def answer(self, params: Mapping[str, str]) -> Page | Failed:
        # A page of an older snapshot is the objects as they were: none has changed, or it expired.
        version, start = self.version, 0
        if token := params.get("continue"):
            version, start = map(int, token.split(":"))
            if version != self.version:
                return EXPIRED
        elif int(params["resourceVersion"] or 0) > self.version:
            return TOO_LARGE
        end = start + self.page_size if "limit" in params else len(self.objects)
        more = f"{version}:{end}" if end < len(self.objects) else ""
        metadata = {"resourceVersion": str(version), "continue": more}
        return Page({"metadata": metadata, "items": list(self.objects.values())[start:end]})

    def bookmark(self, *, initial: bool) -> JsonObject:
        annotations = {"k8s.io/initial-events-end": "true"} if initial else {}
        metadata = {"resourceVersion": str(self.version), "annotations": annotations}
        return {"type": "BOOKMARK", "object": {"metadata": metadata}}

    def initial_events(self) -> list[JsonObject]:
        return [{"type": "ADDED", "object": obj} for obj in self.objects.values()]

    def since(self, version: int) -> list[JsonObject]:
        if version < self.compacted:
            status = {"kind": "Status", "code": 410, "reason": "Expired"}
            return [{"type": "ERROR", "object": status}]
        return [{"type": kind, "object": o} for at, kind, o in self.history if at > version]


class Convergence(RuleBasedStateMachine):
    """One watcher of one server. Whatever happened: without faults it ends up with the truth."""

    @initialize(watch_list=MOSTLY, offered=MOSTLY, names=st.sampled_from(["", "a", "abc", "abcd"]))
    def begin(self, watch_list: bool, offered: bool, names: str) -> None:  # noqa: FBT001
        self.server = Server(watch_list=offered)
        for name in names:
            self.server.write(name, delete=False, recreate=False)
        self.machine = ListWatch("fuzz", watch_list=watch_list)
        self.store: Store[JsonObject] = Store(identify)
        self.now = Instant(0.0)
        self.position = 0
        self.initial = False
        self.pending: list[JsonObject] = []
        self.versions: dict[Key, int] = {}

    @rule(name=st.sampled_from("abcd"), delete=st.booleans(), recreate=st.booleans())
    def write(self, name: str, delete: bool, recreate: bool) -> None:  # noqa: FBT001
        self.server.write(name, delete=delete, recreate=recreate)

    @rule()
    def compact(self) -> None:
        self.server.compacted = self.server.version

    @rule(lines=st.integers(1, 6))
    def quiet_step(self, lines: int) -> None:
        self.step(None, None, lines, 0.1)

    @rule(name=st.sampled_from("abcd"), lines=st.integers(1, 3))
    def disturbed_step(self, name: str, lines: int) -> None:
        """Something happens between the lines, above all in a WatchList."""
        self.step(None, None, lines, 0.1)
        self.server.write(name, delete=True, recreate=False)

    @rule(
        fault=st.sampled_from([*[None] * 15, *FAULTS, Closed(), TimedOut()]),
        bad=st.sampled_from([*[None] * 9, *BAD_LINES]),
        lines=st.integers(0, 4),
        seconds=st.floats(0.0, 5.0),
    )
    def step(
        self, fault: Failed | Closed | TimedOut | None, bad: object, lines: int, seconds: float
    ) -> None:
        self.now = Instant(self.now + seconds)
        if not self.machine.streaming:
            self.request(fault)
            fault = None
        for _ in range(lines):
            self.read()
        if bad is not None:
            self.end(Event(bad))
        if isinstance(fault, Failed) and fault.code is not None:
            status = {"code": fault.code, "reason": fault.reason, "message": fault.message}
            self.end(Event({"type": "ERROR", "object": status}))
        elif fault is not None:
            self.end(Closed() if isinstance(fault, Failed) else fault)

    def end(self, received: Event | Closed | TimedOut) -> None:
        if self.machine.streaming:
            self.receive(received)

    def request(self, fault: Failed | Closed | TimedOut | None) -> None:
        request = self.machine.next_request(self.now)
        match request:
            case Wait(until):
                assert until - self.now <= 60.0
                self.now = until
                self.request(fault)
            case ListPage(params):
                failed = fault if isinstance(fault, Failed) else None
                self.receive(failed or self.server.answer(params))
            case Watch():
                self.open(request, fault)

    def open(self, request: Watch, fault: Failed | Closed | TimedOut | None) -> None:
        initial = "sendInitialEvents" in request.params
        if fault is not None:
            self.receive(fault)
        elif initial and not self.server.watch_list:
            self.receive(Failed(422, "Invalid"))
        else:
            self.position = int(request.params["resourceVersion"] or 0)
            self.pending = []
            self.initial = initial
            if initial:
                self.pending = self.server.initial_events()
                self.position = self.server.version

    def read(self) -> None:
        """One line, or a bookmark when there is nothing new."""
        if not self.machine.streaming:
            return
        if not self.pending:
            self.pending = self.server.since(self.position)
            self.position = self.server.version
            if self.initial or not self.pending:
                self.pending.append(self.server.bookmark(initial=self.initial))
            self.initial = False
        self.receive(Event(self.pending.pop(0)))

    def receive(self, received: Page | Event | Closed | TimedOut | Failed) -> None:
        for operation in self.machine.receive(received, self.now):
            self.apply(operation)

    def apply(self, operation: Operation) -> None:
        match operation:
            case Replace(objects, version):
                self.store.replace(objects, version)
            case Upsert(obj):
                self.store.upsert(obj)
            case Delete(obj):
                self.store.delete(identify(obj))
            case Bookmark(version):
                self.store.bookmark(version)
            case _:
                pass

    @invariant()
    def no_object_goes_back_in_time(self) -> None:
        for obj in self.store.values():
            key, _, version = identify(obj)
            assert version >= self.versions.get(key, 0)
            self.versions[key] = version

    @invariant()
    def the_store_claims_no_version_that_it_lacks(self) -> None:
        if not self.store.synced:
            return
        seen = {at: None for at, _, _ in self.server.history if at <= self.store.version}
        latest: dict[str, JsonObject | None] = {}
        for at, kind, obj in self.server.history:
            if at in seen:
                latest[obj["metadata"]["name"]] = None if kind == "DELETED" else obj
        expected = {name: obj for name, obj in latest.items() if obj is not None}
        assert {obj["metadata"]["name"]: obj for obj in self.store.values()} == expected

    def teardown(self) -> None:
        for _ in range(40):
            if self.machine.streaming:
                self.read()
            else:
                self.request(None)
        objects = {obj["metadata"]["name"]: obj for obj in self.store.values()}
        assert objects == self.server.objects
        assert self.store.synced
        assert self.store.version == self.server.version


TestConvergence = Convergence.TestCase
TestConvergence.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
