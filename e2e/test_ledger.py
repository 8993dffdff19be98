"""The ledger is no judge that always acquits."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e import ledger

SHAPE = {"a": (), "b": ("a",)}


def written(folder: Path, *lines: str) -> list[ledger.Line]:
    (folder / "ledger").write_text("".join(f"{line} 12.34\n" for line in lines))
    return ledger.lines(folder)


def test_a_run_in_order_breaks_nothing(tmp_path: Path) -> None:
    lines = written(tmp_path, "a u1 start", "a u1 end", "b u2 start", "b u2 end")

    assert ledger.broken(lines, SHAPE) == []
    assert ledger.wrote(tmp_path, "end", "a", "b")
    assert not ledger.wrote(tmp_path, "end", "a", "c")


@pytest.mark.parametrize("pod", ["u1", "u2"])
def test_a_second_start_is_found_in_the_same_pod_and_in_another(tmp_path: Path, pod: str) -> None:
    lines = written(tmp_path, "a u1 start", "a u1 end", f"a {pod} start")

    assert ledger.broken(lines, SHAPE) == [f"a started once more, in Pod {pod}"]


def test_a_start_before_the_end_of_a_dependency_is_found(tmp_path: Path) -> None:
    lines = written(tmp_path, "a u1 start", "b u2 start", "a u1 end")

    assert ledger.broken(lines, SHAPE) == ["b started before a had ended"]
