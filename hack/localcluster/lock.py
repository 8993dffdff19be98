"""File locks: two commands on one cluster, or two builds, take turns."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from .console import say
from .paths import cache


@contextmanager
def locked(what: str) -> Iterator[None]:
    """Hold the lock called `what`. The kernel lets go of it when the process ends, in any way."""
    path = cache() / "locks" / f"{what}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Waiting for another hack/cluster that is busy with {what} ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
