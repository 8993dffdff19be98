"""Whatever comes over a connection: what can't be read is skipped and told, the rest arrives."""

from __future__ import annotations

import json
from collections.abc import Mapping

import orjson
from hypothesis import given
from hypothesis import strategies as st

from observatory.api.names import Resource
from observatory.api.types import JsonObject
from observatory.kube.errors import LONGEST_RETRY_AFTER, MESSAGE_LENGTH, BadRequest, from_status
from observatory.kube.watchstream import LineSplitter
from observatory.machinery.messages import Failed
from tests.fuzz.mutations import JSON, examples, mutated, values
from tests.runtime.test_reflector import FilteredServer, World, play, settle

MINUTES = 12
"""Longer than any pause, and than the time after which a silent connection is replaced."""


class Garbling(FilteredServer):
    """Its first List is not what it should be."""

    page: JSON = None

    async def list(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str]
    ) -> JsonObject:
        page, self.page = self.page, None
        if page is not None:
            answer: JsonObject = page
            return answer
        try:
            return await super().list(resource, namespace, params)
        except ValueError as error:  # a token that it has not given
            raise BadRequest(400, "BadRequest", "continue: no token") from error


def world_with(*names: str, watch_list: bool = True) -> tuple[World, Garbling]:
    world = World(watch_list=watch_list)
    server = Garbling(world.server._now)
    world.server = world.reflector._api = server
    for name in names:
        world.create(name)
    return world, server


async def time_passes(world: World) -> None:
    """So much that whatever was to come has come; at the end, what is new arrives."""
    for _ in range(MINUTES * 6):
        world.clock.advance(10)
        await settle()


def told_in_the_end(world: World, before: int) -> None:
    """What is new has come, and nothing was asked for too often while time passed."""
    assert "altair" in {pod["metadata"]["name"] for pod in world.store.values()}
    assert len(world.asked()) - before <= 5 * MINUTES


EVENT: JsonObject = {
    "type": "MODIFIED",
    "object": {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "vega",
            "namespace": "default",
            "uid": "00000000-0000-4000-8000-000000000002",
            "resourceVersion": "4",
            "labels": {"color": "blue"},
        },
        "spec": {"containers": [{"name": "task"}]},
    },
}
BOOKMARK: JsonObject = {
    "type": "BOOKMARK",
    "object": {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "4"}},
}
STATUS: JsonObject = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": "too many requests",
    "reason": "TooManyRequests",
    "details": {"retryAfterSeconds": 3, "causes": [{"reason": "x", "message": "y"}]},
    "code": 429,
}
ERROR: JsonObject = {"type": "ERROR", "object": STATUS}
lines = st.binary(min_size=1, max_size=40).filter(lambda line: b"\n" not in line) | mutated(
    [EVENT, BOOKMARK, ERROR]
).map(lambda event: json.dumps(event).encode())


@examples(40)
@given(st.lists(lines, min_size=1, max_size=4), st.booleans())
def test_whatever_stands_in_a_stream_what_follows_arrives(
    garbage: list[bytes],
    watch_list: bool,  # noqa: FBT001
) -> None:
    world, server = world_with("vega", "deneb", watch_list=watch_list)

    async def story() -> None:
        server.lines = lambda line: [*garbage, line]
        world.paint("deneb", "red")
        await settle()
        server.lines = lambda line: [line]
        before = len(world.asked())
        await time_passes(world)
        world.create("altair")
        await settle()
        told_in_the_end(world, before)

    play(world, story)


@examples(60)
@given(st.binary(min_size=1, max_size=40).filter(lambda line: b"\n" not in line))
def test_a_line_that_is_no_event_is_told_and_the_stream_goes_on(line: bytes) -> None:
    world, server = world_with("vega")

    async def story() -> None:
        server.lines = lambda event: [line, event]
        world.create("altair")
        await settle()

    play(world, story)
    assert len(world.skipped) == 1
    assert world.colors() == {"vega": "white", "altair": "white"}
    assert world.asked() == ["watch"]


LIST: JsonObject = {
    "apiVersion": "v1",
    "kind": "PodList",
    "metadata": {"resourceVersion": "3", "continue": ""},
    "items": [EVENT["object"], {**EVENT["object"], "spec": {}}],
}


@examples(40)
@given(mutated([LIST]) | st.dictionaries(st.text(max_size=8), values, max_size=3))
def test_whatever_a_list_holds_the_next_one_counts(page: JSON) -> None:
    world, server = world_with("vega", watch_list=False)
    server.page = page

    async def story() -> None:
        before = len(world.asked())
        await time_passes(world)
        world.create("altair")
        await settle()
        told_in_the_end(world, before)

    play(world, story)
    assert len(world.skipped) <= 10


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_any_bytes_make_the_same_lines_however_they_are_cut(stream: bytes, cuts: list[int]) -> None:
    whole, pieces = LineSplitter(), LineSplitter()
    expected = whole.feed(stream)
    seen: list[bytes] = []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(stream)], strict=True):
        seen += pieces.feed(stream[start:end])
    assert seen == expected
    assert all(line and b"\n" not in line for line in seen)
    assert pieces.truncated == whole.truncated == (bool(stream) and not stream.endswith(b"\n"))


bodies = st.binary(max_size=60) | (mutated([STATUS]) | values).map(
    lambda body: json.dumps(body).encode()
)
headers = st.none() | st.text(max_size=8) | st.sampled_from(["1e300", "-1", "9" * 400, "nan", "5"])


@examples(300)
@given(st.integers(400, 599), bodies, headers)
def test_any_answer_is_an_error_with_a_short_text(
    code: int, body: bytes, header: str | None
) -> None:
    error = from_status(code, body, {} if header is None else {"Retry-After": header})
    assert error.message
    assert len(str(error)) <= MESSAGE_LENGTH + len(error.reason) + 10
    assert error.status == code
    assert error.retry_after is None or 0 < error.retry_after <= LONGEST_RETRY_AFTER
    assert isinstance(error.causes, frozenset)


@examples(200)
@given(mutated([STATUS]) | st.dictionaries(st.text(max_size=8), values, max_size=3))
def test_any_status_in_a_stream_is_a_failure_that_says_what_to_do(status: JSON) -> None:
    try:
        status = orjson.loads(json.dumps(status))
    except orjson.JSONDecodeError:
        return
    failed = Failed.from_status(status)
    assert isinstance(failed.code, int)
    assert isinstance(failed.message, str)
    assert {failed.expired, failed.too_large, failed.busy} <= {True, False}
    assert (failed.retry_after or 0) <= LONGEST_RETRY_AFTER


def test_the_reflector_that_is_garbled_is_the_one_that_works() -> None:
    world, _ = world_with("vega")

    async def story() -> None:
        world.create("altair")
        await settle()

    play(world, story)
    assert sorted(world.colors()) == ["altair", "vega"]
