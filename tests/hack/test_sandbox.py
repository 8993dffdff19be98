from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from localcluster import containerd, kubelet, probe, processes, sandbox
from localcluster.errors import ClusterError
from localcluster.processes import Process
from localcluster.slot import Slot
from localcluster.state import Cluster

ONE = Cluster("one", slot=Slot(0))
TWO = Cluster("two", slot=Slot(1))


def test_every_private_folder_is_mounted_from_the_clusters_own() -> None:
    argv = sandbox.command(ONE, ONE.folder.node / "furnished")
    for path in sandbox.PRIVATE:
        source = argv[argv.index(path) - 1]
        assert source.startswith(str(ONE.folder.node))


def test_private_folders_of_one_node_differ() -> None:
    assert len({sandbox.private(ONE, path) for path in sandbox.PRIVATE}) == len(sandbox.PRIVATE)


def test_number_1_leaves_the_dead_to_the_kernel() -> None:
    def ignored() -> int:
        lines = Path("/proc", str(process.pid), "status").read_text().splitlines()
        return next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))

    with subprocess.Popen(sandbox.sleeper()) as process:
        try:
            assert probe.wait(lambda: ignored() >> (signal.SIGCHLD - 1) & 1, 10)
        finally:
            process.kill()


def test_a_command_cannot_enter_a_node_that_does_not_run() -> None:
    with pytest.raises(ClusterError, match="the node of cluster one does not run"):
        sandbox.enter(ONE, ["true"])


def test_a_command_enters_by_the_number_of_the_living_process() -> None:
    me = Process.find(os.getpid())
    assert me
    processes.record(ONE.folder.pid(sandbox.NAME), me)
    argv = sandbox.enter(ONE, ["ctr", "version"])
    assert f"--target={os.getpid()}" in argv
    assert argv[-2:] == ["ctr", "version"]


@pytest.mark.parametrize("key", ["address", "port", "healthzPort", "cgroupRoot"])
def test_kubelets_side_by_side_do_not_meet(key: str) -> None:
    assert kubelet.config(ONE)[key] != kubelet.config(TWO)[key]


def test_pods_resolve_names_as_this_machine_does(tmp_path: Path) -> None:
    resolvers = tmp_path / "resolv.conf"
    assert kubelet.nameservers(resolvers) == []
    resolvers.write_text(
        "# nameserver 1.1.1.1\nsearch lan\nnameserver 10.0.0.2\nnameserver fd00::2\n"
    )
    assert kubelet.nameservers(resolvers) == ["10.0.0.2", "fd00::2"]


def test_there_is_always_an_address_for_cluster_dns() -> None:
    assert kubelet.config(ONE)["clusterDNS"]


def test_networks_side_by_side_do_not_meet() -> None:
    [one], [two] = (containerd.network(cluster)["plugins"] for cluster in (ONE, TWO))
    assert one["bridge"] != two["bridge"]
    assert one["ipam"]["ranges"] != two["ipam"]["ranges"]
