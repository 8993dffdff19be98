"""Components brought to life: those that do not run are started, and all are waited for."""

from __future__ import annotations

import time
from collections.abc import Sequence

from . import probe, processes
from .console import say, since
from .controlplane import Component
from .errors import ClusterError
from .paths import Folder
from .processes import Process

_PATIENCE = 90.0


def start(folder: Folder, components: Sequence[Component]) -> None:
    """Start what does not run, all at once; return when every one of them is healthy."""
    begin = time.monotonic()
    for component in components:
        if processes.recorded(folder.pid(component.name)) is None:
            pid = processes.start(component.argv, folder.log(component.name), component.environment)
            _record(folder, component, pid)
            say(f"  started {component.name}")
    for component in components:
        _await(folder, component, begin)


def end(folder: Folder, component: str, grace: float = 5.0) -> None:
    """End a component, if it runs."""
    process = processes.recorded(folder.pid(component))
    if process:
        process.end(grace)
    folder.pid(component).unlink(missing_ok=True)


def _record(folder: Folder, component: Component, pid: int) -> None:
    process = Process.find(pid)
    if process is None:
        raise _failure(folder, component, "ended at once")
    processes.record(folder.pid(component.name), process)


def _await(folder: Folder, component: Component, begin: float) -> None:
    path = folder.pid(component.name)

    def settled() -> bool:
        return processes.recorded(path) is None or probe.healthy(component.health)

    if not probe.wait(settled, _PATIENCE):
        raise _failure(folder, component, f"is not healthy after {since(begin)}")
    if processes.recorded(path) is None:
        raise _failure(folder, component, f"ended after {since(begin)}")


def _failure(folder: Folder, component: Component, fact: str) -> ClusterError:
    log = folder.log(component.name)
    return ClusterError(f"{component.name} {fact}; {log} ends with\n{processes.tail(log)}")
