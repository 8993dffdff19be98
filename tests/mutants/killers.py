"""Runs killers in a copy of the tree, and tells which of them noticed something."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET

from tests.mutants.scratch import environment

ALL_TESTS = ("tests", "-m", "not integration", "--ignore=tests/mutants")
LONGEST_TEST_SECONDS = 60
_FAILED = 1
"""What pytest and our own commands end with when a law is broken, and only then."""


class KillerError(Exception):
    """A killer could not be run; so it is not known whether it would have noticed."""


async def failing_tests(tree: Path, tests: Sequence[str], seconds: float) -> list[str]:
    """The ids of the tests that fail, out of those that `tests` selects.

    Raises:
        KillerError: pytest could not run them all, or came to no end within `seconds`.
    """
    with TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        # Only this family of reports names the files; the seed makes chance the same each time.
        options = ("-q", "-p", "no:cacheprovider", "--rootdir=.", "--hypothesis-seed=0")
        settings = ("-o", "addopts=", "-o", "junit_family=xunit1", f"--junitxml={report}")
        command = (sys.executable, "-m", "pytest", *options, *settings, *tests)
        code, said, errors = await _run(tree, command, seconds)
        if code not in (0, _FAILED):
            raise KillerError(f"pytest ended with {code}: {_last_lines(said + errors)}")
        return _failures(report)


async def complaint(tree: Path, command: Sequence[str], seconds: float) -> str | None:
    """The first thing that a command, which has to begin with `python`, says is wrong, if it does.

    Raises:
        KillerError: It did not run as it should, or came to no end within `seconds`.
    """
    code, said, errors = await _run(tree, (sys.executable, *command[1:]), seconds)
    if code == _FAILED and said:
        return said.partition("\n")[0]
    if code:
        raise KillerError(f"{shlex.join(command)} ended with {code}: {_last_lines(errors)}")
    return None


def side_by_side(processes: int) -> tuple[str, ...]:
    """Options to run tests in so many processes; one that hangs ends only its own."""
    if processes == 1:
        return ()
    limit = f"faulthandler_timeout={LONGEST_TEST_SECONDS}"
    return ("-n", str(processes), "-o", limit, "-o", "faulthandler_exit_on_timeout=true")


async def _run(tree: Path, command: Sequence[str], seconds: float) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=tree,
        env=environment(tree),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # so that what it starts itself can be ended with it
    )
    try:
        async with asyncio.timeout(seconds):
            said, errors = await process.communicate()
    except TimeoutError:
        raise KillerError(f"{shlex.join(command)} did not end within {seconds:g} s") from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    code = process.returncode or 0
    return code, said.decode(errors="replace"), errors.decode(errors="replace")


def _failures(report: Path) -> list[str]:
    return [
        f"{_place(case)}::{case.get('name')}"
        for case in ET.parse(report).iter("testcase")  # noqa: S314 -- pytest wrote it
        if case.find("failure") is not None or case.find("error") is not None
    ]


def _place(case: ET.Element) -> str:
    """The file of a test; the class, where a library has the method that is run."""
    file = case.get("file", "")
    return case.get("classname", "") if file.startswith("..") else file


def _last_lines(output: str) -> str:
    return " | ".join(output.strip().splitlines()[-5:]) or "it said nothing"
