"""Components brought to life: those that do not run are started, and all are waited for."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from . import health, probe, processes
from .console import say, since
from .controlplane import Component
from .errors import ClusterError
from .paths import Folder
from .processes import Process
from .state import Cluster

_PATIENCE = 90.0


def start(cluster: Cluster, components: Sequence[Component]) -> None:
    """Start what does not run, all at once; return when every one of them is healthy."""
    begin = time.monotonic()
    for component in components:
        if processes.recorded(cluster.folder.pid(component.name)) is None:
            spawn(cluster.folder, component)
    for component in components:
        _await(cluster, component, begin)


def spawn(folder: Folder, component: Component) -> Process:
    """Start a component and write down which process it is."""
    with _undisturbed():
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
    """End a component, if it runs; it has `grace` seconds to do so by itself."""
    process = processes.recorded(folder.pid(component))
    if process:
        process.end(grace)
    folder.pid(component).unlink(missing_ok=True)


def failure(folder: Folder, component: Component, fact: str) -> ClusterError:
    """The error that says what became of the component, with the end of its log."""
    log = folder.log(component.name)
    return ClusterError(f"{component.name} {fact}; {log} ends with\n{processes.tail(log)}")


def _await(cluster: Cluster, component: Component, begin: float) -> None:
    path = cluster.folder.pid(component.name)
    url = health.url(cluster.slot, component.name)

    def settled() -> bool:
        return processes.recorded(path) is None or url is None or probe.healthy(url)

    if not probe.wait(settled, _PATIENCE):
        raise failure(cluster.folder, component, f"is not healthy after {since(begin)}")
    if processes.recorded(path) is None:
        raise failure(cluster.folder, component, f"ended after {since(begin)}")


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put Ctrl-C off until a process that was started is also written down."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
