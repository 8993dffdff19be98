"""`observatory get`: one workflow, its tasks as a tree, live with -w."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from functools import partial

from rich.text import Text

from observatory.api.names import Key
from observatory.api.status import Phase
from observatory.api.times import format_duration, format_time
from observatory.cli.cluster import with_cluster
from observatory.cli.reading import LOOK_SECONDS, add_reading, fetch, seen, write_objects
from observatory.cli.style import STYLES, Screen, of_phase, styled
from observatory.cli.view import TaskView, View
from observatory.kube.api import Api
from observatory.runtime.clock import SystemClock

_EPILOG = """\
examples:
  observatory get etl
  observatory get etl -w            until the run ends, live in a terminal
  observatory get etl -o json | jq .status

Below a task is what depends on it; one that depends on several is below the one that comes last.

Exit codes: 0 shown; with -w, 0 the run succeeded, 1 it failed; 1 not found, 2 the command could not
do its work.
"""
_SHOWN_RUNS = 5


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the parser of the command."""
    parser = subparsers.add_parser(
        name,
        help="show a workflow and its tasks",
        description="Shows a workflow: how its latest run is or was, and each of its tasks.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--watch", "-w", action="store_true", help="go on until the run ends")
    add_reading(parser, ("tree", "json", "yaml", "name"))
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Show it."""

    async def work(api: Api, namespace: str) -> int:
        key = Key(options.namespace or namespace, options.name)
        screen = Screen(options.color)
        if options.watch and options.output == "tree":
            return await follow(api, key, screen)
        if options.output != "tree":
            write_objects([await fetch(api, key)], options.output, single=True)
            return 0
        screen.print(page(await seen(api, key), screen, SystemClock().now()))
        return 0

    return with_cluster(options, work)


async def follow(api: Api, key: Key, screen: Screen) -> int:
    """Show it until its run ends: redrawn in a terminal, elsewhere a line for each change."""
    clock = SystemClock()
    look = partial(seen, api, key)
    if not screen.terminal:
        return await _lines(look, screen)
    with screen.live() as live:
        while True:
            view = await look()
            screen.draw(live, page(view, screen, clock.now()))
            if over(view):
                return exit_code(view)
            await asyncio.sleep(LOOK_SECONDS)


async def _lines(look: Callable[[], Awaitable[View]], screen: Screen) -> int:
    known: dict[str, tuple[str, str]] = {}
    while True:
        view = await look()
        screen.print(changes(view, known))
        if over(view):
            screen.print([_outcome(view)])
            return exit_code(view)
        await asyncio.sleep(LOOK_SECONDS)


def changes(view: View, known: dict[str, tuple[str, str]]) -> list[Text]:
    """A line for each task that is not as it was known to be, which is noted."""
    lines = []
    for task in view.order:
        now = (task.row.phase.value, task.note)
        if known.get(task.name, ("Pending", "")) != now:
            note = f"  {task.note}" if task.note else ""
            lines.append(of_phase(now[0], f"{task.name}: {now[0]}{note}"))
        known[task.name] = now
    return lines


def over(view: View) -> bool:
    """Whether nothing more is to be seen: the run that the spec asks for has ended."""
    up_to_date = view.status.observed_generation >= view.desired.generation
    return view.status.ended and up_to_date and not view.desired.scheduled


def exit_code(view: View) -> int:
    """0 if the run succeeded."""
    return int(view.status.phase is not Phase.SUCCEEDED)


def _outcome(view: View) -> Text:
    status = view.status
    text = f"{view.key.name}: {status.phase.value} after {status.duration}"
    return of_phase(status.phase.value, f"{text}: {status.message}" if status.message else text)


def page(view: View, screen: Screen, now: datetime) -> list[Text]:
    """All about a workflow: its facts, and its tree or its runs."""
    lines = list(_facts(view, now))
    if view.desired.scheduled:
        return [*lines, *_runs(view, now)]
    if view.tasks:
        lines += [Text(), *tree(view, screen, now)]
    return lines


def _facts(view: View, now: datetime) -> Iterator[Text]:
    status = view.status
    yield _fact("Name", styled(view.key.name))
    yield _fact("Namespace", styled(view.key.namespace))
    yield _fact("Phase", of_phase(status.phase.value))
    facts: list[tuple[str, object]] = [
        ("Message", view.problem or status.message),
        ("Run", status.run or None),
        ("Started", status.start_time and format_time(status.start_time)),
        ("Finished", status.completion_time and format_time(status.completion_time)),
        ("Duration", view.duration(now)),
        ("Progress", status.progress),
        ("Revision", status.revision),
        ("Trace", status.trace and status.trace.trace_id),
    ]
    for name, value in facts:
        if value:
            yield _fact(name, styled(str(value)))


def _fact(name: str, value: Text) -> Text:
    return Text(f"{name + ':':<11}").append_text(value)


def _runs(view: View, now: datetime) -> Iterator[Text]:
    runs = view.status.runs
    if runs.next_times:
        yield _fact("Next", styled(", ".join(map(format_time, runs.next_times[:3]))))
    if runs.last_success_time:
        ago = format_duration(now - runs.last_success_time)
        yield _fact("Succeeded", styled(f"{format_time(runs.last_success_time)} ({ago} ago)"))
    if not (runs.active or runs.queued or runs.history or runs.skipped):
        return
    yield Text()
    for run in runs.queued:
        yield of_phase("Pending", f"Queued     for {format_time(run.id.time)}")
    for active in runs.active:
        yield of_phase("Running", f"Running    {active.name}")
    for ended in reversed(runs.history[-_SHOWN_RUNS:]):
        phase = "Succeeded" if ended.succeeded else "Failed"
        took = format_duration(ended.completion_time - ended.start_time)
        why = f"  {ended.reason}" if ended.reason and not ended.succeeded else ""
        yield of_phase(phase, f"{phase:<9}  {ended.name}  {took}{why}")
    for skip in runs.skipped[-_SHOWN_RUNS:]:
        yield of_phase("Skipped", f"Skipped    {format_time(skip.time)}  {skip.message}")
    yield Text()
    example = runs.active[0].name if runs.active else None
    example = example or (runs.history[-1].name if runs.history else None)
    if example:
        yield styled(f"More: observatory get {example} -n {view.key.namespace}", "dim")


def tree(view: View, screen: Screen, now: datetime) -> list[Text]:
    """The tasks, each below the one of its dependencies that comes last in order."""
    place = {task.name: at for at, task in enumerate(view.order)}
    below: dict[str | None, list[TaskView]] = {}
    for task in view.order:
        known = [name for name in task.dependencies if name in place]
        parent = max(known, key=place.__getitem__) if known else None
        below.setdefault(parent, []).append(task)
    lines: list[tuple[str, TaskView]] = []
    # Without recursion: a chain may be thousands of tasks long.
    roots = below.get(None, [])
    stack = [(task, "", at == 0) for at, task in enumerate(reversed(roots))]
    branch, beside, last, nothing = screen.branches
    while stack:
        task, indent, is_last = stack.pop()
        lines.append((indent + (last if is_last else branch), task))
        inner = indent + (nothing if is_last else beside)
        children = below.get(task.name, [])
        stack += [(child, inner, at == 0) for at, child in enumerate(reversed(children))]
    width = max(len(prefix) + len(task.name) for prefix, task in lines)
    width = min(width, max(screen.width // 2, 20))
    return [_task_line(prefix, task, screen, width, now) for prefix, task in lines]


def _task_line(prefix: str, task: TaskView, screen: Screen, width: int, now: datetime) -> Text:
    phase = task.row.phase
    line = Text(prefix, "dim")
    line.append(f"{screen.sign(phase)} ", STYLES.get(phase.value, ""))
    line.append_text(styled(task.name))
    line.append(" " * max(width - len(prefix) - len(task.name), 0))
    line.append_text(of_phase(phase.value, f"  {phase.value:<9}"))
    line.append_text(styled(f"  {task.duration(now):>7}  {'finally ' if task.row.final else ''}"))
    line.append_text(styled(task.note, "dim" if phase is not phase.FAILED else "red"))
    line.rstrip()
    return line
