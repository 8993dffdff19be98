"""Starts operators in no time: this process has imported everything, and forks.

An operator is a process of its own with its own `main`, as if it had been started with
`python -m observatory run`; only the second that Python needs for imports is saved. The requests
are lines of JSON on stdin, the answers lines on stdout: `{"id": 1, "pid": 4711}` when it runs,
`{"pid": 4711, "code": -9}` when it has ended.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import traceback
from contextlib import suppress
from typing import Any

import kubernetes.config  # noqa: F401 -- what an operator imports when it is asked to run

import observatory.runtime.manager  # noqa: F401
from observatory.cli.main import main

_children: set[int] = set()


def serve() -> None:
    """Fork until stdin ends; then nobody is left who would end the operators."""
    try:
        _serve()
    finally:
        for pid in _children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _serve() -> None:
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    gc.freeze()  # else the children would copy every page when they collect
    buffer = b""
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
            reap()
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                request = json.loads(line)
                say({"id": request["id"], "pid": fork(request, wake, woken)})


def reap() -> None:
    """Tell of the children that have ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _children.discard(pid)
        say({"pid": pid, "code": os.waitstatus_to_exitcode(status)})


def fork(request: dict[str, Any], wake: int, woken: int) -> int:
    """A child that is an operator; its process ID."""
    pid = os.fork()
    if pid:
        _children.add(pid)
        return pid
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()  # Ctrl-C is for the harness, which ends its operators itself
        os.close(wake)
        os.close(woken)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for number, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, number)
        code = main(request["argv"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 -- the log is the place for it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return 0


def say(answer: dict[str, Any]) -> None:
    """One line."""
    os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    serve()
