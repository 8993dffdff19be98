"""`hack/cluster` itself: repeatable, side by side, healing, and gone without a trace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, JsonObject, eventually, hack_cluster

pytestmark = pytest.mark.e2e

FIRST, SECOND = "e2e-first", "e2e-second"


def status(name: str) -> JsonObject:
    found: JsonObject = json.loads(hack_cluster("status", "--name", name, "--json"))
    return found


def pids(name: str) -> dict[str, int]:
    return {part["name"]: part["pid"] for part in status(name)["parts"]}


def up(name: str, *flags: str) -> Cluster:
    hack_cluster("up", "--name", name, *flags)
    return Cluster(hack_cluster("kubeconfig", "--name", name))


def run_pod(cluster: Cluster, name: str, *command: str) -> JsonObject:
    """A Pod that has ended."""
    cluster.kubectl("run", name, "--image=busybox:1.36", "--restart=Never", "--", *command)
    return eventually(
        lambda: cluster.get("pod", name),
        lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"),
    )


def zombies(name: str) -> list[str]:
    """Dead processes of the cluster's node that nobody has reaped."""
    sandbox = str(pids(name)["sandbox"])
    command = ["ps", "--ppid", sandbox, "-o", "stat=,args="]  # status 1 when there is none
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return [line for line in listed.stdout.splitlines() if line.startswith("Z")]


def traces(name: str) -> list[str]:
    """What a cluster could leave on the machine."""
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if f"/{name}" in line]
    cgroups = [str(path) for path in Path("/sys/fs/cgroup").rglob(f"observatory-{name}")]
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    processes = [line for line in listed.stdout.splitlines() if f"/clusters/{name}/" in line]
    return mounts + cgroups + processes


@pytest.fixture
def clean() -> Iterator[None]:
    yield
    for name in (FIRST, SECOND):
        hack_cluster("down", "--name", name)


@pytest.fixture
def containers() -> None:
    if os.geteuid() != 0:
        pytest.skip("a kubelet without Docker needs root")


@pytest.mark.usefixtures("clean")
def test_up_again_changes_nothing_and_heals_what_was_killed() -> None:
    up(FIRST, "--no-node")
    before = pids(FIRST)
    up(FIRST, "--no-node")
    assert pids(FIRST) == before
    os.kill(before["etcd"], signal.SIGKILL)
    cluster = up(FIRST, "--no-node")
    after = pids(FIRST)
    assert {name for name in before if before[name] != after[name]} == {"etcd"}
    assert cluster.get("namespace", "default")["status"]["phase"] == "Active"


@pytest.mark.usefixtures("clean")
def test_a_cluster_whose_every_process_was_killed_gives_way_to_one_of_another_kind() -> None:
    up(FIRST, "--no-node").kubectl("create", "namespace", "old")
    for pid in pids(FIRST).values():
        os.kill(pid, signal.SIGKILL)
    eventually(partial(traces, FIRST), lambda left: not left)
    cluster = up(FIRST, "--no-node", "--audit")
    assert status(FIRST)["audit_log"]
    assert "old" not in cluster.kubectl("get", "namespaces", "-o", "name")


@pytest.mark.usefixtures("clean")
def test_users_have_the_rights_of_their_groups_and_the_audit_log_knows_them() -> None:
    cluster = up(FIRST, "--no-node", "--audit")
    denied = cluster.kubectl("--context=alice", "get", "pods", check=False)
    assert 'User "alice" cannot list resource "pods"' in denied
    lines = Path(status(FIRST)["audit_log"]).read_text().splitlines()
    assert "alice" in {json.loads(line)["user"]["username"] for line in lines}


@pytest.mark.usefixtures("clean")
def test_pods_on_pretended_nodes_end_as_they_are_told() -> None:
    cluster = up(FIRST, "--kwok", "--nodes", "3")
    pod: JsonObject = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "told",
            "annotations": {
                "kwok.observatory/exit-code": "3",
                "kwok.observatory/message": 'it said "no"',
            },
        },
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]},
    }
    cluster.apply(pod)
    ended = eventually(
        lambda: cluster.get("pod", "told"), lambda seen: seen["status"]["phase"] == "Failed"
    )
    terminated = ended["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (terminated["exitCode"], terminated["message"]) == (3, 'it said "no"')


@pytest.mark.usefixtures("containers", "clean")
def test_two_clusters_side_by_side_run_containers_and_leave_nothing() -> None:
    clusters = [up(name, "--kubelet", "--local") for name in (FIRST, SECOND)]
    for number, cluster in enumerate(clusters):
        ended = run_pod(cluster, "hello", "echo", f"hello {number}")
        assert ended["status"]["phase"] == "Succeeded"
        assert cluster.kubectl("logs", "hello") == f"hello {number}\n"
        warnings = cluster.kubectl("get", "events", "--field-selector=type=Warning", "-o", "name")
        assert "hello" not in warnings
        cluster.kubectl("delete", "pod", "hello")
    for name in (FIRST, SECOND):
        assert eventually(partial(zombies, name), lambda left: not left) == []
    for name in (FIRST, SECOND):
        assert traces(name)
        hack_cluster("down", "--name", name)
        assert eventually(partial(traces, name), lambda left: not left) == []


@pytest.mark.usefixtures("containers", "clean")
def test_a_node_whose_every_process_was_killed_comes_back() -> None:
    up(FIRST, "--kubelet", "--local")
    os.kill(pids(FIRST)["sandbox"], signal.SIGKILL)
    cluster = up(FIRST, "--kubelet", "--local")
    ended = run_pod(cluster, "after", "sh", "-c", "exit 7")
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7
