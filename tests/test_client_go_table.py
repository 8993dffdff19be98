"""docs/client-go-tests.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
TABLE = (TESTS.parent / "docs" / "client-go-tests.md").read_text()


def test_each_test_in_the_table_exists() -> None:
    named = re.findall(r"`([a-z_/]+\.py)(?:::(\w+))?`", TABLE)
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (TESTS / file).exists()
        or (
            name
            and not re.search(rf"^(def |class )?{name}\b", (TESTS / file).read_text(), re.MULTILINE)
        )
    ]
    assert len(named) > 50
    assert missing == []
