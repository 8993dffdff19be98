"""`observatory timeline`: when the tasks ran, as bars in the terminal or as SVG."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.text import Text

from observatory.api.names import Key
from observatory.api.taskstatus import TaskPhase
from observatory.api.times import format_duration, format_time
from observatory.cli import svg
from observatory.cli.cluster import CommandError, with_cluster
from observatory.cli.reading import add_reading, seen
from observatory.cli.style import STYLES, Screen, styled
from observatory.cli.view import TaskView, View
from observatory.kube.api import Api
from observatory.runtime.clock import SystemClock

_EPILOG = """\
examples:
  observatory timeline etl
  observatory timeline etl -o svg > etl.svg

Each bar is an attempt; its light part is the wait for a node and for the image.

Exit codes: 0 drawn, 1 not found or not begun, 2 the command could not do its work.
"""
_NAME_SHARE = 3
_DRAWN_WIDTH, _LINE, _LEFT = 900, 22, 180


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt: when it was started, when its container ran, and when it ended."""

    start: datetime
    ran: datetime
    end: datetime
    phase: str


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the parser of the command."""
    parser = subparsers.add_parser(
        name,
        help="draw when the tasks ran",
        description="Draws when the tasks of a run were started, ran and ended.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_reading(parser, ("text", "svg"))
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Draw it."""

    async def work(api: Api, namespace: str) -> int:
        view = await seen(api, Key(options.namespace or namespace, options.name))
        now = SystemClock().now()
        if view.status.start_time is None:
            hint = ": it has a schedule; name one of its runs" if view.desired.scheduled else ""
            raise CommandError(f"{view.key.name} has no run yet{hint}")
        if options.output == "svg":
            print(drawn(view, now))
        else:
            screen = Screen(options.color)
            screen.print(chart(view, screen, now))
        return 0

    return with_cluster(options, work)


def bars(task: TaskView, now: datetime) -> Iterator[Bar]:
    """The attempts of a task, in order, as far as their times are known."""
    row = task.row
    for attempt in row.attempts:
        if attempt.start_time and attempt.completion_time:
            waited = timedelta(seconds=sum(attempt.waited or ()))
            end = max(attempt.completion_time, attempt.start_time)
            ran = min(attempt.start_time + waited, end)
            yield Bar(attempt.start_time, ran, end, TaskPhase.FAILED.value)
    if row.start_time:
        end = max(row.completion_time or now, row.start_time)
        ran = min(row.start_time + timedelta(seconds=sum(row.waited or ())), end)
        yield Bar(row.start_time, ran, end, row.phase.value)


def _span(view: View, now: datetime) -> tuple[datetime, float]:
    """When the run began, and its seconds; at least one."""
    begun = view.status.start_time or now
    end = view.status.completion_time or now
    ends = [bar.end for task in view.tasks for bar in bars(task, now)]
    return begun, max((max([end, *ends]) - begun).total_seconds(), 1.0)


def chart(view: View, screen: Screen, now: datetime) -> list[Text]:
    """The bars as text, as wide as the screen."""
    begun, seconds = _span(view, now)
    shown = [task for task in view.order if task.start]
    longest = max((len(task.name) for task in shown), default=0)
    names = min(longest, screen.width // _NAME_SHARE)
    room = max(screen.width - names - 12, 10)
    full, light = ("█", "░") if screen.unicode else ("#", "-")
    scale = format_duration(timedelta(seconds=seconds))
    head = f"{format_time(begun):<{max(room - len(scale), 1)}}{scale}"
    lines = [Text(" " * (names + 2) + head, "dim")]
    for task in shown:
        cells: list[tuple[str, str]] = [(" ", "")] * room
        for bar in bars(task, now):
            first, ran, last = (
                min(int((time - begun).total_seconds() / seconds * room), room - 1)
                for time in (bar.start, bar.ran, bar.end)
            )
            for at in range(max(first, 0), max(last, first) + 1):
                cells[at] = (light if at < ran else full, STYLES.get(bar.phase, ""))
        line = styled(task.name[:names].ljust(names + 2))
        for sign, style in cells:
            line.append(sign, style)
        lines.append(line.append(f"  {task.duration(now)}"))
    return lines


def drawn(view: View, now: datetime) -> str:
    """The bars as SVG."""
    begun, seconds = _span(view, now)
    shown = [task for task in view.order if task.start]
    scale = (_DRAWN_WIDTH - _LEFT - 80) / seconds
    parts = [svg.text(_LEFT, 18, format_time(begun), color="#757575")]
    for at, task in enumerate(shown):
        y = 30 + at * _LINE
        parts.append(svg.line(_LEFT, y + _LINE - 2, _DRAWN_WIDTH - 20, y + _LINE - 2))
        parts.append(svg.text(_LEFT - 8, y + 13, task.name[:28], "end"))
        end = 0.0
        for bar in bars(task, now):
            x = _LEFT + (bar.start - begun).total_seconds() * scale
            ran = _LEFT + (bar.ran - begun).total_seconds() * scale
            end = max(_LEFT + (bar.end - begun).total_seconds() * scale, x + 2)
            if ran > x:
                parts.append(svg.box(x, y, ran - x, _LINE - 6, "Pending", "waited"))
            title = f"{task.name}: {bar.phase} {format_duration(bar.end - bar.start)}"
            parts.append(svg.box(ran, y, max(end - ran, 2), _LINE - 6, bar.phase, title))
        parts.append(svg.text(end + 6, y + 13, task.duration(now), color="#757575"))
    title = f"When the tasks of {view.key} ran, {view.status.phase.value}"
    return svg.document(_DRAWN_WIDTH, 40 + len(shown) * _LINE, title, parts)
