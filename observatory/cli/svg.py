"""SVG, by hand: the little of it that we draw, with every text escaped."""

from __future__ import annotations

from html import escape

from observatory.api.text import one_line

COLORS = {
    "Succeeded": ("#e3f4e5", "#2e7d32"),
    "Failed": ("#fde5e3", "#c62828"),
    "Running": ("#e0f1fb", "#0277bd"),
    "Pending": ("#fff6dd", "#b28704"),
    "Skipped": ("#f0f0f0", "#757575"),
}
"""The fill and the line of what is in a phase: never told by colour alone, always in words too."""
_FONT = "ui-sans-serif, system-ui, sans-serif"


def document(width: float, height: float, title: str, parts: list[str]) -> str:
    """A whole drawing; the title is what screen readers say."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" font-family="{_FONT}" font-size="12">'
    )
    background = f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>'
    return "\n".join((head, f"<title>{_text(title)}</title>", background, *parts, "</svg>"))


def box(x: float, y: float, width: float, height: float, phase: str, title: str) -> str:  # noqa: PLR0917
    """A box in the colours of a phase; the title is shown when it is pointed at."""
    fill, line = COLORS[phase]
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5" '
        f'fill="{fill}" stroke="{line}"><title>{_text(title)}</title></rect>'
    )


def text(x: float, y: float, words: str, anchor: str = "start", color: str = "#222222") -> str:
    """Words at a place."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{color}">{_text(words)}</text>'


def edge(x1: float, y1: float, x2: float, y2: float) -> str:
    """A line from one box down to another."""
    middle = (y1 + y2) / 2
    path = f"M{x1:g},{y1:g} C{x1:g},{middle:g} {x2:g},{middle:g} {x2:g},{y2:g}"
    return f'<path d="{path}" fill="none" stroke="#9e9e9e"/>'


def line(x1: float, y1: float, x2: float, y2: float) -> str:
    """A thin straight line."""
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="#e0e0e0"/>'


def _text(words: str) -> str:
    return escape(one_line(words))
