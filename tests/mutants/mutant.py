"""A mutant: a patch that puts a known bug back, and the tests that are to notice it.

A patch file is a unified diff under a header of fields, which `git apply` skips:

    Mutant: what the patch does, in one line
    Puts-back: where this bug was real
    Breaks: what a user would see
    Killed-by: tests/core/test_pods.py::test_a_new_pod_is_gated_tracked_owned_and_labelled
    Killed-by: python -m tests.simulation --histories 20 --seed 1

A field goes on in the lines that begin with a space. There is one Killed-by a killer.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

PATCHES = Path(__file__).resolve().parent
_ONCE = ("Mutant", "Puts-back", "Breaks")
_FIELD = re.compile(r"([A-Z][A-Za-z-]*): +(\S.*)")
_TEST = re.compile(r"\S+\.py::\S")


class PatchError(Exception):
    """A patch that can't be used as it is; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One patch and what its header promises."""

    name: str
    path: Path
    title: str
    puts_back: str
    breaks: str
    killers: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """The files that the patch changes."""
        return tuple(re.findall(r"^\+\+\+ b/(\S+)", self.path.read_text(), re.MULTILINE))

    @property
    def tests(self) -> tuple[str, ...]:
        """The killers that are tests of pytest."""
        return tuple(killer for killer in self.killers if _TEST.match(killer))

    @property
    def commands(self) -> tuple[tuple[str, ...], ...]:
        """The killers that are programs: they end with 1 when they notice."""
        return tuple(
            tuple(shlex.split(killer)) for killer in self.killers if not _TEST.match(killer)
        )

    def goes_by(self, name: str) -> bool:
        """Whether somebody who says `name` means this one: `03-a-b`, `a-b` or `03`."""
        number, _, words = self.name.partition("-")
        return name in (self.name, number, words)


def read(path: Path) -> Mutant:
    """The mutant of a patch file.

    Raises:
        PatchError: Its header is not complete.
    """
    fields = _fields(path)
    for name in _ONCE:
        if len(fields.get(name, [])) != 1:
            raise PatchError(f"{path.name}: the header needs one line {name}: …")
    killers = tuple(fields.get("Killed-by", ()))
    if not killers:
        raise PatchError(f"{path.name}: the header needs a line Killed-by: … for each killer")
    for killer in killers:
        if not (_TEST.match(killer) or killer.startswith("python ")):
            raise PatchError(
                f"{path.name}: Killed-by: {killer}: it has to be a test, as in "
                "tests/core/test_pods.py::test_name, or a command that begins with python"
            )
    if unknown := fields.keys() - {*_ONCE, "Killed-by"}:
        raise PatchError(f"{path.name}: the header has no field {', '.join(sorted(unknown))}")
    title, puts_back, breaks = (fields[name][0] for name in _ONCE)
    return Mutant(path.stem, path, title, puts_back, breaks, killers)


def read_all(folder: Path) -> list[Mutant]:
    """The mutants of a folder, in the order of their names."""
    return [read(path) for path in sorted(folder.glob("*.patch"))]


def choose(mutants: list[Mutant], names: list[str]) -> list[Mutant]:
    """Those that are named; all of them if none is.

    Raises:
        PatchError: There is none of that name.
    """
    for name in names:
        if not any(mutant.goes_by(name) for mutant in mutants):
            raise PatchError(f'there is no mutant "{name}"; --list shows their names')
    return [
        mutant for mutant in mutants if not names or any(mutant.goes_by(name) for name in names)
    ]


def _fields(path: Path) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    last: list[str] = []
    for line in path.read_text().splitlines():
        if line.startswith(("diff --git ", "--- ")):
            break
        if line.startswith(" ") and last:
            last[-1] += f" {line.strip()}"
        elif match := _FIELD.match(line):
            last = fields.setdefault(match[1], [])
            last.append(match[2].strip())
        elif line.strip():
            raise PatchError(f"{path.name}: in the header, no field begins with {line!r}")
    return fields
