"""`observatory logs`: what the tasks have written, in the order of the run."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from observatory.api.names import TASK_CONTAINER, Key
from observatory.api.taskstatus import TaskPhase
from observatory.cli.cluster import CommandError, object_name, with_cluster
from observatory.cli.reading import LOOK_SECONDS, add_reading, seen
from observatory.cli.style import Screen
from observatory.cli.view import TaskView, View
from observatory.kube.api import Api
from observatory.kube.errors import ApiError, NotFound

_EPILOG = """\
examples:
  observatory logs etl                  of all tasks, one after the other
  observatory logs etl load             of one task
  observatory logs etl -f               of all as they run, until the run ends
  observatory logs etl load --attempt 1 --tail 20

Pods of tasks that succeeded are deleted with the end of the run unless spec.podRetention is All;
their logs go with them. Of a task that failed, the status keeps the end of its output.

Exit codes: 0 shown, 1 not found, 2 the command could not do its work.
"""


class Logs(Protocol):
    """Who has the logs; see `Client.log`."""

    def log(
        self, key: Key, params: dict[str, str]
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """What a Pod has written."""


Write = Callable[[bytes], None]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the parser of the command."""
    parser = subparsers.add_parser(
        name,
        help="show what the tasks have written",
        description="Shows what the containers of a run have written, in the order of the run.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("name", type=object_name, metavar="NAME", help="the Observatory")
    parser.add_argument("task", nargs="?", metavar="TASK", help="of this task only")
    parser.add_argument("--follow", "-f", action="store_true", help="go on until the run ends")
    parser.add_argument("--attempt", type=int, metavar="N", help="of this attempt, not the latest")
    parser.add_argument("--tail", type=int, metavar="N", help="only the last N lines of each")
    parser.add_argument("--timestamps", action="store_true", help="with the time of each line")
    add_reading(parser, name=False)
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Show them."""

    async def work(api: Api, namespace: str) -> int:
        key = Key(options.namespace or namespace, options.name)
        view = await seen(api, key)
        if options.task and options.task not in view.by_name:
            known = ", ".join(list(view.by_name)[:10]) or "none yet"
            raise CommandError(f'{key.name} has no task "{options.task}": its tasks are {known}')
        if view.desired.scheduled:
            raise CommandError(
                f"{key.name} has a schedule: name one of its runs, see observatory get {key.name}"
            )
        reader = _Reader(api, options, Screen(options.color))  # type: ignore[arg-type]
        return await (reader.follow(api, key) if options.follow else reader.show(view))

    return with_cluster(options, work)


class _Reader:
    def __init__(self, logs: Logs, options: argparse.Namespace, screen: Screen) -> None:
        self._logs = logs
        self._options = options
        self._screen = screen
        self._several = options.task is None

    async def show(self, view: View) -> int:
        """What has been written so far."""
        shown = False
        for task in view.order:
            pod = self._pod(task)
            if pod is None or (self._options.task and task.name != self._options.task):
                continue
            shown = True
            await self._one(view.key, task, pod, follow=False)
        if not shown:
            raise CommandError(f"{view.key.name}: nothing has been started that could have written")
        return 0

    async def follow(self, api: Api, key: Key) -> int:
        """What is written, of each attempt as it is started, until the run has ended."""
        begun: set[str] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                view = await seen(api, key)
                for task in view.order:
                    pod = self._pod(task)
                    if pod is None or (self._options.task and task.name != self._options.task):
                        continue
                    if pod not in begun:
                        begun.add(pod)
                        group.create_task(self._one(key, task, pod, follow=True))
                if view.status.ended or self._is_over(view):
                    return 0
                await asyncio.sleep(LOOK_SECONDS)

    def _is_over(self, view: View) -> bool:
        return bool(self._options.task and view.by_name[self._options.task].row.phase.ended)

    def _pod(self, task: TaskView) -> str | None:
        """The Pod of the attempt that is asked for."""
        wanted = self._options.attempt
        if wanted is None or wanted == task.row.attempt:
            if task.row.pod_name or not task.row.attempts:
                return task.row.pod_name
            return task.row.attempts[-1].pod_name
        return next((each.pod_name for each in task.row.attempts if each.attempt == wanted), None)

    async def _one(self, key: Key, task: TaskView, pod: str, *, follow: bool) -> None:
        prefix = f"{task.name} | " if self._several else ""
        out = _Lines(prefix, self._screen)
        params = {"container": TASK_CONTAINER}
        if self._options.tail is not None:
            params["tailLines"] = str(max(self._options.tail, 0))
        if self._options.timestamps:
            params["timestamps"] = "true"
        if follow:
            params["follow"] = "true"
        while True:
            try:
                async with self._logs.log(Key(key.namespace, pod), params) as chunks:
                    async for chunk in chunks:
                        out.write(chunk)
                break
            except NotFound:
                self._tell_gone(task, pod, out)
                break
            except ApiError as error:
                if not (follow and _not_yet(error)):
                    out.note(f"no log: {error.message}")
                    break
                await asyncio.sleep(LOOK_SECONDS)
        out.end()

    def _tell_gone(self, task: TaskView, pod: str, out: _Lines) -> None:
        out.note(f"the Pod {pod} is gone, and its log with it")
        if task.row.message and task.row.phase is TaskPhase.FAILED:
            out.note("what the status has kept of its output:")
            out.write(task.row.message.encode() + b"\n")


def _not_yet(error: ApiError) -> bool:
    """Whether the container is still to be made."""
    return "is waiting to start" in error.message or "ContainerCreating" in error.message


class _Lines:
    """Writes whole lines, each with its prefix: several containers may write at once."""

    def __init__(self, prefix: str, screen: Screen) -> None:
        self._prefix = prefix.encode()
        self._terminal = screen.terminal
        self._rest = b""

    def write(self, chunk: bytes) -> None:
        """Take a piece of a log."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._put(line)

    def note(self, text: str) -> None:
        """Say something of ours, apart from what a container wrote."""
        sys.stdout.flush()
        print(f"{self._prefix.decode()}({text})", file=sys.stderr)

    def end(self) -> None:
        """Write what has no end of line."""
        if self._rest:
            self._put(self._rest)
            self._rest = b""

    def _put(self, line: bytes) -> None:
        if self._terminal:  # a container must not take the terminal over; a pipe gets every byte
            text = line.decode(errors="replace").replace("\x1b", "␛")
            line = "".join(c if c.isprintable() or c == "\t" else "�" for c in text).encode()
        sys.stdout.buffer.write(self._prefix + line + b"\n")
        sys.stdout.buffer.flush()
