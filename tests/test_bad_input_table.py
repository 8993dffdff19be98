"""docs/bad-input.md has a row for each bad input, says what is said, and names tests that exist."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from observatory.api.schema import OBSERVATORY
from observatory.api.types import JsonObject
from observatory.cli.main import COMMANDS
from observatory.core.validation import validate
from tests.core.test_validation import BAD, GOOD, observatory, task

TESTS = Path(__file__).resolve().parent
TABLE = (TESTS.parent / "docs" / "bad-input.md").read_text()
WHO = ("validate", "status", "command", "log", "nobody", "not yet")
SAID_BY_VALIDATE = {name: errors for name, _, errors in BAD}
CASES = SAID_BY_VALIDATE.keys() | {str(one.id) for one in GOOD}


@dataclass(frozen=True)
class Row:
    number: int
    who: str
    said: str
    tests: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return str(self.number)


def rows() -> list[Row]:
    found = []
    for line in TABLE.splitlines():
        cells = re.split(r"(?<!\\) ?\| ?", line)
        if len(cells) == 7 and cells[1].isdecimal():
            tests = re.findall(r"`([a-z0-9_./]+\.py)::([^`]+)`", cells[5])
            found.append(Row(int(cells[1]), cells[3], cells[4], tuple(tests)))
    return found


ROWS = rows()
NOT_YET = [row for row in ROWS if row.who == "not yet"]
APPLYING = [row for row in ROWS if row.who != "not yet"]


def test_each_of_the_hundred_has_one_row() -> None:
    assert [row.number for row in ROWS] == list(range(1, 101))
    assert {row.who for row in ROWS} == set(WHO)


@pytest.mark.parametrize("row", APPLYING, ids=str)
def test_what_applies_has_tests_that_exist(row: Row) -> None:
    assert row.tests
    for file, name in row.tests:
        text = (TESTS / file).read_text()
        function = re.search(rf"^def {re.escape(name)}\(", text, re.MULTILINE)
        assert function or (file == "core/test_validation.py" and name in CASES), name


@pytest.mark.parametrize("row", [row for row in ROWS if row.who == "validate"], ids=str)
def test_what_validate_says_is_what_the_table_has(row: Row) -> None:
    messages = re.findall(r"`((?:spec|metadata)[^`]*: [^`]*)`( …)?", row.said)
    cases = [SAID_BY_VALIDATE.get(name, []) for _, name in row.tests]
    errors = [error for case in cases for error in case]
    assert messages or row.said.startswith("as ")
    for message, cut in messages:
        fitting = [e for e in errors if (e.startswith(message) if cut else e == message)]
        assert fitting, message


def schema_at(path: str) -> JsonObject | None:
    """The schema of a field such as `spec.tasks[].name`."""
    at: JsonObject | None = OBSERVATORY
    for step in path.split("."):
        name = step.removesuffix("[]")
        at = at["properties"].get(name) if at else None
        at = at["items"] if at and step.endswith("[]") else at
    return at


@pytest.mark.parametrize("row", NOT_YET, ids=str)
def test_what_does_not_apply_yet_is_an_unknown_field(row: Row) -> None:
    if command := re.match(r"command `([a-z]+)`", row.said):
        assert command[1] not in COMMANDS
        return
    match = re.fullmatch(r"`((?:spec|status)[A-Za-z.\[\]]*)`", row.said)
    assert match, row.said
    path, field = match[1], match[1].rpartition(".")[2]
    assert schema_at(path) is None
    assert schema_at(path.removesuffix(f".{field}")) is not None
    if path.startswith("spec.tasks[]."):
        (error,) = validate(observatory({**task("a"), field: 5}))
        assert str(error).startswith(f"spec.tasks[0].{field}: Forbidden: unknown field")
    elif path.startswith("spec."):
        (error,) = validate(observatory(task("a"), **{field: 5}))
        assert str(error).startswith(f"spec.{field}: Forbidden: unknown field")
