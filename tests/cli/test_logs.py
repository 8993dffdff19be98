"""`observatory logs`, `submit` and `completion`, against servers in memory."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from observatory.api.names import OBSERVATORIES, Key
from observatory.api.types import JsonObject
from observatory.cli import completion, logs
from observatory.cli.cluster import CommandError
from observatory.cli.logs import _Reader
from observatory.cli.main import COMMANDS, parser_of
from observatory.cli.style import Screen
from observatory.cli.submit import create
from observatory.kube.errors import NotFound
from observatory.simulation.apiserver import ApiServer
from tests.cli.views import NOW, failed, view
from tests.runtime.world import observatory, task

Output = pytest.CaptureFixture[str]


class Written(ApiServer):
    """A server whose Pods have written something; those that it doesn't know are gone."""

    def __init__(self, **pods: list[bytes]) -> None:
        super().__init__(lambda: NOW)
        self.pods = {name.replace("_", "-"): chunks for name, chunks in pods.items()}
        self.params: list[dict[str, str]] = []

    @asynccontextmanager
    async def log(self, key: Key, params: dict[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        self.params.append(params)
        if key.name not in self.pods:
            raise NotFound(404, "NotFound", f'pods "{key.name}" not found')

        async def chunks() -> AsyncIterator[bytes]:
            for chunk in self.pods[key.name]:
                yield chunk

        yield chunks()


def options(**given: object) -> argparse.Namespace:
    defaults = {"task": None, "attempt": None, "tail": None, "timestamps": False, "follow": False}
    return argparse.Namespace(**{**defaults, **given})


def reader(server: Written, **given: object) -> _Reader:
    return _Reader(server, options(**given), Screen("never"))


def test_logs_come_in_the_order_of_the_run_each_line_with_its_task(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    server = Written(
        etl_extract_1_x=[b"one\ntw", b"o\n"],
        etl_load_2_x=[b"three"],
        etl_check_1_x=[b"\xff\x1b[31m\n"],
    )
    assert asyncio.run(reader(server).show(view())) == 0
    # Into a pipe goes every byte.
    assert capfdbinary.readouterr().out == (
        b"extract | one\nextract | two\nload | three\ncheck | \xff\x1b[31m\n"
    )


def test_the_log_of_one_task_and_of_an_earlier_attempt(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    server = Written(etl_load_1_x=[b"first try\n"], etl_load_2_x=[b"second\n"])
    asyncio.run(reader(server, task="load").show(view()))
    asyncio.run(reader(server, task="load", attempt=1, tail=5, timestamps=True).show(view()))
    assert capfdbinary.readouterr().out == b"second\nfirst try\n"
    assert server.params[1] == {"container": "task", "tailLines": "5", "timestamps": "true"}


def test_of_a_pod_that_is_gone_the_status_has_kept_the_end(capfd: Output) -> None:
    asyncio.run(reader(Written(), task="load").show(view()))
    out, err = capfd.readouterr()
    assert out == "connecting\nno such table\n"
    assert "(the Pod etl-load-2-x is gone, and its log with it)" in err


def test_before_anything_has_been_started_there_is_no_log() -> None:
    made = failed()
    made["status"] = {}
    with pytest.raises(CommandError, match="nothing has been started"):
        asyncio.run(reader(Written()).show(view(made)))


def test_following_ends_with_the_run(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    server = Written(etl_extract_1_x=[b"a\n"], etl_load_2_x=[b"b\n"], etl_check_1_x=[b"c\n"])
    stored = server.create_now(OBSERVATORIES, "default", _unstored())
    stored["status"] = failed()["status"]
    key = Key("default", "etl")
    server.replace_now(OBSERVATORIES, key, stored, subresource="status")
    assert asyncio.run(asyncio.wait_for(reader(server, follow=True).follow(server, key), 20)) == 0
    assert sorted(capfdbinary.readouterr().out.splitlines()) == [
        b"check | c",
        b"extract | a",
        b"load | b",
    ]


def _unstored() -> JsonObject:
    made = failed()
    del made["status"], made["metadata"]["resourceVersion"]
    return made


def test_logs_knows_when_a_container_is_still_to_be_made() -> None:
    waits = NotFound(400, "BadRequest", 'container "task" is waiting to start: ContainerCreating')
    assert logs._not_yet(waits)
    assert not logs._not_yet(NotFound(400, "BadRequest", "no such container"))


# --- submit -----------------------------------------------------------------------------------


def submitted(server: ApiServer, **given: object) -> Key:
    defaults = {"namespace": None, "name": None, "wait": False, "follow": False, "file": "w.yaml"}
    made = observatory("etl", task("a"))
    made["metadata"] |= {"uid": "", "generation": 1, "namespace": "default"}
    wanted = argparse.Namespace(**{**defaults, **given})
    return asyncio.run(create(server, made, wanted))


def test_a_workflow_is_created_under_its_name_or_another(capsys: Output) -> None:
    server = ApiServer(lambda: NOW, ("default", "other"))
    assert submitted(server) == Key("default", "etl")
    assert submitted(server, name="etl-2", namespace="other") == Key("other", "etl-2")
    assert capsys.readouterr().out == (
        "observatory.workflow.seventh-horizon.io/etl created\n"
        "observatory.workflow.seventh-horizon.io/etl-2 created\n"
    )


def test_one_that_exists_is_not_touched() -> None:
    server = ApiServer(lambda: NOW)
    submitted(server)
    with pytest.raises(CommandError, match="exists in namespace"):
        submitted(server)


# --- completion -------------------------------------------------------------------------------


def completed(capsys: Output, *words: str) -> list[str]:
    assert completion.main(words) == 0
    return capsys.readouterr().out.splitlines()


def test_commands_flags_and_choices_are_completed(capsys: Output) -> None:
    assert completed(capsys, "ge") == ["get", ":4"]
    assert completed(capsys, "") == [*COMMANDS, ":4"]
    assert completed(capsys, "get", "--na") == ["--namespace", ":4"]
    assert completed(capsys, "list", "-o", "") == [
        *("table", "wide", "json", "yaml", "name"),
        ":0",
    ]
    assert completed(capsys, "no-such-command", "") == [":4"]
    assert completed(capsys, "validate", "") == [":0"]


def test_without_a_cluster_there_are_no_names_and_no_errors(
    capsys: Output, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert completed(capsys, "get", "") == [":4"]
    assert completed(capsys, "logs", "etl", "") == [":4"]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_a_shells_script_asks_this_program(shell: str) -> None:
    assert "kubectl_complete-observatory" in completion.SHELLS[shell]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples_and_exit_codes(command: str) -> None:
    parser = completion._of_command(parser_of([command]), command)
    text = parser.format_help()
    assert "examples:" in text
    assert "xit codes:" in text or command == "completion"
