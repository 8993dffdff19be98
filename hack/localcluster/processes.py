"""Processes that outlive this command: started, recognised later, ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PATIENCE = 10.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Process:
    """A process and the moment it started: a number alone may be somebody else's by now."""

    pid: int
    started: str

    @classmethod
    def find(cls, pid: int) -> Process | None:
        """The living process that has this number, or None."""
        fields = _stat(pid)
        if fields is None or fields[0] in "ZX":
            return None
        return cls(pid, f"{_BOOT.read_text().strip()}/{fields[19]}")

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Process.find(self.pid) == self

    def end(self, grace: float) -> None:
        """Ask it to end, insist after `grace` seconds, return when it is gone."""
        try:
            handle = os.pidfd_open(self.pid)  # from here on the number cannot change its owner
        except ProcessLookupError:
            return
        try:
            gone = select.poll()
            gone.register(handle, select.POLLIN)
            for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, _PATIENCE)):
                if Process.find(self.pid) != self:
                    return
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
                gone.poll(patience * 1000)
        finally:
            os.close(handle)


def _stat(pid: int) -> list[str] | None:
    """Fields 3 and up of /proc/PID/stat (proc(5)): state, parent, ..., start time (the 20th)."""
    try:
        text = Path("/proc", str(pid), "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()  # the name in brackets may hold anything


def child_of(pid: int) -> int | None:
    """The number of a child of the process, or None when it has none."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields and int(fields[1]) == pid:
                return int(entry.name)
    return None


def start(argv: Sequence[str], log: Path) -> int:
    """Start a program that survives this command; its output is appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    return os.posix_spawnp(
        argv[0],
        list(argv),
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,  # Ctrl-C at the terminal is not meant for it
        setsigmask=(),
    )


def record(path: Path, process: Process) -> None:
    """Remember a process in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"pid": process.pid, "started": process.started}) + "\n")


def recorded(path: Path) -> Process | None:
    """The process that the file remembers, if it is still alive."""
    try:
        process = Process(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return process if process.alive else None


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, indented."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return "    (no log)"
    return (
        "\n".join(f"    {line[:400]}" for line in text.splitlines()[-lines:]) or "    (empty log)"
    )
