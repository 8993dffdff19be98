"""`observatory events`: the story of a workflow, as its Events and those of its Pods tell it."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable
from datetime import datetime

from rich.text import Text

from observatory.api.names import EVENTS, Key
from observatory.api.times import format_duration, parse_time
from observatory.api.types import JsonObject
from observatory.cli.cluster import with_cluster
from observatory.cli.reading import LOOK_SECONDS, add_reading, every, fetch, write_objects
from observatory.cli.style import Screen, styled, table
from observatory.kube.api import Api
from observatory.runtime.clock import SystemClock

_EPILOG = """\
examples:
  observatory events etl
  observatory events etl -w           goes on until it is interrupted
  observatory events etl --warnings

Kubernetes keeps Events for an hour, unless the cluster says otherwise. The status keeps what
counts: observatory get, observatory why.

Exit codes: 0 shown, 1 not found, 2 the command could not do its work.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the parser of the command."""
    parser = subparsers.add_parser(
        name,
        help="show what happened to a workflow",
        description="Shows the Events about a workflow and its Pods, in order of time.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--watch", "-w", action="store_true", help="go on showing what happens")
    parser.add_argument("--warnings", action="store_true", help="only what went wrong")
    add_reading(parser, ("table", "json", "yaml"))
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Show them."""

    async def work(api: Api, namespace: str) -> int:
        key = Key(options.namespace or namespace, options.name)
        screen = Screen(options.color)
        observatory = await fetch(api, key)
        found = await about(api, key, observatory, warnings=options.warnings)
        if options.output != "table":
            write_objects(found, options.output, single=False)
            return 0
        now = SystemClock().now()
        if not found and not options.watch:
            print(f"No Events about {key.name}: they are kept for an hour.")
            return 0
        screen.print(listing(found, now, titles=True))
        shown = {_version(each) for each in found}
        while options.watch:
            await asyncio.sleep(LOOK_SECONDS)
            found = await about(api, key, observatory, warnings=options.warnings)
            fresh = [each for each in found if _version(each) not in shown]
            shown |= {_version(each) for each in fresh}
            screen.print(listing(fresh, SystemClock().now(), titles=False))
        return 0

    return with_cluster(options, work)


async def about(api: Api, key: Key, observatory: JsonObject, *, warnings: bool) -> list[JsonObject]:
    """The Events about an Observatory and the Pods that its status names, the oldest first."""
    uid = observatory["metadata"]["uid"]
    status = observatory.get("status") or {}
    pods = {
        each.get("podName")
        for row in (*(status.get("tasks") or ()), *(status.get("finally") or ()))
        for each in (row, *(row.get("attempts") or ()))
    }
    found = [
        each
        async for each in every(api, EVENTS, key.namespace, {})
        if _is_about(each.get("regarding") or {}, uid, pods)
        and not (warnings and each.get("type") != "Warning")
    ]
    return sorted(found, key=_time)


def _is_about(regarding: JsonObject, uid: str, pods: set[str | None]) -> bool:
    if regarding.get("kind") == "Pod":
        return regarding.get("name") in pods
    return bool(regarding.get("uid") == uid)


def _version(event: JsonObject) -> tuple[str, str]:
    metadata = event["metadata"]
    return metadata.get("uid", ""), metadata.get("resourceVersion", "")


def _time(event: JsonObject) -> str:
    """When it last happened, as a text that sorts."""
    series = event.get("series") or {}
    old = event.get("deprecatedLastTimestamp")
    return str(series.get("lastObservedTime") or event.get("eventTime") or old or "")


def listing(events: Iterable[JsonObject], now: datetime, *, titles: bool) -> list[Text]:
    """The table of some Events."""
    rows = []
    for event in events:
        warning = event.get("type") == "Warning"
        regarding = event.get("regarding") or {}
        count = (event.get("series") or {}).get("count") or event.get("deprecatedCount") or 1
        times = f" (x{count})" if count > 1 else ""
        who = "" if regarding.get("kind") != "Pod" else f"{regarding.get('name')}: "
        rows.append(
            [
                styled(_ago(event, now)),
                styled(str(event.get("type")), "yellow" if warning else ""),
                styled(str(event.get("reason"))),
                styled(f"{who}{event.get('note') or ''}{times}"),
            ]
        )
    return table(("AGE", "TYPE", "REASON", "NOTE"), rows, titles=titles) if rows else []


def _ago(event: JsonObject, now: datetime) -> str:
    try:
        return format_duration(now - parse_time(_time(event)))
    except ValueError:
        return "-"
