"""`observatory retry`, `stop`, `terminate`, `suspend`, `resume`, against a server in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from observatory.api.names import ANNOTATION_RETRY_FROM
from observatory.api.types import JsonObject
from observatory.cli.cluster import CommandError
from observatory.cli.control import NO_ANSWER, answer, ask, mended, suspend
from tests.runtime.world import KEY, World, task, world_of

Output = pytest.CaptureFixture[str]


@pytest.fixture
def world() -> World:
    """A run of two tasks, the second of which has failed."""
    world = world_of(task("a"), task("b", "a"))
    world.exit_codes = {"b": 3}
    world.run("night")
    return world


def asked(world: World, verb: str, nonce: str = "n1", **more: object) -> int:
    """Ask, let the operator answer, and show the answer."""
    asyncio.run(ask(world.server, KEY, verb, nonce, more, None))
    world.step("night")
    return asyncio.run(answer(world.server, KEY, verb, nonce, 5))


def test_a_retry_is_answered_with_what_it_does(world: World, capsys: Output) -> None:
    assert asked(world, "retry") == 0
    out = capsys.readouterr().out
    assert out == "observatory/night: run 2 runs 1 task again and keeps 1\n"


def test_what_is_refused_is_an_error_with_its_reason(world: World, capsys: Output) -> None:
    assert asked(world, "stop") == 1
    err = capsys.readouterr().err
    assert err == "error: stop refused: run 1 has ended: there is nothing to stop\n"


def test_a_retry_from_a_task_and_then_without_one(world: World) -> None:
    asked(world, "retry", **{ANNOTATION_RETRY_FROM: "a"})
    assert world.phases("night") == {"a": "Running", "b": "Pending"}
    world.run("night")
    asked(world, "retry", "n2", **{ANNOTATION_RETRY_FROM: None})
    assert world.phases("night") == {"a": "Succeeded", "b": "Running"}


@pytest.mark.parametrize("verb", ["stop", "terminate"])
def test_a_run_in_progress_is_ended(verb: str, capsys: Output) -> None:
    world = world_of(task("a"))
    world.step("night")
    assert asked(world, verb) == 0
    assert capsys.readouterr().out.startswith("observatory/night: run 1 is ")
    world.run("night")
    assert world.status("night")["phase"] == "Failed"


def test_the_mended_spec_takes_the_place_of_the_old_one_in_the_same_write(world: World) -> None:
    spec: JsonObject = {"tasks": [task("a"), task("b", "a", image="mended:2")]}
    before = world.server.storage.version
    asyncio.run(ask(world.server, KEY, "retry", "n1", {}, spec))

    assert world.server.storage.version == before + 1
    assert world.get("night")["spec"] == spec  # podRetention, which it lacks, is gone
    world.exit_codes = {}
    world.run("night")
    assert (world.status("night")["phase"], world.status("night")["run"]) == ("Succeeded", 2)


def test_nobody_who_answers_is_told_so(world: World) -> None:
    asyncio.run(ask(world.server, KEY, "retry", "n1", {}, None))
    with pytest.raises(CommandError, match="does an operator run") as caught:
        asyncio.run(answer(world.server, KEY, "retry", "n1", 0.01))
    assert caught.value.code == NO_ANSWER


def test_without_a_timeout_nobody_is_waited_for(world: World, capsys: Output) -> None:
    assert asyncio.run(answer(world.server, KEY, "retry", "n1", 0)) == 0
    assert capsys.readouterr().out == "observatory/night: retry requested\n"


def test_suspend_and_resume_say_what_they_did(capsys: Output) -> None:
    world = world_of(task("a"))
    for suspended, said in ((True, "suspended: what runs goes on to its end"), (False, "resumed")):
        assert asyncio.run(suspend(world.server, KEY, suspended=suspended)) == 0
        assert world.get("night")["spec"]["suspend"] is suspended
        assert asyncio.run(suspend(world.server, KEY, suspended=suspended)) == 0
        first, second = capsys.readouterr().out.splitlines()
        assert first == f"observatory/night: {said}"
        assert second.endswith("already")


def manifest(name: str = "night", **spec: object) -> JsonObject:
    return {
        "apiVersion": "workflow.seventh-horizon.io/v1alpha1",
        "kind": "Observatory",
        "metadata": {"name": name},
        "spec": {"tasks": [task("a")], **spec},
    }


def test_of_a_file_the_observatory_of_that_name_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    documents = [{"kind": "ConfigMap"}, manifest("other", suspend=True), manifest()]
    file.write_text(yaml.dump_all(documents))

    assert mended(str(file), KEY) == {"tasks": [task("a")]}


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (lambda file: None, "No such file"),
        (lambda file: file.write_text("a: [b"), "all.yaml: "),
        (lambda file: file.write_text(yaml.dump(manifest("other"))), 'has no Observatory "night"'),
        (lambda file: file.write_text(yaml.dump(manifest(tasks=[]))), "at least 1 item"),
    ],
)
def test_a_file_that_cannot_be_applied_says_why(
    tmp_path: Path, write: Callable[[Path], object], problem: str
) -> None:
    file = tmp_path / "all.yaml"
    write(file)
    with pytest.raises(CommandError, match=problem):
        mended(str(file), KEY)
