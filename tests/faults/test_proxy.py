from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.faults.fakes import TOKEN, Bench, bench
from tests.faults.plan import Fault, On

PODS = "/api/v1/namespaces/ns/pods"
WATCH = f"{PODS}?watch=true&resourceVersion=5"
LIST = f"{PODS}?watch=true&sendInitialEvents=true&labelSelector=mine"
WRITE = On(write=1)


def play(folder: Path, act: Callable[[Bench], Awaitable[None]], *faults: Fault) -> None:
    async def main() -> None:
        async with bench(folder, *faults) as made:
            await act(made)

    asyncio.run(main())


def test_without_faults_it_is_a_wire_with_the_operators_own_token(tmp_path: Path) -> None:
    async def act(made: Bench) -> None:
        answer = await made.ask("POST", f"{PODS}?fieldManager=x%2Fy")
        assert answer.startswith(b"HTTP/1.1 200")
        assert made.server.seen == [f"POST {PODS}?fieldManager=x%2Fy"]
        assert made.server.tokens == {f"Bearer {TOKEN}"}
        assert [line["call"] for line in made.world.log] == ["create pods"]

    play(tmp_path, act)


@pytest.mark.parametrize(("when", "arrived"), [("before", 0), ("after", 1)])
def test_a_kill_is_done_when_the_write_has_not_yet_or_just_arrived(
    tmp_path: Path, when: str, arrived: int
) -> None:
    async def act(made: Bench) -> None:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await made.ask("POST", PODS)
        assert made.victim.events == [("kill", arrived)]
        assert len(made.server.seen) == arrived

    play(tmp_path, act, Fault(WRITE, "kill", when))


@pytest.mark.parametrize(
    ("do", "when", "arrived"),
    [("drop_request", "before", 0), ("drop_answer", "after", 1),
     ("reset", "before", 0), ("reset", "after", 1)],
)  # fmt: skip
def test_a_lost_request_never_arrives_and_a_lost_answer_comes_from_one_that_did(
    tmp_path: Path, do: str, when: str, arrived: int
) -> None:
    async def act(made: Bench) -> None:
        expected = ConnectionResetError if do == "reset" else asyncio.IncompleteReadError
        with pytest.raises(expected):
            await made.ask("POST", PODS)
        assert len(made.server.seen) == arrived
        assert (await made.ask("POST", PODS)).startswith(b"HTTP/1.1 200")

    play(tmp_path, act, Fault(WRITE, do, when))


def test_a_paused_operators_write_arrives_after_the_pause(tmp_path: Path) -> None:
    async def act(made: Bench) -> None:
        assert (await made.ask("POST", PODS)).startswith(b"HTTP/1.1 200")
        assert made.victim.events == [("stop", 0)]
        assert len(made.server.seen) == 1

    play(tmp_path, act, Fault(WRITE, "stop", seconds=0.01))


