from __future__ import annotations

import os

import pytest
from localcluster import launch, processes
from localcluster.controlplane import Component
from localcluster.errors import ClusterError
from localcluster.processes import Process
from localcluster.state import Cluster

CLUSTER = Cluster("one")


def reap(process: Process) -> None:
    """Collect what became of our own child; elsewhere the children of this command are orphans."""
    os.waitpid(process.pid, 0)


def test_what_runs_is_not_started_again() -> None:
    component = Component("sleeper", ("sleep", "60"))
    path = CLUSTER.folder.pid("sleeper")
    launch.start(CLUSTER, [component])
    first = processes.recorded(path)
    launch.start(CLUSTER, [component])
    assert first
    assert processes.recorded(path) == first
    launch.end(CLUSTER.folder, "sleeper")
    reap(first)
    assert not path.exists()


def test_what_died_is_started_again() -> None:
    component = Component("sleeper", ("sleep", "60"))
    launch.start(CLUSTER, [component])
    first = processes.recorded(CLUSTER.folder.pid("sleeper"))
    assert first
    first.end(grace=0)
    launch.start(CLUSTER, [component])
    second = processes.recorded(CLUSTER.folder.pid("sleeper"))
    assert second
    assert second != first
    second.end(grace=0)
    reap(first)
    reap(second)


def test_a_component_that_ends_is_reported_with_the_end_of_its_log() -> None:
    component = Component("etcd", ("sh", "-c", "echo no space left; exit 1"))
    with pytest.raises(ClusterError, match=r"(?s)etcd ended .*etcd\.log ends with.*no space left"):
        launch.start(CLUSTER, [component])


def test_of_a_command_that_forks_the_child_is_the_component() -> None:
    component = Component("inner", ("sh", "-c", "sleep 60; true"), forks=True)
    process = launch.spawn(CLUSTER.folder, component)
    parent = os.getsid(process.pid)
    assert process.pid != parent
    process.end(grace=0)
    os.waitpid(parent, 0)
