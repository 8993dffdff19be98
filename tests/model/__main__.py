"""`python -m tests.model`: explore the start protocol, and wrong ones that must be found out."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tests.model.cases import CASES, DEAD_END, Case
from tests.model.explore import Found


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore the cases that are asked for; 1 if one of them is not as it must be."""
    options = _parser().parse_args(arguments)
    by_name = {case.name: case for case in CASES}
    if unknown := [name for name in options.names if name not in by_name]:
        print(f"unknown: {', '.join(unknown)}; there are: {', '.join(by_name)}", file=sys.stderr)
        return 2
    chosen = [by_name[name] for name in options.names]
    chosen = chosen or [case for case in CASES if options.all or not case.large]
    started = time.perf_counter()
    safe = unsafe = states = violations = 0
    failed = []
    for case in chosen:
        found = _explore(case)
        states += found.states
        right = is_as_it_must_be(case, found)
        safe += right and not case.breaks
        unsafe += right and bool(case.breaks)
        violations += not case.breaks and not right
        failed += [] if right else [case.name]
    must = f"{safe} safe and {unsafe} unsafe as they must be"
    if failed:
        must += f", {len(failed)} NOT: {', '.join(failed)}"
    seconds = time.perf_counter() - started
    print(f"model: {must}, {states} states, {violations} violations, {seconds:.0f} s", flush=True)
    return 1 if failed else 0


def is_as_it_must_be(case: Case, found: Found) -> bool:
    """Whether the right protocol was found safe, or the wrong one to break what it breaks."""
    return verdict(found) == case.breaks


def verdict(found: Found) -> str:
    """What was found to be broken; empty for nothing."""
    return found.violation or (DEAD_END if found.dead_ends else "")


def _explore(case: Case) -> Found:
    started = time.perf_counter()

    def tell(states: int) -> None:
        seconds = time.perf_counter() - started
        print(f"  {case.name}: {states:,} states, {seconds:.0f} s", file=sys.stderr, flush=True)

    found = case.explorer().explore(tell)
    seconds = time.perf_counter() - started
    what = verdict(found)
    mark = "" if is_as_it_must_be(case, found) else "  <- NOT AS IT MUST BE"
    outcome = f"UNSAFE: {what}" if what else "safe"
    print(f"{case.name}: {outcome}, {found.states:,} states, {seconds:.1f} s{mark}")
    print(f"    {case.about}", flush=True)
    for number, step in enumerate(found.trace, 1):
        print(f"    {number:3} {step}")
    return found


def _parser() -> argparse.ArgumentParser:
    lines = [
        f"  {case.name:16} {'(large) ' if case.large else ''}{case.about}"
        + (f"; must break: {case.breaks}" if case.breaks else "")
        for case in CASES
    ]
    parser = argparse.ArgumentParser(
        prog="python -m tests.model",
        description="Explores every reachable state of the start protocol, with two controllers "
        "that both believe they lead, and of wrong protocols, which must be found out. "
        "`tests/model/__init__.py` says what is modelled and what is not.",
        epilog="cases:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--all", action="store_true", help="the large cases too")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these cases")
    return parser


if __name__ == "__main__":
    sys.exit(main())
