"""`observatory list`: the workflows and how they are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from observatory.api.names import OBSERVATORIES
from observatory.api.times import format_time
from observatory.api.types import JsonObject
from observatory.cli.cluster import with_cluster
from observatory.cli.reading import add_reading, every, write_objects
from observatory.cli.style import Screen, of_phase, styled, table
from observatory.cli.view import View, glance
from observatory.kube.api import Api
from observatory.runtime.clock import SystemClock

_EPILOG = """\
examples:
  observatory list
  observatory list -A --phase Failed
  observatory list -l team=etl -o json | jq -r '.items[].metadata.name'

Exit codes: 0 listed, also when there is none, 2 the command could not do its work.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the parser of the command."""
    parser = subparsers.add_parser(
        name,
        help="list workflows and how they are",
        description="Lists the Observatories of a namespace, or with -A of all.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--all-namespaces", "-A", action="store_true", help="of all namespaces")
    parser.add_argument("--selector", "-l", metavar="LABELS", help="only those with these labels")
    parser.add_argument(
        "--phase",
        choices=("Pending", "Running", "Succeeded", "Failed"),
        help="only those in this phase",
    )
    parser.add_argument("--no-headers", action="store_true", help="without the line of titles")
    add_reading(parser, ("table", "wide", "json", "yaml", "name"), name=False)
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """List them."""

    async def work(api: Api, namespace: str) -> int:
        params = {"labelSelector": options.selector} if options.selector else {}
        where = None if options.all_namespaces else options.namespace or namespace
        found = [each async for each in every(api, OBSERVATORIES, where, params)]
        if options.phase:
            found = [each for each in found if _phase(each) == options.phase]
        if options.output not in ("table", "wide"):
            write_objects(found, options.output, single=False)
            return 0
        if not found:
            place = "any namespace" if where is None else f'namespace "{where}"'
            print(f"No Observatories in {place}.")
            return 0
        screen = Screen(options.color)
        views = [glance(each) for each in found]
        lines = listing(
            views,
            SystemClock().now(),
            namespaces=options.all_namespaces,
            wide=options.output == "wide",
            titles=not options.no_headers,
        )
        screen.print(lines)
        return 0

    return with_cluster(options, work)


def _phase(observatory: JsonObject) -> str:
    return str((observatory.get("status") or {}).get("phase") or "Pending")


def listing(
    views: Sequence[View], now: datetime, *, namespaces: bool, wide: bool, titles: bool
) -> list[Text]:
    """The table of some workflows."""
    header = ["NAME", "PHASE", "PROGRESS", "DURATION", "AGE", "MESSAGE"]
    if namespaces:
        header.insert(0, "NAMESPACE")
    if wide:
        header[-1:] = ["RUN", "NEXT", "TRACE", "MESSAGE"]
    return table(header, [_row(view, now, namespaces, wide) for view in views], titles=titles)


def _row(view: View, now: datetime, namespaces: bool, wide: bool) -> list[Text]:  # noqa: FBT001
    status = view.status
    cells = [
        styled(view.key.name),
        of_phase(status.phase.value),
        styled(status.progress or "-"),
        styled(view.duration(now) or "-"),
        styled(view.age(now) or "-"),
        styled(view.problem or status.message or ""),
    ]
    if namespaces:
        cells.insert(0, styled(view.key.namespace))
    if wide:
        following = status.runs.next_times
        cells[-1:-1] = [
            styled(str(status.runs.latest or status.run or "-")),
            styled(format_time(following[0]) if following else "-"),
            styled(status.trace.trace_id if status.trace else "-"),
        ]
    return cells
