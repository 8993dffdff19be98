from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from localcluster import probe, processes
from localcluster.processes import Process


@pytest.fixture
def sleeper() -> Iterator[Process]:
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        found = Process.find(child.pid)
        assert found
        yield found
        child.kill()


def test_a_recorded_process_is_found_while_it_lives(sleeper: Process, tmp_path: Path) -> None:
    path = tmp_path / "run" / "sleep.json"
    processes.record(path, sleeper)
    assert processes.recorded(path) == sleeper
    sleeper.end(grace=5)
    assert processes.recorded(path) is None


def test_a_number_that_somebody_else_has_by_now_is_not_found(
    sleeper: Process, tmp_path: Path
) -> None:
    processes.record(tmp_path / "pid", Process(sleeper.pid, "another boot/12"))
    assert processes.recorded(tmp_path / "pid") is None


def test_a_number_that_somebody_else_has_by_now_is_not_killed(sleeper: Process) -> None:
    Process(sleeper.pid, "another boot/12").end(grace=0)
    assert sleeper.alive


def test_a_process_that_will_not_end_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    pid = processes.start(["sh", "-c", "trap '' TERM; echo deaf; sleep 60 & wait; wait"], log)
    process = Process.find(pid)
    assert process
    assert probe.wait(lambda: log.read_text() == "deaf\n", 5)
    process.end(grace=0.05)
    assert not process.alive
    os.waitpid(pid, 0)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "no json"])
def test_a_damaged_record_is_no_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "pid").write_text(text)
    assert processes.recorded(tmp_path / "pid") is None


def test_output_is_appended_to_the_log_and_input_is_empty(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "cat.log"
    for word in ("one", "two"):
        os.waitpid(processes.start(["sh", "-c", f"cat; echo {word}; echo err >&2"], log), 0)
    assert log.read_text() == "one\nerr\ntwo\nerr\n"


def test_a_started_process_does_not_get_the_terminals_signals(tmp_path: Path) -> None:
    pid = processes.start(["sleep", "60"], tmp_path / "log")
    assert os.getsid(pid) == pid
    os.kill(pid, 9)
    os.waitpid(pid, 0)


def test_the_child_of_a_process_is_found(sleeper: Process) -> None:
    assert processes.child_of(sleeper.pid) is None
    assert processes.child_of(os.getpid()) is not None


def test_the_tail_is_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("one\ntwo\nthree\n")
    assert processes.tail(log, 2) == "    two\n    three"
    assert processes.tail(tmp_path / "none") == "    (no log)"
