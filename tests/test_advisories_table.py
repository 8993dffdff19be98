"""docs/advisories.md names tests that exist, and says where there is nothing to test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
TABLE = (TESTS.parent / "docs" / "advisories.md").read_text()
ROWS = [
    cells
    for cells in (line.split("|")[1:-1] for line in TABLE.splitlines() if line.startswith("| "))
    if cells[0].strip().isdecimal()
]


def test_rows_are_numbered_and_whole() -> None:
    assert [int(cells[0]) for cells in ROWS] == list(range(1, len(ROWS) + 1))
    assert {len(cells) for cells in ROWS} == {5}
    for _, advisory, *_ in ROWS:
        assert re.search(r"CVE-\d{4}-\d+|GHSA-", advisory)


@pytest.mark.parametrize("cells", ROWS, ids=lambda cells: cells[0].strip())
def test_what_can_break_has_tests_that_exist(cells: list[str]) -> None:
    tests = re.findall(r"`([a-z0-9_./]+\.py)::([^`]+)`", cells[4])
    assert bool(tests) != ("*nothing to break*" in cells[3])
    for file, name in tests:
        text = (TESTS / file).read_text()
        assert re.search(rf"^(async )?def {re.escape(name)}\(", text, re.MULTILINE), name
