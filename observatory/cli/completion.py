"""`observatory completion`: what makes a shell complete commands, flags, names and tasks."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from observatory.api.names import OBSERVATORIES, Key
from observatory.api.text import one_line

SHELLS = {
    "bash": """\
_observatory() {
  local IFS=$'\\n'
  COMPREPLY=($(kubectl_complete-observatory "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null \\
    | sed '/^:/d'))
}
complete -o default -F _observatory observatory""",
    "zsh": """\
#compdef observatory
_observatory() {
  local -a found
  found=(${(f)"$(kubectl_complete-observatory "${(@)words[2,CURRENT]}" 2>/dev/null | sed '/^:/d')"})
  compadd -a found || _files
}
compdef _observatory observatory""",
    "fish": """\
function __observatory_complete
  set -l words (commandline -opc) (commandline -ct)
  kubectl_complete-observatory $words[2..-1] 2>/dev/null | string match -v ':*'
end
complete -c observatory -f -a '(__observatory_complete)'""",
}
_EPILOG = """\
examples:
  source <(observatory completion bash)
  observatory completion zsh > "${fpath[1]}/_observatory"
  observatory completion fish > ~/.config/fish/completions/observatory.fish

As `kubectl observatory` it is completed by kubectl's own completion, without more.
"""
_FILES = frozenset({"submit", "try", "validate", "replay"})
_OF_WORKFLOWS = frozenset(
    {
        *("get", "why", "logs", "events", "graph", "timeline"),
        *("retry", "run-now", "backfill", "stop", "terminate", "suspend", "resume"),
    }
)
_PATIENCE_SECONDS = 2.0
_DEFAULT, _NO_FILES = 0, 4
"""Cobra's directives, which kubectl understands: files are candidates too, or they are not."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the parser of the command."""
    parser = subparsers.add_parser(
        name,
        help="print what makes a shell complete commands",
        description="Prints a script that makes a shell complete commands, flags, names and tasks.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=tuple(SHELLS), help="the shell")
    parser.set_defaults(handler=_print)


def _print(options: argparse.Namespace) -> int:
    print(SHELLS[options.shell])
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Print what the last of some words can be, one a line; kubectl's protocol for plugins."""
    words = list(sys.argv[1:] if argv is None else argv) or [""]
    found, directive = candidates(words)
    for each in found:
        if each.startswith(words[-1]):
            print(one_line(each))
    print(f":{directive}")
    return 0


def candidates(words: Sequence[str]) -> tuple[Iterable[str], int]:
    """What the last word can be, and whether it can be a file instead."""
    from observatory.cli.main import COMMANDS, parser_of  # noqa: PLC0415 -- it imports this

    *before, last = words
    command = next((word for word in before if not word.startswith("-")), None)
    if command is None:
        return (["--help", "--version"] if last.startswith("-") else COMMANDS), _NO_FILES
    if command not in COMMANDS:
        return (), _NO_FILES
    parser = _of_command(parser_of([command]), command)
    actions = {flag: action for action in parser._actions for flag in action.option_strings}  # noqa: SLF001
    valued = actions.get(before[-1]) if before[-1].startswith("-") else None
    if valued is not None and valued.nargs != 0:
        return list(map(str, valued.choices or ())), _DEFAULT
    if last.startswith("-"):
        return sorted(actions), _NO_FILES
    return _positional(command, before, actions)


def _positional(
    command: str, before: Sequence[str], actions: dict[str, argparse.Action]
) -> tuple[Iterable[str], int]:
    """What a word can be that is no flag: a name, or after that the name of a task."""
    options = argparse.Namespace(kubeconfig=None, context=None, namespace=None)
    given: list[str] = []
    words = iter(before[before.index(command) + 1 :])
    for word in words:
        action = actions.get(word)
        if action is None:
            given.append(word)
        elif action.nargs != 0:
            setattr(options, action.dest, next(words, None))
    if command in _OF_WORKFLOWS and not given:
        return _names(options), _NO_FILES
    if command == "logs" and len(given) == 1:
        return _tasks(options, given[0]), _NO_FILES
    return (), _DEFAULT if command in _FILES else _NO_FILES


def _of_command(parser: argparse.ArgumentParser, command: str) -> argparse.ArgumentParser:
    for action in parser._actions:  # noqa: SLF001 -- argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            found: argparse.ArgumentParser = action.choices[command]
            return found
    raise AssertionError("the parser has commands")


def _names(options: argparse.Namespace) -> list[str]:
    from observatory.cli.reading import every  # noqa: PLC0415 -- only where a cluster is asked
    from observatory.kube.api import Api  # noqa: PLC0415

    async def ask(api: Api, namespace: str) -> list[str]:
        where = options.namespace or namespace
        return [each["metadata"]["name"] async for each in every(api, OBSERVATORIES, where, {})]

    return _asked(options, ask)


def _tasks(options: argparse.Namespace, name: str) -> list[str]:
    from observatory.cli.reading import fetch  # noqa: PLC0415
    from observatory.cli.view import view_of  # noqa: PLC0415
    from observatory.kube.api import Api  # noqa: PLC0415

    async def ask(api: Api, namespace: str) -> list[str]:
        found = await fetch(api, Key(options.namespace or namespace, name))
        return [task.name for task in view_of(found).tasks]

    return _asked(options, ask)


def _asked(
    options: argparse.Namespace, ask: Callable[[Any, str], Awaitable[list[str]]]
) -> list[str]:
    """What the cluster says; nothing where it says nothing in time: a shell must not hang."""
    from observatory.cli.cluster import DEFAULT_NAMESPACE, CommandError  # noqa: PLC0415
    from observatory.kube.client import Client  # noqa: PLC0415
    from observatory.kube.config import load  # noqa: PLC0415
    from observatory.kube.credentials import ConfigError  # noqa: PLC0415
    from observatory.kube.errors import KubeError  # noqa: PLC0415
    from observatory.runtime.clock import SystemClock  # noqa: PLC0415

    async def connected() -> list[str]:
        cluster = load(options.kubeconfig, options.context, SystemClock())
        async with asyncio.timeout(_PATIENCE_SECONDS), Client(cluster) as client:
            return await ask(client, cluster.namespace or DEFAULT_NAMESPACE)

    try:
        return asyncio.run(connected())
    except (ConfigError, KubeError, CommandError, TimeoutError):
        return []
