from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.faults.processes import Operator, Zygote
from tests.faults.site import kubeconfig

NOBODY = "http://127.0.0.1:9"  # where nothing listens, an operator tries again and again


def play(folder: Path, argv: list[str], act: Callable[[Operator], Awaitable[None]]) -> None:
    async def main() -> None:
        zygote = Zygote()
        await zygote.start()
        operator = Operator(zygote, argv, folder / "log")
        operator.start()
        try:
            await act(operator)
        finally:
            await operator.stop()
            await zygote.close()

    asyncio.run(main())


def running(folder: Path) -> list[str]:
    path = folder / "kubeconfig"
    kubeconfig(path, NOBODY, "ns")
    off = ["--metrics-bind-address=0", "--health-probe-bind-address=0", "--log-format=json"]
    return ["run", "--kubeconfig", str(path), *off]


async def until(accept: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not accept():  # noqa: ASYNC110 -- of another process
            await asyncio.sleep(0.02)


def test_a_killed_operator_is_gone_and_then_there_is_another(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def starts() -> int:
        text = log.read_text() if log.exists() else ""
        return sum(json.loads(line)["msg"] == "Started" for line in text.splitlines())

    async def act(operator: Operator) -> None:
        await until(lambda: starts() == 1)
        await operator.kill()
        await until(lambda: starts() == 2)
        assert (operator.kills, operator.unasked) == (1, [])
        assert await operator.stop() == 0
        assert operator.incarnations == 2

    play(tmp_path, running(tmp_path), act)


def test_an_operator_that_ends_by_itself_is_told_of_and_started_again(tmp_path: Path) -> None:
    async def act(operator: Operator) -> None:
        await until(lambda: len(operator.unasked) > 1)
        assert set(operator.unasked) == {2}

    play(tmp_path, ["run", "--kubeconfig", str(tmp_path / "nothing")], act)


def test_an_end_that_was_asked_for_is_none_of_its_own(tmp_path: Path) -> None:
    async def act(operator: Operator) -> None:
        await until(lambda: (tmp_path / "log").exists() and "Started" in log.read_text())
        operator.terminate()
        await until(lambda: operator.incarnations > 1)
        assert (operator.asked, operator.unasked) == ([0], [])

    log = tmp_path / "log"
    play(tmp_path, running(tmp_path), act)
