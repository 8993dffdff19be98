"""`python -m tests.simulation`: many random histories, and every single fault of a few workflows.

The last line has the figures. A history that breaks a promise is shortened, saved as a file, and
named with the command that tells it.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from observatory.simulation.scenario import Scenario
from observatory.simulation.world import play
from observatory.telemetry.log import Level, configure
from tests.simulation.generate import scenario
from tests.simulation.systematic import scenarios

FOLDER = Path("build") / "histories"
"""Where histories are saved that broke a promise."""
DEFAULT_HISTORIES = 5_000
_SLICE, _FEW = 200, 20
_GARBAGE = 100_000
"""Objects between two collections: a history is short, and all of it dies at its end."""
_SHOWN = 10

Found = tuple[Scenario, list[str]]


def main() -> int:
    """Play, report, and return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--histories", type=int, default=DEFAULT_HISTORIES, metavar="N",
                        help="random histories to play (default: %(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the first one's seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="J",
                        help="processes (default: one a core)")  # fmt: skip
    parser.add_argument("--random-only", action="store_true", help="leave out the systematic ones")
    parser.add_argument("--fail-fast", action="store_true", help="end soon after a bad one")
    options = parser.parse_args()
    configure(Level.ERROR)
    begun = time.monotonic()
    seeds = range(options.seed, options.seed + options.histories)
    size = _FEW if options.fail_fast else _SLICE
    work = [("random", part) for part in _slices(seeds, size)]
    if not options.random_only:
        every = range(sum(1 for _ in scenarios()))
        work += [("systematic", part) for part in _slices(every, size)]
    played, faults, spent, found = 0, 0, 0.0, []
    with multiprocessing.Pool(options.jobs) as pool:
        for count, reached, seconds, bad in pool.imap_unordered(_play, work):
            played, faults, spent = played + count, faults + reached, spent + seconds
            found += bad
            if found and options.fail_fast:
                break
            _progress(f"\r{played} histories, {len(found)} bad")
    _progress("\n")
    for number, (bad_one, violations) in enumerate(found[:_SHOWN]):
        _report(number, bad_one, violations)
    print(
        f"simulation: {played} histories, {faults} faults, {len(found)} violations, "
        f"{time.monotonic() - begun:.0f} s, {played / max(spent, 0.001):.0f} a second and core"
    )
    return int(bool(found))


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(text, end="", file=sys.stderr, flush=True)


def _slices(numbers: range, size: int) -> Iterator[range]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


def _scenarios(kind: str, numbers: range) -> Iterable[Scenario]:
    """Made where they are played: a million of them would not fit into one process."""
    if kind == "random":
        return map(scenario, numbers)
    return islice(scenarios(), numbers.start, numbers.stop)


def _play(work: tuple[str, range]) -> tuple[int, int, float, list[Found]]:
    configure(Level.ERROR)
    gc.set_threshold(_GARBAGE)
    begun, reached, bad = time.process_time(), 0, []
    for each in _scenarios(*work):
        outcome = play(each)
        reached += outcome.reached
        if outcome.violations:
            bad.append((each, outcome.violations))
    return len(work[1]), reached, time.process_time() - begun, bad


def _report(number: int, found: Scenario, violations: list[str]) -> None:
    kind = violations[0].split(" ")[0].rstrip(":")
    configure(Level.ERROR)
    shorter = shortened(found, lambda each: any(kind in text for text in play(each).violations))
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"{kind}-{number}.json"
    file.write_bytes(replace(shorter, about=violations[0]).dump())
    print(f"{violations[0]}\n  observatory replay {file}")


def shortened(found: Scenario, still_bad: Callable[[Scenario], bool]) -> Scenario:
    """The scenario with as few faults and tasks as still break the promise."""
    for index in reversed(range(len(found.faults))):
        without = replace(found, faults=found.faults[:index] + found.faults[index + 1 :])
        if still_bad(without):
            found = without
    for task in reversed(found.spec["tasks"]):
        rest = [each for each in found.spec["tasks"] if each is not task]
        if not rest or any(task["name"] in each.get("dependencies", ()) for each in rest):
            continue
        without = replace(found, spec={**found.spec, "tasks": rest})
        if still_bad(without):
            found = without
    return found


if __name__ == "__main__":
    sys.exit(main())
