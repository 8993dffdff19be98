"""`observatory schedule`: what it shows is what the operator does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from observatory.cli.main import main

Output = pytest.CaptureFixture[str]
SINCE = "--from=2026-10-24T12:00:00Z"

FILE = """
apiVersion: workflow.seventh-horizon.io/v1alpha1
kind: Observatory
metadata: {name: nightly, namespace: etl}
spec:
  schedules:
  - {name: berlin, schedule: "30 2 * * *", timeZone: Europe/Berlin}
  - {name: tokyo, schedule: "0 9 * * *", timeZone: Asia/Tokyo}
  blackouts:
  - {name: party, dates: ["2026-10-26"], timeZone: Europe/Berlin}
  tasks: [{name: a, image: busybox}]
"""


def test_times_are_shown_on_the_clocks_of_the_zone_and_in_utc(capsys: Output) -> None:
    assert main(["schedule", "30 2 * * *", "--time-zone", "Europe/Berlin", SINCE, "--count=2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "30 2 * * * in Europe/Berlin"
    assert lines[1].split()[:5] == [
        "Sun",
        "2026-10-25",
        "02:30:00",
        "+02:00",
        "2026-10-25T00:30:00Z",
    ]
    assert lines[2].split()[:5] == [
        "Mon",
        "2026-10-26",
        "02:30:00",
        "+01:00",
        "2026-10-26T01:30:00Z",
    ]


def shown(capsys: Output, *arguments: str) -> list[str]:
    assert main(["schedule", *arguments, SINCE, "--output=json"]) == 0
    return [run["time"] for run in json.loads(capsys.readouterr().out)["runs"]]


def test_a_time_that_comes_twice_can_be_shown_twice(capsys: Output) -> None:
    zone = ("30 2 * * *", "--time-zone=Europe/Berlin")
    assert shown(capsys, *zone, "--repeated-times=Both", "--count=2") == [
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:30:00Z",
    ]


def test_a_hash_is_that_of_the_name(capsys: Output) -> None:
    one, same, other = (
        shown(capsys, "H H * * *", f"--name={name}") for name in ("etl/a", "etl/a", "etl/b")
    )
    assert one == same != other


def test_a_file_is_shown_with_all_it_says(capsys: Output, tmp_path: Path) -> None:
    file = tmp_path / "nightly.yaml"
    file.write_text(FILE)
    assert shown(capsys, "--file", str(file), "--count=3") == [
        "2026-10-25T00:00:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-27T00:00:00Z",
    ]
    assert main(["schedule", "--file", str(file), SINCE]) == 0
    text = capsys.readouterr().out
    assert "berlin: 30 2 * * * in Europe/Berlin" in text
    assert "  tokyo " in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["0 0 30 2 *"], 1, 'SCHEDULE: Invalid value: "0 0 30 2 *": never fires'),
        (["* * * *"], 1, "SCHEDULE: Invalid value"),
        ([""], 1, "SCHEDULE: Required value"),
        (["x" * 999], 1, "SCHEDULE: Too long: may not be more than 256 characters"),
        (["@daily", "--time-zone=Mars"], 1, '--time-zone: Not found: "Mars"'),
        (["@daily", "--from=x"], 2, "--from: "),
        (["@daily", "--count=0"], 2, "--count must be from 1 to 10000, not 0"),
        ([], 2, "give a SCHEDULE or a --file"),
        (["@daily", "--file=x"], 2, "give a SCHEDULE or a --file"),
        (["--file=/does/not/exist"], 2, "/does/not/exist: No such file"),
    ],
)
def test_what_is_wrong_is_one_line(
    capsys: Output, arguments: list[str], code: int, message: str
) -> None:
    assert main(["schedule", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Pod\n", "has no Observatory with a schedule"),
        (FILE.replace("30 2 * * *", "30 25 * * *"), "hour: 25 out of range 0-23"),
        ("a: [", "not YAML"),
    ],
)
def test_a_file_without_a_schedule_is_told(
    capsys: Output, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    assert main(["schedule", "--file", str(file)]) in {1, 2}
    assert message in capsys.readouterr().err


def test_what_blackouts_cover_for_ever_is_told(capsys: Output, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        "kind: Observatory\nmetadata: {name: night}\nspec:\n  schedule: '@daily'\n"
        "  blackouts: [{name: b, schedule: '@daily', durationSeconds: 86400}]\n"
        "  tasks: [{name: a, image: i}]\n"
    )
    assert main(["schedule", "--file", str(file)]) == 1
    assert "blackouts cover each of its times" in capsys.readouterr().err
