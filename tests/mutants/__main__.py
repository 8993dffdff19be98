"""Puts known bugs back, one at a time, and shows which test notices each.

    python -m tests.mutants            # every mutant against the killers that it names
    python -m tests.mutants no-gate    # one of them
    python -m tests.mutants --all      # every mutant against all tests: how sharp is the suite?

The checkout is never touched. It ends with 1 if a mutant survives, that is if a killer that it
names does not notice it; if a patch does not apply; or if a killer fails without any mutant.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.mutants.hunt import Hunt, Mode, Result, Verdict
from tests.mutants.killers import KillerError
from tests.mutants.mutant import PATCHES, Mutant, PatchError, choose, read_all

ROOT = Path(__file__).resolve().parents[2]
_TERMINATED = 128 + signal.SIGTERM


def main(arguments: Sequence[str] | None = None, root: Path = ROOT, patches: Path = PATCHES) -> int:
    """Run the command; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        mutants = choose(read_all(patches), options.names)
    except PatchError as error:
        _say(f"error: {error}")
        return 1
    if options.list:
        _list(mutants)
        return 0
    with suppress(asyncio.CancelledError):
        return asyncio.run(_hunt(root, mutants, Mode(options.mode)))
    return _TERMINATED


async def _hunt(root: Path, mutants: Sequence[Mutant], mode: Mode) -> int:
    this = asyncio.current_task()
    assert this is not None
    # Copies and killers are cleared away however this ends.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    begun = time.perf_counter()
    hunt = Hunt(root, mode)
    async with hunt.begun():
        try:
            broken = await hunt.baseline(mutants)
        except KillerError as error:
            _say(f"error: without any mutant, {error}")
            return 1
        if broken:
            _say("error: these killers fail without any mutant, so they prove nothing; mend them:")
            _say(*(f"  {killer}" for killer in broken))
            return 1
        results = await _show(hunt, mutants, mode)
    count = Counter(result.verdict for result in results)
    errors = count[Verdict.ERROR]
    killed, survived = count[Verdict.KILLED], count[Verdict.SURVIVED]
    _say(
        f"mutants: {killed} of {len(results)} killed, {survived} survived, "
        + (f"{errors} in error, " if errors else "")
        + _duration(time.perf_counter() - begun)
    )
    return 0 if killed == len(results) else 1


async def _show(hunt: Hunt, mutants: Sequence[Mutant], mode: Mode) -> list[Result]:
    """Hunt them all, and tell of each as soon as those before it are told."""
    width = max((len(mutant.name) for mutant in mutants), default=0)
    _say(f"{'MUTANT':{width}}  RESULT    SECONDS  BY")
    results = []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(hunt.hunt(mutant)) for mutant in mutants]
        for task in tasks:
            result = await task
            results.append(result)
            first, *others = _by(result, mode)
            _say(
                f"{result.mutant.name:{width}}  {result.verdict:8}  {result.seconds:7.1f}  {first}"
            )
            _say(*(f"{'':{width + 21}}{other}" for other in others))
    return results


def _by(result: Result, mode: Mode) -> list[str]:
    """Who killed it: the first test and the commands; all of them where all were asked for."""
    match result.verdict:
        case Verdict.SURVIVED:
            return [f"not noticed by {killer}" for killer in result.by]
        case Verdict.KILLED if mode is Mode.ALL:
            cases = Counter(test.partition("[")[0] for test in result.by)
            return [f"{test} ({count})" if count > 1 else test for test, count in cases.items()]
        case Verdict.KILLED:
            commands = [killer for killer in result.by if killer.startswith("python ")]
            tests = [killer for killer in result.by if killer not in commands]
            return [*tests[:1], *commands]
        case _:
            return list(result.by)


def _list(mutants: Sequence[Mutant]) -> None:
    for mutant in mutants:
        _say(f"{mutant.name}: {mutant.title}", f"  puts back: {mutant.puts_back}")
        _say(f"  breaks: {mutant.breaks}")
        _say(*(f"  killed by: {killer}" for killer in mutant.killers))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _say(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help="a mutant; 01, no-gate, 01-no-gate"
    )
    parser.add_argument("--list", action="store_true", help="show what there is, and run nothing")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--quick",
        dest="mode",
        action="store_const",
        const=Mode.QUICK,
        default=Mode.NAMED,
        help="of the killers that are named, only the tests",
    )
    which.add_argument(
        "--all", dest="mode", action="store_const", const=Mode.ALL, help="all tests, named or not"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
