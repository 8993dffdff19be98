"""The hunt: each mutant in a copy of the tree of its own, its killers run there."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutants.killers import (
    ALL_TESTS,
    KillerError,
    complaint,
    failing_tests,
    side_by_side,
)
from tests.mutants.mutant import Mutant, PatchError
from tests.mutants.scratch import apply, copy_tree

KILLER_SECONDS = 300.0
ALL_SECONDS = 1800.0


class Mode(StrEnum):
    """Which tests hunt."""

    NAMED = "named"
    QUICK = "quick"
    """The named ones that are tests; no commands."""
    ALL = "all"
    """All tests that need no cluster, named or not."""


class Verdict(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant: who killed it, or else who did not notice, or what went wrong."""

    mutant: Mutant
    verdict: Verdict
    by: tuple[str, ...]
    seconds: float


class Hunt:
    """Hunts mutants in copies of `root`; `processes` of them at a time."""

    def __init__(self, root: Path, mode: Mode, processes: int | None = None) -> None:
        self._root = root
        self._mode = mode
        self._processes = processes or os.cpu_count() or 1
        # All tests use all cores by themselves.
        self._turns = asyncio.Semaphore(1 if mode is Mode.ALL else self._processes)
        self._pristine = Path()
        self._folder = Path()

    @asynccontextmanager
    async def begun(self) -> AsyncGenerator[None, None]:
        """Have a copy of the tree for as long as the hunt lasts."""
        with TemporaryDirectory(prefix="mutants-") as folder:
            self._folder = Path(folder)
            self._pristine = self._folder / "pristine"
            self._pristine.mkdir()
            copy_tree(self._root, self._pristine)
            yield

    async def baseline(self, mutants: Sequence[Mutant]) -> tuple[str, ...]:
        """The killers that fail without any mutant: such a killer proves nothing.

        Raises:
            KillerError: They could not be run.
        """
        tests = tuple(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
        commands = tuple(dict.fromkeys(each for mutant in mutants for each in mutant.commands))
        return tuple(await self._noticed(self._pristine, tests, commands))

    async def hunt(self, mutant: Mutant) -> Result:
        """Find out whether the killers notice the mutant. Each of those named has to."""
        async with self._turns:
            begun = time.perf_counter()
            by: tuple[str, ...]
            tree = self._folder / mutant.name
            try:
                shutil.copytree(self._pristine, tree)
                apply(mutant, tree)
                noticed = await self._noticed(tree, mutant.tests, mutant.commands)
            except (PatchError, KillerError) as error:
                verdict, by = Verdict.ERROR, (str(error),)
            else:
                verdict, by = self._judge(mutant, noticed)
            finally:
                shutil.rmtree(tree, ignore_errors=True)
            return Result(mutant, verdict, by, time.perf_counter() - begun)

    def _judge(self, mutant: Mutant, noticed: dict[str, str]) -> tuple[Verdict, tuple[str, ...]]:
        named = {
            Mode.NAMED: mutant.killers,
            Mode.QUICK: mutant.tests,
            Mode.ALL: () if noticed else ("any test",),
        }[self._mode]
        if blind := tuple(killer for killer in named if not _among(killer, noticed)):
            return Verdict.SURVIVED, blind
        return Verdict.KILLED, tuple(f"{killer}{said}" for killer, said in noticed.items())

    async def _noticed(
        self, tree: Path, tests: Sequence[str], commands: Sequence[Sequence[str]]
    ) -> dict[str, str]:
        """The killers that noticed something, and what a command said of it."""
        if self._mode is Mode.ALL:
            selected = (*ALL_TESTS, *side_by_side(self._processes))
            return dict.fromkeys(await failing_tests(tree, selected, ALL_SECONDS), "")
        failed = await failing_tests(tree, tests, KILLER_SECONDS) if tests else []
        noticed = dict.fromkeys(failed, "")
        for command in commands if self._mode is Mode.NAMED else ():
            if (said := await complaint(tree, command, KILLER_SECONDS)) is not None:
                noticed[shlex.join(command)] = f": {said}"
        return noticed


def _among(killer: str, noticed: Iterable[str]) -> bool:
    """Whether a killer noticed; a test with parameters does if any of its cases did."""
    return any(each == killer or each.startswith(f"{killer}[") for each in noticed)
