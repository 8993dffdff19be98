"""`observatory replay`: a history of faults, played again on the real code and told."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from observatory.api.text import one_line
from observatory.simulation.scenario import ACTIONS, Scenario, ScenarioError
from observatory.simulation.world import Outcome, play
from observatory.telemetry.log import Format, Level, configure

MAX_BYTES = 8 << 20
"""Of one file."""

_EPILOG = f"""\
examples:
  observatory replay tests/histories/two-denied-one-slot.json     tell it, write by write
  observatory replay --quiet tests/histories/*.json               only say how each ended

A history is a JSON file: the spec of an Observatory, how its containers end, how many operators
work on it, and what goes wrong: at a moment (`at`, in seconds) or at an operator's k-th write
(`write`, with `when`: before or after). It is played under a virtual clock against a Kubernetes in
memory; the operator is the real one. The same file always gives the same history.

what can go wrong (`do`):
{chr(10).join(f"  {name:17} {text}" for name, text in ACTIONS.items())}

Exit codes: 0 every promise was kept, 1 one was broken, 2 a file is no history.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        name,
        help="play a history of faults again and tell what happens",
        description="Plays a history of crashes, lost requests, stale watches and people's doings "
        "on the operator's own code, without a cluster, and says which promise was broken.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a history")
    parser.add_argument("--quiet", "-q", action="store_true", help="tell only how each one ended")
    parser.set_defaults(handler=_replay)


def _replay(options: argparse.Namespace) -> int:
    configure(Level.ERROR, Format.AUTO)
    code = 0
    for file in options.files:
        try:
            scenario = Scenario.load(_content(file))
        except (OSError, ScenarioError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            print(one_line(f"error: {file}: {reason}"), file=sys.stderr)
            code = 2
            continue
        print(one_line(f"{file}: {scenario.about}".rstrip(": ")))
        told: list[str] = []
        outcome = play(scenario, None if options.quiet else partial(_tell, told))
        # Only now: what goes wrong with the output must not happen to the operator that is played.
        told.append(_summary(outcome, len(scenario.faults)))
        print("\n".join(told))
        code = max(code, int(bool(outcome.violations)))
    return code


def _content(file: str) -> bytes:
    with Path(file).open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ScenarioError(f"longer than {MAX_BYTES} bytes: no history is")
    return content


def _tell(told: list[str], seconds: float, who: str, what: str) -> None:
    told.append(one_line(f"{seconds:10.3f}  {who:6}  {what}"))


def _summary(outcome: Outcome, faults: int) -> str:
    lines = [one_line(f"  violation: {text}") for text in outcome.violations]
    lines.append(
        f"  {len(outcome.violations)} violations; {outcome.versions} writes in "
        f"{outcome.seconds:.0f} s, {outcome.reached} of {faults} faults found their moment"
    )
    return "\n".join(lines)
