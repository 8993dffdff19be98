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
            spawn(folder, component)
    for component in components:
        _await(folder, component, begin)


def spawn(folder: Folder, component: Component) -> Process:
    """Start a component and write down which process it is."""
    pid = processes.start(component.argv, folder.log(component.name))
    if component.forks:
        probe.wait(lambda: processes.child_of(pid) or not Process.find(pid), _PATIENCE)
        pid = processes.child_of(pid) or pid
    process = Process.find(pid)
    if process is None:
        raise failure(folder, component, "ended at once")
    processes.record(folder.pid(component.name), process)
    say(f"  started {component.name}")
    return process


def end(folder: Folder, component: str, grace: float = 5.0) -> None:
    """End a component, if it runs."""
    process = processes.recorded(folder.pid(component))
    if process:
        process.end(grace)
    folder.pid(component).unlink(missing_ok=True)


def _await(folder: Folder, component: Component, begin: float) -> None:
    path = folder.pid(component.name)

    def settled() -> bool:
        return processes.recorded(path) is None or not component.health or probe.healthy(component.health)

    if not probe.wait(settled, _PATIENCE):
        raise failure(folder, component, f"is not healthy after {since(begin)}")
    if processes.recorded(path) is None:
        raise failure(folder, component, f"ended after {since(begin)}")


def failure(folder: Folder, component: Component, fact: str) -> ClusterError:
    """The error that says what became of the component, with the end of its log."""
    log = folder.log(component.name)
    return ClusterError(f"{component.name} {fact}; {log} ends with\n{processes.tail(log)}")
