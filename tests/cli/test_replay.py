"""`observatory replay`: told, quiet, and what is no history."""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from observatory.cli.main import main
from observatory.simulation.scenario import Fault, Scenario

pytestmark = pytest.mark.usefixtures("log_as_before")
SPEC = {"tasks": [{"name": "a", "image": "busybox:1.36"}]}


def history(folder: Path, **changes: object) -> str:
    file = folder / "history.json"
    file.write_bytes(Scenario(SPEC, about="one task", **changes).dump())  # type: ignore[arg-type]
    return str(file)


def test_a_history_is_told_write_by_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crash = Fault("crash", "a", write=3, when="after", seconds=1)
    file = history(tmp_path, faults=(crash,))

    assert main(["replay", file]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{file}: one task"
    told = [line.split(maxsplit=2)[2] for line in lines[1:-1]]
    order = [
        "sends write 3: update observatories/status night",
        "crash a for 1 s after write 3",
        "is killed",
        "starts",
    ]
    assert [line for line in told if line in order] == ["starts", *order]
    assert lines[-1].startswith("  0 violations; ")
    assert lines[-1].endswith("1 of 1 faults found their moment")


def test_nothing_in_a_file_reaches_the_terminal_as_more_than_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "odd.json"
    touch = Fault("touch", at=0.5, value="\x1b[31mred\nline")
    file.write_bytes(Scenario(SPEC, about="\x1b]0;title\x07", faults=(touch,)).dump())
    bad = tmp_path / "bad.json"
    bad.write_text('{"spec": {"tasks": [{"name": "a", "image": "i"}]}, "\\u001b[2J\\n": 1}')

    assert main(["replay", str(file), str(bad)]) == 2

    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "red\\nline" in out
    assert len(err.splitlines()) == 1


def test_output_that_nobody_reads_does_not_happen_to_the_operator(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", buffering=1) as closed, redirect_stdout(closed):
        os.close(reader)
        assert main(["replay", history(tmp_path)]) == 141
    assert capfd.readouterr().err == ""


def test_quiet_tells_only_how_it_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--quiet", history(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_is_no_history_is_told_in_one_line_and_the_others_are_played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, missing = history(tmp_path), tmp_path / "bad.json", tmp_path / "missing.json"
    bad.write_text("{")

    assert main(["replay", "-q", str(bad), str(missing), str(tmp_path), good]) == 2

    out, err = capsys.readouterr()
    assert "0 violations" in out
    assert [line.partition(": ")[2].partition(": ")[0] for line in err.splitlines()] == [
        str(bad),
        str(missing),
        str(tmp_path),
    ]


def test_a_broken_promise_is_told_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Nobody is there to end the container within the two hours that a history may take.
    stall = Fault("stall", at=0.1, seconds=80_000)
    assert main(["replay", "-q", history(tmp_path, faults=(stall,))]) == 1
    assert "violation: I5: the run has not ended" in capsys.readouterr().out
