"""docs/failures.md and docs/never-stuck.md: each row has its tests, and they exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from observatory.api.taskstatus import FailureClass
from observatory.core.stuck import INVARIANTS

TESTS = Path(__file__).resolve().parent
FAILURES = (TESTS.parent / "docs" / "failures.md").read_text()
NEVER_STUCK = (TESTS.parent / "docs" / "never-stuck.md").read_text()
ROWS = [line for line in FAILURES.splitlines() if re.match(r"\| \d+ ", line)]


def test_there_are_enough_situations_and_enough_of_them_are_real() -> None:
    assert len(ROWS) >= 40
    assert sum("●" in row for row in ROWS) >= 20
    assert [int(row.split()[1]) for row in ROWS] == list(range(1, len(ROWS) + 1))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[2].strip())
def test_each_situation_has_tests_that_exist(row: str) -> None:
    named = re.findall(r"`([a-z0-9_./]+\.py)::([^`]+)`", row)
    assert named
    assert any(file.startswith("../e2e") for file, _ in named) is ("●" in row)
    for file, name in named:
        text = (TESTS / file).read_text()
        found = rf'^(def {re.escape(name)}\(|    "{re.escape(name)}": Case\()'
        assert re.search(found, text, re.MULTILINE), name


def test_each_class_is_explained() -> None:
    explained = re.findall(r"^\| `([A-Za-z]+)` \|", FAILURES, re.MULTILINE)
    assert set(explained) == {each.value for each in FailureClass}


def test_each_invariant_of_the_sweeper_is_in_the_table() -> None:
    named = set(re.findall(r"`([A-Za-z]+)` \|$", NEVER_STUCK, re.MULTILINE))
    assert named == set(INVARIANTS)
