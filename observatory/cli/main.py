"""`observatory`: what people type.

A command has a module with `add_parser(subparsers, name)`, which adds its parser and sets its
`handler`, which takes the parsed arguments and returns the exit code. Only the module of the
command that was given is imported, so that each starts as fast as it can.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from observatory import __version__
from observatory.api.text import one_line

COMMANDS = {
    "list": "list workflows and how they are",
    "get": "show a workflow and its tasks",
    "why": "say why a run goes no further, or what failed first",
    "logs": "show what the tasks have written",
    "events": "show what happened to a workflow",
    "graph": "draw the tasks and their dependencies",
    "timeline": "draw when the tasks ran",
    "submit": "create a workflow and wait for it",
    "try": "run a workflow file here, without a cluster",
    "validate": "say everything that is wrong with workflow files, without a cluster",
    "schedule": "say when a schedule fires, without a cluster",
    "run-now": "begin a run of a schedule now",
    "backfill": "run a schedule for a range of past times",
    "retry": "run again what failed, and keep what succeeded",
    "stop": "end a run: what runs is ended with its grace, then finally runs",
    "terminate": "end a run at once, without finally",
    "suspend": "start no more tasks until resume",
    "resume": "go on with a suspended run",
    "cleanup": "let go of what the operator holds, for when it is gone",
    "run": "run the operator",
    "completion": "print what makes a shell complete commands",
    "version": "say which version this is",
    "replay": "play a history of faults again and tell what happens",
}
"""The commands, with the line about each in `--help`."""
_MODULES = {
    **dict.fromkeys(
        ("retry", "run-now", "backfill", "stop", "terminate", "suspend", "resume"), "control"
    ),
    "try": "tryout",
}
"""The modules of this package that aren't named after their command."""

_DESCRIPTION = "Runs DAGs of container tasks that are written as Kubernetes objects."
_EPILOG = """\
examples:
  observatory try workflow.yaml          run a workflow here, without a cluster
  observatory validate workflow.yaml     check a workflow before it is applied
  observatory submit workflow.yaml -f    run it in the cluster, and see it live
  observatory why my-workflow            what failed first, and what to do
  observatory run --leader-elect         run the operator
  observatory retry my-workflow          run again what failed
  observatory schedule "H 3 * * 1-5"     when that fires
  observatory validate --help            all about one command

Exit codes: 0 all is well, 1 what was asked about is not, 2 the command could not do its work.
"""
_INTERRUPTED = 130
_BROKEN_PIPE = 141
_CANNOT_WRITE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the help is; exit 2."""
        self.exit(2, f"error: {one_line(message)} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has read enough.
        _discard_output()
        return _BROKEN_PIPE
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        _discard_output()
        print(f"error: cannot write the output: {(error.strerror or '').lower()}", file=sys.stderr)
        return 2


def _run(arguments: Sequence[str]) -> int:
    parser = parser_of(arguments)
    for flag, _, value in (argument.partition("=") for argument in arguments):
        if flag.startswith("--") and value == "--":
            # argparse would take it for the end of the flags, and give an empty list.
            parser.error(f"argument {flag}: expected a value, not --")
    try:
        options, unknown = parser.parse_known_args(arguments)
        if unknown:
            # By itself, argparse would point to the help that does not list the command's flags.
            command = Parser(prog=f"{program()} {options.command}")
            command.error(f"unrecognized arguments: {' '.join(unknown)}")
        code: int = options.handler(options)
    finally:
        # Here, where it can still be told that this failed.
        if sys.stdout is not None:
            sys.stdout.flush()
    return code


def _discard_output() -> None:
    """Let what is left go nowhere: Python would complain once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def program() -> str:
    """How this program was called: by itself, or as a plugin of kubectl."""
    plugin = Path(sys.argv[0]).name.startswith("kubectl-")
    return "kubectl observatory" if plugin else "observatory"


def parser_of(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser, with all about the command that these arguments begin with."""
    parser = Parser(
        prog=program(),
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"observatory {__version__}")
    subparsers = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True
    )
    given = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, summary in COMMANDS.items():
        if name == given:
            module = importlib.import_module(f"observatory.cli.{_MODULES.get(name, name)}")
            module.add_parser(subparsers, name)
        else:
            subparsers.add_parser(name, help=summary)
    return parser
