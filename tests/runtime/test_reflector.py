from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import orjson
import pytest

from observatory.api.names import PODS, Key, Resource
from observatory.api.types import JsonObject
from observatory.kube.errors import ApiError, Invalid, TransportError
from observatory.machinery.instant import Instant
from observatory.machinery.listwatch import ListWatch
from observatory.machinery.messages import Failed
from observatory.machinery.store import Change, Identity, Store
from observatory.runtime.reflector import Handlers, Reflector
from observatory.simulation.apiserver import ApiServer, Request

NOW = datetime(2024, 3, 1, tzinfo=UTC)


class Clock:
    """Stands still until somebody turns its hands."""

    def __init__(self) -> None:
        self.time = Instant(0.0)
        self.sleepers: list[tuple[Instant, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> Instant:
        return self.time

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleepers.append((Instant(self.time + seconds), woken))
        await woken

    def advance(self, seconds: float) -> None:
        self.time = Instant(self.time + seconds)
        for due, woken in self.sleepers:
            if due <= self.time and not woken.done():
                woken.set_result(None)


class FilteredServer(ApiServer):
    """Between it and the watcher, something changes the lines."""

    lines: Callable[[bytes], Sequence[bytes]] = staticmethod(lambda line: [line])

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        async with super().watch(resource, namespace, params) as lines:
            yield (changed async for line in lines for changed in self.lines(line))


def identify(obj: JsonObject) -> Identity:
    metadata = obj["metadata"]
    key = Key(metadata["namespace"], metadata["name"])
    return Identity(key, metadata["uid"], int(metadata["resourceVersion"]))


def by_color(obj: JsonObject) -> tuple[str, ...]:
    labels = obj["metadata"].get("labels") or {}
    if labels.get("color") == "unindexable":
        raise ValueError(obj["metadata"]["name"])
    return (labels["color"],) if "color" in labels else ()


class World:
    """A server, a reflector of its Pods, and what that told."""

    def __init__(self, *, watch_list: bool = True) -> None:
        self.server = FilteredServer(lambda: NOW)
        self.clock = Clock()
        self.store: Store[JsonObject] = Store(identify, {"color": by_color})
        self.changes: list[tuple[str, str, bool]] = []
        self.skipped: list[tuple[object, str]] = []
        self.failures: list[Failed] = []
        self.synced_at_change: list[bool] = []
        self.deaf = False
        self.transformed = 0
        self.seconds_to_transform = 0.0
        self.reflector = Reflector(
            self.server,
            PODS,
            None,
            store=self.store,
            transform=self.transform,
            handlers=Handlers(
                on_change=self.on_change,
                on_skipped=lambda what, reason: self.skipped.append((what, reason)),
                on_failed=self.failures.append,
            ),
            list_watch=ListWatch("test", watch_list=watch_list),
            clock=self.clock,
        )

    def transform(self, raw: JsonObject) -> JsonObject:
        self.transformed += 1
        self.clock.advance(self.seconds_to_transform)
        if (raw["metadata"].get("labels") or {}).get("color") == "poison":
            raise ValueError("cannot be read")
        return raw

    def on_change(self, changes: Sequence[Change[JsonObject]], initial: bool) -> None:  # noqa: FBT001
        self.synced_at_change.append(self.reflector.synced.is_set())
        for change in changes:
            if self.deaf:
                raise RuntimeError("not listening")
            kind = "delete" if change.new is None else "update" if change.old else "add"
            obj = change.new or change.old
            assert obj is not None
            stored = self.store.get(identify(obj).key)
            assert stored is change.new if change.new else stored is not change.old
            self.changes.append((kind, obj["metadata"]["name"], initial))

    def create(self, name: str, color: str = "white") -> None:
        metadata = {"name": name, "namespace": "default", "labels": {"color": color}}
        pod = {"metadata": metadata, "spec": {"containers": [{"name": "task"}]}}
        self.server.create_now(PODS, "default", pod)

    def paint(self, name: str, color: str) -> None:
        stored = self.server.get_now(PODS, Key("default", name))
        metadata = {**stored["metadata"], "labels": {"color": color}}
        self.server.replace_now(PODS, Key("default", name), {**stored, "metadata": metadata})

    def delete(self, name: str) -> None:
        self.server.storage.remove(PODS, Key("default", name))

    def colors(self) -> dict[str, str]:
        return {
            o["metadata"]["name"]: o["metadata"]["labels"]["color"] for o in self.store.values()
        }

    def asked(self) -> list[str]:
        return [request.verb for request in self.server.requests]


async def settle() -> None:
    """Let everything happen that can happen without time passing."""
    for _ in range(100):
        await asyncio.sleep(0)


def play(world: World, story: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run the reflector while the story is told."""

    async def told() -> None:
        running = asyncio.create_task(world.reflector.run())
        await settle()
        await story()
        assert not running.done(), running.exception()
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()

    asyncio.run(told())
    assert not [reason for _, reason in world.skipped if reason.startswith("AssertionError")]


def refuse(world: World, verb: str, error: Exception) -> None:
    """Have every request of this kind fail."""

    def before(request: Request) -> None:
        if request.verb == verb:
            raise error

    world.server.before = before


def allow(world: World) -> None:
    world.server.before = lambda _: None


def test_the_initial_list_is_told_before_the_reflector_is_synced() -> None:
    world = World()
    world.create("vega")
    world.create("deneb")

    async def story() -> None:
        assert world.reflector.synced.is_set()

    play(world, story)
    assert world.changes == [("add", "deneb", True), ("add", "vega", True)]
    assert world.synced_at_change == [False]
    assert world.store.version == world.server.storage.version
    assert world.asked() == ["watch"]


def test_events_reach_the_store_and_then_the_handlers_in_order() -> None:
    world = World()
    world.create("vega", "blue")

    async def story() -> None:
        world.create("deneb", "white")
        world.paint("vega", "red")
        world.delete("deneb")
        await settle()

    play(world, story)
    assert world.changes[1:] == [
        ("add", "deneb", False),
        ("update", "vega", False),
        ("delete", "deneb", False),
    ]
    assert world.colors() == {"vega": "red"}
    assert world.store.version == world.server.storage.version


def test_a_bookmark_moves_the_version_and_nothing_else() -> None:
    world = World()

    async def story() -> None:
        world.server.create_now(
            Resource("", "v1", "secrets", "Secret"),
            "default",
            {"metadata": {"name": "elsewhere", "namespace": "default"}},
        )
        world.server.watches.bookmark()
        await settle()

    play(world, story)
    assert world.changes == []
    assert world.store.version == world.server.storage.version


def test_a_watch_that_was_cut_is_taken_up_without_a_list_and_without_loss() -> None:
    world = World()
    world.create("vega")

    async def story() -> None:
        world.paint("vega", "red")
        await settle()
        world.server.cut_watches(TransportError("reset by peer"))
        world.create("deneb")
        await settle()

    play(world, story)
    assert world.colors() == {"vega": "red", "deneb": "white"}
    assert world.asked() == ["watch", "watch"]
    assert world.server.requests[-1].params["resourceVersion"] != ""
    assert "sendInitialEvents" not in world.server.requests[-1].params


def test_a_watch_that_ended_leaves_nothing_behind() -> None:
    world = World()

    async def story() -> None:
        before = len(asyncio.all_tasks())
        for number in range(5):
            world.create(f"star-{number}")
            await settle()
            world.server.cut_watches()
            await settle()
        assert world.asked() == ["watch"] * 6
        assert len(asyncio.all_tasks()) == before

    play(world, story)


def test_what_was_deleted_while_the_history_was_lost_is_told_as_deleted() -> None:
    world = World()
    world.create("vega")
    world.create("deneb")

    async def story() -> None:
        world.server.watches.pause()
        world.delete("vega")
        world.delete("deneb")
        world.create("deneb")
        world.server.compact()
        world.server.watches.resume()
        await settle()
        world.clock.advance(2)
        await settle()

    play(world, story)
    assert [failed.code for failed in world.failures] == [410]
    assert world.changes[2:] == [
        ("delete", "vega", False),
        ("delete", "deneb", False),
        ("add", "deneb", False),
    ]


def test_a_connection_that_died_silently_is_replaced_after_75_seconds() -> None:
    world = World()

    async def story() -> None:
        world.server.watches.pause()
        world.create("vega")
        await settle()
        world.clock.advance(74)
        await settle()
        assert world.asked() == ["watch"]
        world.clock.advance(1)
        await settle()
        world.server.watches.resume()
        await settle()

    play(world, story)
    assert world.asked() == ["watch", "watch"]
    assert world.failures == [Failed(None, message="the watch was silent for too long")]
    assert world.colors() == {"vega": "white"}


def test_lines_put_the_end_of_a_silent_connection_off() -> None:
    world = World()

    async def story() -> None:
        for number in range(4):
            world.clock.advance(50)
            world.create(f"star-{number}")
            await settle()

    play(world, story)
    assert world.asked() == ["watch"]
    assert len(world.colors()) == 4


def test_a_server_without_watch_list_is_listed_in_pages() -> None:
    world = World()
    for number in range(1200):
        world.create(f"star-{number}")

    def before(request: Request) -> None:
        if "sendInitialEvents" in request.params:
            raise Invalid(422, "Invalid", "sendInitialEvents: Forbidden")

    world.server.before = before

    async def story() -> None:
        world.create("vega")
        await settle()

    play(world, story)
    assert world.asked() == ["watch", "list", "list", "list", "watch"]
    assert len(world.colors()) == 1201
    assert world.changes[-1] == ("add", "vega", False)


def test_a_server_that_never_ends_its_watch_list_is_listed_after_ten_seconds() -> None:
    world = World()
    world.create("vega")
    world.server.lines = lambda line: [] if b"BOOKMARK" in line else [line]

    async def story() -> None:
        assert not world.reflector.synced.is_set()
        world.clock.advance(10)
        await settle()
        assert world.reflector.synced.is_set()

    play(world, story)
    assert world.asked() == ["watch", "list", "watch"]
    assert world.colors() == {"vega": "white"}


def test_a_server_that_is_away_is_asked_again_after_a_pause_and_the_cache_stays() -> None:
    world = World()
    world.create("vega")

    async def story() -> None:
        refuse(world, "watch", TransportError("connection refused"))
        world.server.cut_watches()
        await settle()
        world.clock.advance(1)
        world.server.cut_watches()
        await settle()
        assert world.colors() == {"vega": "white"}
        allow(world)
        world.create("deneb")
        world.clock.advance(10)
        await settle()
        world.clock.advance(10)
        await settle()

    play(world, story)
    assert {failed.message for failed in world.failures} == {"connection refused"}
    assert world.colors() == {"vega": "white", "deneb": "white"}


def test_a_list_that_failed_is_made_again_after_a_pause() -> None:
    world = World(watch_list=False)
    refuse(world, "list", ApiError(503, "ServiceUnavailable", "starting", retry_after=5.0))

    async def story() -> None:
        allow(world)
        world.clock.advance(4.9)
        await settle()
        assert not world.reflector.synced.is_set()
        world.clock.advance(0.2)
        await settle()
        assert world.reflector.synced.is_set()

    play(world, story)
    assert world.failures == [Failed(503, "ServiceUnavailable", "starting", {}, 5.0)]
    assert world.asked() == ["list", "list", "watch"]


def test_a_poisoned_object_harms_only_itself_and_its_last_good_version_stays() -> None:
    world = World()
    world.create("never-read", "poison")
    world.create("vega", "blue")

    async def story() -> None:
        world.paint("vega", "poison")
        world.create("deneb")
        world.create("altair")
        world.paint("deneb", "unindexable")
        await settle()

    play(world, story)
    assert [reason for _, reason in world.skipped] == [
        "ValueError: cannot be read",
        "ValueError: cannot be read",
        "ValueError: deneb",
    ]
    assert world.colors() == {"vega": "blue", "deneb": "white", "altair": "white"}
    assert world.store.version == world.server.storage.version


def test_a_poisoned_object_counts_as_present_in_a_list_and_as_gone_when_it_is_deleted() -> None:
    world = World()
    world.create("vega", "blue")

    async def story() -> None:
        world.server.watches.pause()
        world.paint("vega", "poison")
        world.server.compact()
        world.server.watches.resume()
        await settle()
        world.clock.advance(2)
        await settle()
        assert world.colors() == {"vega": "blue"}
        world.delete("vega")
        await settle()

    play(world, story)
    assert world.changes == [("add", "vega", True), ("delete", "vega", False)]


def test_a_handler_that_fails_misses_nothing_but_that_event() -> None:
    world = World()

    async def story() -> None:
        world.deaf = True
        world.create("vega")
        await settle()
        world.deaf = False
        world.create("deneb")
        await settle()

    play(world, story)
    assert world.changes == [("add", "deneb", False)]
    assert world.colors() == {"vega": "white", "deneb": "white"}
    assert world.skipped[0][1] == "RuntimeError: not listening"


def test_a_garbled_line_is_skipped_and_the_stream_goes_on() -> None:
    world = World()
    world.server.lines = lambda line: [b'{"type": "ADDED", "obj\xff', line]

    async def story() -> None:
        world.create("vega")
        await settle()

    play(world, story)
    assert world.skipped == [
        (b'{"type": "ADDED", "obj\xff', "a line that is not JSON, or nested more than 1,024 deep")
    ] * len(world.skipped)
    assert world.colors() == {"vega": "white"}
    assert world.asked() == ["watch"]


DEEP = "[" * 1020 + "]" * 1020


@pytest.mark.parametrize("field", ["name", "namespace", "uid", "resourceVersion", "labels"])
@pytest.mark.parametrize("value", ["{}", "[]", "null", "5", '"' + "9" * 5000 + '"', DEEP])
@pytest.mark.parametrize("kind", ["ADDED", "DELETED", "BOOKMARK"])
@pytest.mark.parametrize("watch_list", [True, False])
def test_a_bad_object_is_never_fatal(kind: str, field: str, value: str, watch_list: bool) -> None:  # noqa: FBT001
    world = World(watch_list=watch_list)
    good = {"name": "x", "namespace": "default", "uid": "u", "resourceVersion": "1", "labels": {}}
    fields = {**{name: orjson.dumps(text).decode() for name, text in good.items()}, field: value}
    metadata = ",".join(f'"{name}":{text}' for name, text in fields.items())
    bad = f'{{"type":"{kind}","object":{{"metadata":{{{metadata}}}}}}}'.encode()
    world.server.lines = lambda line: [bad, line]

    async def story() -> None:
        world.create("vega")
        await settle()

    play(world, story)
    assert world.store.get(Key("default", "vega")) is not None


def turns_of_others(world: World, progress: Callable[[], int]) -> set[int]:
    """How far the reflector was whenever somebody else had a turn, until it was synced."""
    seen: set[int] = set()

    async def told() -> None:
        running = asyncio.create_task(world.reflector.run())
        while not world.reflector.synced.is_set():
            seen.add(progress())
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(told())
    return seen


def test_others_get_their_turn_while_a_long_list_is_taken() -> None:
    world = World()
    for number in range(3000):
        world.create(f"star-{number}")
    lines: list[bytes] = []

    def counted(line: bytes) -> Sequence[bytes]:
        lines.append(line)
        return [line]

    world.server.lines = counted

    seen = turns_of_others(world, lambda: len(lines) + world.transformed + len(world.changes))

    assert len(world.changes) == 3000
    # Lines, transforms and changes, each in slices of 500; one more line is the bookmark.
    expected = {*range(0, 3001, 500), *range(3501, 9002, 500)}
    assert seen >= expected


def test_a_listing_that_takes_long_to_store_is_stored() -> None:
    world = World()
    for number in range(600):
        world.create(f"star-{number}")
    world.seconds_to_transform = 1.0

    async def story() -> None:
        await settle()

    play(world, story)
    assert len(world.colors()) == 600
