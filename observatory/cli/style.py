"""How output looks: colours and signs in a terminal that has them, plain words elsewhere."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from observatory.api.taskstatus import TaskPhase
from observatory.api.text import one_line

STYLES = {
    "Succeeded": "green",
    "Failed": "red",
    "Running": "cyan",
    "Pending": "yellow",
    "Skipped": "dim",
    "Scheduled": "blue",
    "Suspended": "yellow",
}
_SIGNS = {
    TaskPhase.SUCCEEDED: ("✔", "+"),
    TaskPhase.FAILED: ("✖", "x"),
    TaskPhase.RUNNING: ("●", ">"),
    TaskPhase.PENDING: ("◌", "."),
    TaskPhase.SKIPPED: ("○", "-"),
}
_BRANCHES = (("├─ ", "│  ", "└─ ", "   "), ("|- ", "|  ", "`- ", "   "))


def add_color(parser: argparse.ArgumentParser) -> None:
    """Add the flag that says whether output is coloured."""
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="auto: in a terminal, unless $NO_COLOR is set (default: %(default)s)",
    )


class Screen:
    """Where output goes."""

    def __init__(self, color: str = "auto", stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.terminal = self.stream.isatty()
        colored = color == "always" or (color == "auto" and _wants_color(self.stream))
        self.unicode = _carries(self.stream)
        self.console = Console(
            file=self.stream,
            force_terminal=colored or self.terminal,
            no_color=not colored,
            color_system="standard" if colored else None,
            highlight=False,
            markup=False,
            emoji=False,
            # A pipe has no width: whoever reads it gets whole lines.
            width=None if self.terminal else 100_000,
        )

    @property
    def width(self) -> int:
        """The columns that there are; 80 where nobody can tell, for what has to have a width."""
        return self.console.width if self.terminal else 80

    def print(self, lines: Iterable[Text]) -> None:
        """Print lines; in a terminal each is cut to its width."""
        for line in lines:
            self.console.print(line, no_wrap=True, overflow="ellipsis", crop=self.terminal)

    def live(self) -> Live:
        """Lines that are drawn again in place; more than fit are shown at the end only."""
        return Live(console=self.console, auto_refresh=False)

    def draw(self, live: Live, lines: Iterable[Text]) -> None:
        """Draw these lines in the place of those before, each cut to the width."""
        cut = list(lines)
        for line in cut:
            line.no_wrap, line.overflow = True, "ellipsis"
        live.update(Group(*cut), refresh=True)

    def sign(self, phase: TaskPhase) -> str:
        """The sign of a phase."""
        return _SIGNS[phase][0 if self.unicode else 1]

    @property
    def branches(self) -> Sequence[str]:
        """What trees are drawn with: a branch, what goes on beside it, the last one, nothing."""
        return _BRANCHES[0 if self.unicode else 1]


def _wants_color(stream: TextIO) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _carries(stream: TextIO) -> bool:
    """Whether the stream's encoding has our signs."""
    try:
        "✔├".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def styled(text: str, style: str = "") -> Text:
    """One line of text that nothing in it can style, move or break."""
    return Text(one_line(text), style=style)


def of_phase(phase: str, text: str | None = None) -> Text:
    """A text in the colour of a phase."""
    return styled(phase if text is None else text, STYLES.get(phase, ""))


def table(header: Sequence[str], rows: Sequence[Sequence[Text]], *, titles: bool) -> list[Text]:
    """Columns with two spaces or more between them; the last one is as long as it is."""
    cells = [[Text(title) for title in header], *rows] if titles else list(rows)
    widths = [max((row[at].cell_len for row in cells), default=0) for at in range(len(header))]
    lines = []
    for row in cells:
        line = Text()
        for at, cell in enumerate(row):
            line.append_text(cell)
            if at < len(header) - 1:
                line.append(" " * (widths[at] - cell.cell_len + 2))
        line.rstrip()
        lines.append(line)
    return lines
