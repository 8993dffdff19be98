"""File locks: two commands on one cluster, or two builds, take turns."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .console import say
from .paths import cache


@contextmanager
def locked(what: str) -> Iterator[None]:
    """Hold the lock called `what`. The kernel lets go of it when the process ends, in any way.

    Its file is removed while the lock is still held. So who waited for it may get the lock of a
    file that is no longer there, beside somebody who has made the file anew, and tries again.
    """
    path = cache() / "locks" / f"{what}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("w") as file:
            _acquire(file, what)
            if _is_at(file, path):
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return


def _acquire(file: IO[str], what: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"Waiting for another hack/cluster that is busy with {what} ...")
        fcntl.flock(file, fcntl.LOCK_EX)


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether the open file is still the one that the path leads to."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
