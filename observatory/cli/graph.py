"""`observatory graph`: the tasks and their dependencies as text, SVG, DOT or Mermaid."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

from rich.text import Text

from observatory.api.fielderrors import list_errors
from observatory.api.names import KIND, Key
from observatory.api.text import one_line
from observatory.api.types import JsonObject
from observatory.cli import svg
from observatory.cli.cluster import CommandError, object_name, reported, with_cluster
from observatory.cli.documents import read_documents
from observatory.cli.layers import layers
from observatory.cli.reading import add_reading, seen
from observatory.cli.style import STYLES, Screen, styled
from observatory.cli.view import TaskView, View, view_of
from observatory.cli.yamlvalues import DocumentError
from observatory.core.validation import validate
from observatory.kube.api import Api
from observatory.runtime.clock import SystemClock

_EPILOG = """\
examples:
  observatory graph etl
  observatory graph -f etl.yaml -o mermaid      before it is applied, for a README
  observatory graph etl -o svg > etl.svg
  observatory graph etl -o dot | dot -Tpng > etl.png

Exit codes: 0 drawn, 1 not found, or the file has errors, 2 the command could not do its work.
"""
_BOX, _GAP, _ROW, _PER_LETTER = 30, 24, 84, 7.2


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> None:
    """Add the parser of the command."""
    parser = subparsers.add_parser(
        name,
        help="draw the tasks and their dependencies",
        description="Draws the graph of a workflow, coloured by the states of its tasks.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("name", nargs="?", type=object_name, metavar="NAME", help="the Observatory")
    parser.add_argument("--file", "-f", metavar="FILE", help="one in a file, without a cluster")
    add_reading(parser, ("text", "svg", "dot", "mermaid"), name=False)
    parser.set_defaults(handler=run)


def run(options: argparse.Namespace) -> int:
    """Draw it."""
    if bool(options.name) == bool(options.file):
        return reported(CommandError("give either the NAME of an Observatory or a --file", 2))
    if options.file:
        try:
            _show(view_of(from_file(options.file)), options)
        except CommandError as error:
            return reported(error)
        return 0

    async def work(api: Api, namespace: str) -> int:
        _show(await seen(api, Key(options.namespace or namespace, options.name)), options)
        return 0

    return with_cluster(options, work)


def from_file(file: str, namespace: str = "default") -> JsonObject:
    """The one valid Observatory of a file, as if it had been applied just now.

    `namespace` is where it goes if it doesn't say so itself.

    Raises:
        CommandError: There is none, or several, or it has errors.
    """
    try:
        documents = [each.value for each in read_documents(Path(file).read_text(encoding="utf-8"))]
    except (OSError, UnicodeDecodeError, DocumentError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CommandError(f"{file}: {reason}", 2) from error
    found = [each for each in documents if isinstance(each, dict) and each.get("kind") == KIND]
    if len(found) != 1:
        raise CommandError(f"{file}: has {len(found)} Observatories: give a file with one")
    if errors := validate(found[0]):
        problem = list_errors([str(error) for error in errors])
        raise CommandError(f"{file}: {problem}; see observatory validate {file}")
    metadata = {"namespace": namespace, "uid": "", "generation": 1, **found[0]["metadata"]}
    return {**found[0], "metadata": metadata}


def _show(view: View, options: argparse.Namespace) -> None:
    match options.output:
        case "svg":
            print(drawn(view, SystemClock().now()))
        case "dot":
            print(dot(view))
        case "mermaid":
            print(mermaid(view))
        case _:
            screen = Screen(options.color)
            screen.print(plain(view, screen))


def _layers(view: View) -> list[list[str]]:
    dependencies = {task.name: task.dependencies for task in view.order}
    main = [task.name for task in view.order if not task.row.final]
    final = [task.name for task in view.order if task.row.final]
    return layers(dependencies, main) + layers(dependencies, final)


def plain(view: View, screen: Screen) -> list[Text]:
    """A line for each layer's task, with what it depends on."""
    by_name = view.by_name
    lines = []
    arrow = "←" if screen.unicode else "<-"
    for number, layer in enumerate(_layers(view)):
        for at, name in enumerate(layer):
            task = by_name[name]
            phase = task.row.phase
            line = Text(f"{number + 1:>3}  " if at == 0 else "     ", "dim")
            line.append(f"{screen.sign(phase)} ", STYLES.get(phase.value, ""))
            line.append_text(styled(name))
            if task.row.final:
                line.append("  finally", "dim")
            if task.dependencies:
                line.append(f"  {arrow} ", "dim").append_text(styled(", ".join(task.dependencies)))
            lines.append(line)
    return lines


def mermaid(view: View) -> str:
    """The graph for Mermaid, as in Markdown on most forges."""
    ids = {task.name: f"t{at}" for at, task in enumerate(view.order)}
    lines = ["flowchart TD"]
    for task in view.order:
        lines.append(f'  {ids[task.name]}["{_label(task)}"]:::{task.row.phase.value}')
        lines += [f"  {ids[each]} --> {ids[task.name]}" for each in task.dependencies]
    for phase, (fill, stroke) in svg.COLORS.items():
        lines.append(f"  classDef {phase} fill:{fill},stroke:{stroke}")
    return "\n".join(lines)


def dot(view: View) -> str:
    """The graph for Graphviz."""
    lines = [f'digraph "{view.key.name}" {{', "  node [shape=box style=filled]"]
    for task in view.order:
        fill, stroke = svg.COLORS[task.row.phase.value]
        lines.append(f'  "{task.name}" [fillcolor="{fill}" color="{stroke}"]')
        lines += [f'  "{each}" -> "{task.name}"' for each in task.dependencies]
    return "\n".join([*lines, "}"])


def _label(task: TaskView) -> str:
    return one_line(task.name).replace('"', "")


def drawn(view: View, now: datetime) -> str:
    """The graph as SVG."""
    rows = _layers(view)
    widths = {task.name: max(len(task.name) * _PER_LETTER + 24, 60) for task in view.tasks}
    totals = [sum(widths[name] for name in row) + _GAP * (len(row) - 1) for row in rows]
    width = max(totals, default=0) + 2 * _GAP
    height = len(rows) * _ROW - (_ROW - _BOX) + 2 * _GAP
    places: dict[str, tuple[float, float]] = {}
    for number, (row, total) in enumerate(zip(rows, totals, strict=True)):
        x = (width - total) / 2
        for name in row:
            places[name] = (x, _GAP + number * _ROW)
            x += widths[name] + _GAP
    parts = []
    for task in view.order:
        x, y = places[task.name]
        for each in task.dependencies:
            from_x, from_y = places[each]
            middle = x + widths[task.name] / 2
            parts.append(svg.edge(from_x + widths[each] / 2, from_y + _BOX, middle, y))
    for task in view.order:
        x, y = places[task.name]
        phase = task.row.phase.value
        title = f"{task.name}: {phase} {task.duration(now)} {task.note}".strip()
        parts.append(svg.box(x, y, widths[task.name], _BOX, phase, title))
        parts.append(svg.text(x + widths[task.name] / 2, y + 19, task.name, "middle"))
    title = f"Tasks of {view.key}, {view.status.phase.value}"
    return svg.document(width, height, title, parts)
