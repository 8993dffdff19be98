"""`observatory try`: a workflow file, run here by the real controller, without a cluster."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from rich.live import Live
from rich.text import Text

from observatory.api.names import OBSERVATORIES, Key
from observatory.api.scheduleschema import SCHEDULING
from observatory.api.types import JsonObject
from observatory.cli.cluster import CommandError, reported
from observatory.cli.get import changes, exit_code, over, page
from observatory.cli.graph import from_file
from observatory.cli.localnode import ENGINES, LocalNode, engine
from observatory.cli.reading import write_objects
from observatory.cli.style import Screen, add_color, of_phase, styled
from observatory.cli.view import View, view_of
from observatory.runtime.clock import SystemClock
from observatory.runtime.operator import Operator
from observatory.simulation.apiserver import ApiServer
from observatory.telemetry.log import Format, Level, configure
from observatory.telemetry.metrics import Metrics

_EPILOG = """\
examples:
  observatory try etl.yaml
  observatory try etl.yaml --engine none       as processes, also where there is docker
  observatory try etl.yaml -o json 2>/dev/null | jq .status.tasks

What it is: the operator's own code, which plans, retries and ends the run as it would in a cluster,
on an API server in memory. Tasks run in podman or docker where there is one, else as processes of
yours, whatever their image is.

What it is not: a cluster. There are no ConfigMaps, Secrets, quotas, nodes or admission; a process
has no limits and no isolation from your files. A schedule is left out: one run of it is run now.

Exit codes: 0 the run succeeded, 1 it failed, or the file has errors, 2 the command could not do its
work.
"""
_DRAW_SECONDS = 0.1


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the parser of the command."""
    parser = subparsers.add_parser(
        name,
        help="run a workflow file here, without a cluster",
        description="Runs the workflow of a file on this machine, without a cluster.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="a file with one Observatory")
    parser.add_argument(
        "--engine",
        choices=("auto", *ENGINES, "none"),
        default="auto",
        help="what runs containers; none: processes without any (default: %(default)s)",
    )
    parser.add_argument("--quiet", "-q", action="store_true", help="without what tasks write")
    parser.add_argument(
        "--output",
        "-o",
        choices=("tree", "json", "yaml"),
        default="tree",
        help="json and yaml: the Observatory at its end; how it goes is on standard error",
    )
    add_color(parser)
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Try it."""
    configure(Level.ERROR, Format.AUTO)
    try:
        observatory = from_file(options.file)
        chosen = _engine(options.engine)
    except CommandError as error:
        return reported(error)
    stream = sys.stdout if options.output == "tree" else sys.stderr
    screen = Screen(options.color, stream)
    screen.print([styled(_about(chosen), "dim"), Text()])
    with tempfile.TemporaryDirectory(prefix="observatory-try-") as folder:
        ended = asyncio.run(
            _Try(observatory, screen, quiet=options.quiet).run(chosen, Path(folder))
        )
    if options.output != "tree":
        write_objects([ended], options.output, single=True)
    return exit_code(view_of(ended))


def _engine(wanted: str) -> str | None:
    if wanted == "auto":
        return engine()
    if wanted == "none":
        return None
    if engine_path := next((each for each in ENGINES if each == wanted and _found(each)), None):
        return engine_path
    raise CommandError(f"--engine {wanted}: there is no {wanted} on the PATH", 2)


def _found(name: str) -> bool:
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return any(os.access(Path(folder) / name, os.X_OK) for folder in folders)


def _about(chosen: str | None) -> str:
    """What this is and is not, in a line."""
    if chosen:
        return f"Trying it without a cluster: the operator's own code; tasks run in {chosen}."
    return "Trying it without a cluster: tasks run as your own processes, and not in their images."


class _Try:
    def __init__(self, observatory: JsonObject, screen: Screen, *, quiet: bool) -> None:
        metadata = dict(observatory["metadata"])
        for name in ("uid", "generation"):
            metadata.pop(name, None)
        spec = {
            name: value
            for name, value in observatory["spec"].items()
            if name not in SCHEDULING and name not in ("suspend", "ttlSecondsAfterFinished")
        }
        self._observatory = {**observatory, "metadata": metadata, "spec": spec}
        self._key = Key(metadata["namespace"], metadata["name"])
        self._screen = screen
        self._quiet = quiet
        self._clock = SystemClock()

    async def run(self, chosen: str | None, folder: Path) -> JsonObject:
        """The Observatory when its run has ended."""
        server = ApiServer(self._clock.now, (self._key.namespace,))
        node = LocalNode(server, folder, container_engine=chosen, output=self._written)
        server.create_now(OBSERVATORIES, self._key.namespace, self._observatory)
        operator = Operator((), workers=4, clock=self._clock, identity="try", metrics=Metrics())
        working = asyncio.create_task(operator.work(server, None))
        try:
            watching = asyncio.create_task(self._watch(server))
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                watching.cancel()
                await working
            return await watching
        finally:
            operator.stop()
            await node.close()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    async def _watch(self, server: ApiServer) -> JsonObject:
        known: dict[str, tuple[str, str]] = {}
        with self._live() as live:
            while True:
                found = server.get_now(OBSERVATORIES, self._key)
                view = view_of(found)
                if live is not None:
                    self._screen.draw(live, page(view, self._screen, self._clock.now()))
                else:
                    self._screen.print(changes(view, known))
                if over(view):
                    break
                await asyncio.sleep(_DRAW_SECONDS)
        if live is None:
            self._screen.print([_outcome(view)])
        return found

    def _live(self) -> AbstractContextManager[Live | None]:
        if not self._screen.terminal:
            return nullcontext()
        return self._screen.live()

    def _written(self, task: str, line: bytes) -> None:
        if not self._quiet:
            text = styled(f"{task} | ", "dim").append_text(styled(line.decode(errors="replace")))
            self._screen.print([text])


def _outcome(view: View) -> Text:
    status = view.status
    message = f": {status.message}" if status.message else ""
    text = f"{view.key.name}: {status.phase.value} after {status.duration}{message}"
    return of_phase(status.phase.value, text)
