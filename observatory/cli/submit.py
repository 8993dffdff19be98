"""`observatory submit`: create a workflow, and see it through."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator

from observatory.api.names import OBSERVATORIES, Key
from observatory.api.text import one_line
from observatory.api.types import JsonObject
from observatory.cli.cluster import CommandError, object_name, with_cluster
from observatory.cli.get import exit_code, follow, over
from observatory.cli.graph import from_file
from observatory.cli.reading import LOOK_SECONDS, add_reading, seen
from observatory.cli.style import Screen
from observatory.cli.view import View
from observatory.kube.api import Api
from observatory.kube.errors import AlreadyExists, Invalid

_EPILOG = """\
examples:
  observatory submit etl.yaml
  observatory submit etl.yaml --wait               for scripts: the exit code says how it ended
  observatory submit etl.yaml --follow             and see it live
  observatory submit etl.yaml --name etl-2026-11 --wait --timeout 3600

Exit codes: 0 created; with --wait or --follow, the run succeeded. 1 the run failed, or the file has
errors, 2 the command could not do its work, 3 the run has not ended in time.
"""
_TOO_LATE = 3


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the parser of the command."""
    parser = subparsers.add_parser(
        name,
        help="create a workflow and wait for it",
        description="Creates the Observatory of a file, after checking it, and if asked to waits "
        "for the end of its run.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="a file with one Observatory")
    parser.add_argument(
        "--name", type=object_name, metavar="NAME", help="another name than that in the file"
    )
    parser.add_argument("--wait", action="store_true", help="until the run has ended")
    parser.add_argument("--follow", "-f", action="store_true", help="wait, and show how it goes")
    parser.add_argument(
        "--timeout",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long to wait at most; 0: as long as it takes (default: 0)",
    )
    add_reading(parser, name=False)
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Create it."""

    async def work(api: Api, namespace: str) -> int:
        observatory = from_file(options.file, options.namespace or namespace)
        key = await create(api, observatory, options)
        if not (options.wait or options.follow):
            return 0
        screen = Screen(options.color)
        seconds = options.timeout if options.timeout > 0 else None
        try:
            async with asyncio.timeout(seconds):
                if options.follow:
                    return await follow(api, key, screen)
                async for view in _looks(api, key):
                    if over(view):
                        message = f": {view.status.message}" if view.status.message else ""
                        text = f"{view.status.phase} after {view.status.duration}{message}"
                        print(one_line(f"observatory/{key.name}: {text}"))
                        return exit_code(view)
        except TimeoutError:
            text = f"observatory/{key.name} has not ended in {seconds:g} s, and goes on"
            raise CommandError(text, _TOO_LATE) from None
        raise AssertionError("unreachable: it looks until it is over")

    return with_cluster(options, work)


async def _looks(api: Api, key: Key) -> AsyncIterator[View]:
    while True:
        yield await seen(api, key)
        await asyncio.sleep(LOOK_SECONDS)


async def create(api: Api, observatory: JsonObject, options: argparse.Namespace) -> Key:
    """Create it, and say so.

    Raises:
        CommandError: There is one of that name, or the API server refuses this one.
    """
    metadata = {
        name: value
        for name, value in observatory["metadata"].items()
        if name not in ("uid", "generation")
    }
    metadata["namespace"] = options.namespace or metadata["namespace"]
    metadata["name"] = options.name or metadata["name"]
    key = Key(metadata["namespace"], metadata["name"])
    if (observatory["spec"].get("schedule") or observatory["spec"].get("schedules")) and (
        options.wait or options.follow
    ):
        raise CommandError(f"{key.name} has a schedule: its runs have no end to wait for", 2)
    body = {**observatory, "metadata": metadata}
    body.pop("status", None)
    try:
        await api.create(OBSERVATORIES, key.namespace, body)
    except AlreadyExists as error:
        text = f'observatory "{key.name}" exists in namespace "{key.namespace}"'
        hint = "give another --name, or change it with kubectl apply"
        raise CommandError(f"{text}: {hint}") from error
    except Invalid as error:
        raise CommandError(f"{options.file}: {error.message}") from error
    print(one_line(f"observatory.workflow.seventh-horizon.io/{key.name} created"))
    return key