def test_an_injected_status_is_one_of_the_api_servers_form(tmp_path: Path) -> None:
    async def act(made: Bench) -> None:
        head, _, body = (await made.ask("POST", PODS)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 429")
        assert b"Retry-After: 1" in head
        status = json.loads(body)
        assert (status["kind"], status["reason"], status["code"]) == (
            "Status", "TooManyRequests", 429,
        )  # fmt: skip
        assert made.server.seen == []

    play(tmp_path, act, Fault(WRITE, "status", status=429, retry_after=1))


def test_a_hung_request_gets_no_answer_before_the_faults_heal(tmp_path: Path) -> None:
    async def act(made: Bench) -> None:
        asked = asyncio.create_task(made.ask("POST", PODS))
        done, _ = await asyncio.wait({asked}, timeout=0.2)
        assert not done
        made.proxy.heal()
        with pytest.raises(asyncio.IncompleteReadError):
            await asked
        assert made.server.seen == []

    play(tmp_path, act, Fault(WRITE, "hang"))


def test_a_truncated_answer_is_half_an_answer(tmp_path: Path) -> None:
    async def act(made: Bench) -> None:
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            await made.ask("POST", PODS)
        assert 0 < len(caught.value.partial) < (caught.value.expected or 0)

    play(tmp_path, act, Fault(WRITE, "truncate", "after"))


def test_a_slow_answer_is_whole(tmp_path: Path) -> None:
    async def act(made: Bench) -> None:
        _, _, body = (await made.ask("POST", PODS)).partition(b"\r\n\r\n")
        assert json.loads(body)["kind"] == "Pod"

    play(tmp_path, act, Fault(WRITE, "slow", "after", seconds=0.05))


def test_a_touched_object_is_written_by_somebody_else_first(tmp_path: Path) -> None:
    async def act(made: Bench) -> None:
        await made.ask("PUT", f"{PODS}/a/status")
        assert made.server.seen == [f"PATCH {PODS}/a", f"PUT {PODS}/a/status"]
        assert "Bearer of-the-administrator" in made.server.tokens

    play(tmp_path, act, Fault(WRITE, "touch"))


async def until_silence(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection ends, or nothing comes any more."""
    came = b""
    try:
        while piece := await asyncio.wait_for(reader.read(1000), 0.5):
            came += piece
    except TimeoutError:
        pass
    return came


async def line(reader: asyncio.StreamReader) -> bytes:
    """The next chunk of a watch."""
    size = int(await asyncio.wait_for(reader.readline(), 10), 16)
    return (await reader.readexactly(size + 2))[:-2]


def test_a_held_watch_is_open_and_silent_and_then_brings_everything(tmp_path: Path) -> None:
    async def act(made: Bench) -> None:
        reader = await made.watching(WATCH)
        made.server.lines.put_nowait(b"one")
        assert await line(reader) == b"one\n"
        await made.ask("POST", PODS)
        made.server.lines.put_nowait(b"two")
        made.server.lines.put_nowait(b"three")
        waiting = asyncio.create_task(line(reader))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
        made.proxy.heal()
        assert [await waiting, await line(reader)] == [b"two\n", b"three\n"]

    play(tmp_path, act, Fault(WRITE, "hold", watch="pods"))


def test_a_hold_of_another_resource_leaves_a_watch_alone(tmp_path: Path) -> None:
    async def act(made: Bench) -> None:
        reader = await made.watching(WATCH)
        await made.ask("POST", PODS)
        made.server.lines.put_nowait(b"one")
        assert await line(reader) == b"one\n"

    play(tmp_path, act, Fault(WRITE, "hold", watch="observatories"))


@pytest.mark.parametrize(
    ("do", "rest"),
    [
        ("cut", b"0\r\n\r\n"),  # the end of a chunked answer in good form
        ("fin", b""),
        ("error410", b'"code":410'),
        ("cut_line", b'{"type":"MODI'),
    ],
)
def test_a_watch_ends_in_the_way_that_the_plan_says(tmp_path: Path, do: str, rest: bytes) -> None:
    async def act(made: Bench) -> None:
        reader = await made.watching(WATCH)
        await made.ask("POST", PODS)
        came = await until_silence(reader)
        assert rest in came
        whole = b"0\r\n\r\n" in came
        assert whole == (do in {"cut", "error410"})

    play(tmp_path, act, Fault(WRITE, do, watch="pods"))


def test_a_reset_watch_loses_what_was_on_its_way(tmp_path: Path) -> None:
    async def act(made: Bench) -> None:
        reader = await made.watching(WATCH)
        await made.ask("POST", PODS)
        made.server.lines.put_nowait(b"never seen")
        await made.ask("POST", PODS)
        with pytest.raises(ConnectionResetError):
            await line(reader)

    play(
        tmp_path, act,
        Fault(WRITE, "hold", watch="pods"), Fault(On(write=2), "cut_reset", watch="pods"),
    )  # fmt: skip


def test_a_fault_of_a_watch_request_befalls_that_watch_after_its_lines(tmp_path: Path) -> None:
    async def act(made: Bench) -> None:
        reader = await made.watching(WATCH)
        for text in (b"one", b"two", b"three"):
            made.server.lines.put_nowait(text)
        assert [await line(reader), await line(reader)] == [b"one\n", b"two\n"]
        assert await reader.readline() == b"0\r\n"

    play(tmp_path, act, Fault(On(verb="watch"), "cut", lines=2))


def test_what_was_told_to_have_expired_stays_so(tmp_path: Path) -> None:
    async def act(made: Bench) -> None:
        await made.watching(WATCH)
        await made.ask("POST", PODS)
        again = await made.ask("GET", WATCH)
        assert again.startswith(b"HTTP/1.1 410")
        later = await made.watching(WATCH.replace("=5", "=9"))
        made.server.lines.put_nowait(b"one")
        assert await line(later) == b"one\n"

    async def main() -> None:
        async with bench(tmp_path, Fault(WRITE, "error410", watch="pods"), version=9) as made:
            await act(made)

    asyncio.run(main())


def test_a_rewound_list_is_the_older_one_and_its_watch_goes_on_from_there(tmp_path: Path) -> None:
    pod = {"metadata": {"name": "a", "labels": {"mine": "x"}}}
    other = {"metadata": {"name": "b"}}

    async def main() -> None:
        fault = Fault(On(verb="watch", initial=True), "rewind", back=2)
        async with bench(tmp_path, fault, earlier=(7, [pod, other])) as made:
            reader = await made.watching(LIST)
            assert json.loads(await line(reader)) == {"type": "ADDED", "object": pod}
            end = json.loads(await line(reader))["object"]["metadata"]
            assert end["resourceVersion"] == "7"
            assert end["annotations"] == {"k8s.io/initial-events-end": "true"}
            assert "resourceVersion=7" in made.server.seen[0]
            assert "sendInitialEvents" not in made.server.seen[0]

    asyncio.run(main())
