"""The command line and the decisions behind it; what they start is for e2e/test_cluster.py."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest
from localcluster import cli, cluster, processes, state
from localcluster.cluster import Wish
from localcluster.errors import ClusterError
from localcluster.lock import locked
from localcluster.processes import Process
from localcluster.state import Backend, Cluster, Node

PROGRAM = Path(__file__).resolve().parents[2] / "hack" / "cluster"


def test_a_given_kubeconfig_is_only_used() -> None:
    planned = cluster.plan(Wish("staging", kubeconfig=Path("/some/config"), context="blue"))
    assert planned.backend is Backend.EXTERNAL
    assert (planned.kubeconfig, planned.context) == ("/some/config", "blue")


@pytest.mark.parametrize("node", [Node.NONE, Node.KWOK])
def test_what_needs_no_container_is_made_of_processes(node: Node) -> None:
    planned = cluster.plan(Wish("one", node=node, nodes=3, audit=True))
    assert planned == Cluster("one", Backend.LOCAL, node, nodes=3, audit=True)


CONTAINERS = Wish("one", node=Node.KUBELET)
AUDITED = Wish("one", node=Node.KUBELET, audit=True)
PROCESSES = Wish("one", node=Node.KUBELET, local=True)


@pytest.mark.parametrize(
    ("wish", "obstacle", "docker", "backend", "audit"),
    [
        (CONTAINERS, None, True, Backend.KIND, False),
        (CONTAINERS, None, False, Backend.LOCAL, False),
        (CONTAINERS, "no root", True, Backend.KIND, False),
        (Wish("one"), None, False, Backend.LOCAL, False),
        (AUDITED, None, True, Backend.LOCAL, True),
        (AUDITED, "no root", True, Backend.KIND, False),
        (PROCESSES, None, True, Backend.LOCAL, False),
    ],
)
def test_containers_run_in_docker_or_in_processes(
    *, wish: Wish, obstacle: str | None, docker: bool, backend: Backend, audit: bool
) -> None:
    planned = cluster.plan(wish, lambda: obstacle, lambda: docker)
    assert (planned.node, planned.backend, planned.audit) == (Node.KUBELET, backend, audit)


@pytest.mark.parametrize(("wish", "docker"), [(CONTAINERS, False), (PROCESSES, True)])
def test_where_containers_cannot_run_the_reason_and_kwok_are_offered(
    *, wish: Wish, docker: bool
) -> None:
    with pytest.raises(ClusterError, match=r"(?s)no root.*up --kwok --name one"):
        cluster.plan(wish, lambda: "no root", lambda: docker)


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        (Wish("one", node=Node.NONE), "exists with node kwok, not none"),
        (Wish("one", nodes=9), "exists with nodes 2, not 9"),
        (Wish("one", audit=True), "exists with audit False, not True"),
        (Wish("one", kubeconfig=Path("/some/config")), "exists with kubeconfig"),
    ],
)
def test_a_living_cluster_is_not_turned_into_another_kind(wish: Wish, text: str) -> None:
    there = Cluster("one", node=Node.KWOK, nodes=2)
    state.save(there)
    me = Process.find(os.getpid())
    assert me
    processes.record(there.folder.pid("kwok"), me)
    with pytest.raises(ClusterError, match=text):
        cluster.up(wish)
    assert state.load("one") == there


def test_a_dead_cluster_gives_way_only_to_another_kind(capsys: pytest.CaptureFixture[str]) -> None:
    dead = Cluster("one", node=Node.KWOK, nodes=2)
    assert cluster.is_kept(dead, Wish("one", nodes=2))
    assert not cluster.is_kept(dead, Wish("one", node=Node.NONE))
    assert "one exists with node kwok, not none" in capsys.readouterr().err


def test_a_cluster_of_others_never_gives_way() -> None:
    there = Cluster("one", Backend.EXTERNAL, kubeconfig="/some/config")
    with pytest.raises(ClusterError, match="exists with node none, not kwok"):
        cluster.is_kept(there, Wish("one", node=Node.KWOK))


def test_a_dead_cluster_stays_when_the_new_one_cannot_be() -> None:
    dead = Cluster("one", node=Node.KWOK)
    state.save(dead)
    with pytest.raises(ClusterError, match="there is no kubeconfig /nowhere"):
        cluster.up(Wish("one", kubeconfig=Path("/nowhere")))
    assert state.load("one") == dead


def test_a_missing_kubeconfig_is_named_and_no_cluster_is_recorded() -> None:
    with pytest.raises(ClusterError, match="there is no kubeconfig /nowhere"):
        cluster.up(Wish("one", kubeconfig=Path("/nowhere")))
    assert state.load_all() == []


def test_removing_what_is_not_there_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["down", "--name", "one"]) == 0
    assert "There is no cluster one" in capsys.readouterr().err


def test_a_cluster_that_does_not_run_is_told_by_the_exit_status(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["status"]) == 1
    state.save(Cluster("one"))
    assert cli.main(["status", "--name", "one"]) == 1
    out = capsys.readouterr().out
    assert "one, broken" in out
    assert "kube-apiserver            dead" in out


def test_the_kubeconfigs_path_is_all_that_is_printed(
    capsys: pytest.CaptureFixture[str], cache_home: Path
) -> None:
    state.save(Cluster("one"))
    assert cli.main(["kubeconfig", "--name", "one"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{cache_home}/clusters/one/kubeconfig\n"
    assert captured.err == ""


def test_an_unknown_cluster_is_named_with_the_command_that_makes_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["kubeconfig", "--name", "one"]) == 1
    assert "hack/cluster up --name one" in capsys.readouterr().err


def test_images_are_refused_where_no_container_runs() -> None:
    state.save(Cluster("one", node=Node.KWOK))
    with pytest.raises(ClusterError, match="takes no images"):
        cluster.load_image("one", "tool:1", b"")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "frob",
        "load-image tool:1",
        "up --kubelet --kwok",
        "up --context blue",
        "up --nodes 3",
        "up --kwok --nodes 0",
    ],
)
def test_what_is_not_understood_is_status_2(line: str) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main(line.split())
    assert raised.value.code == 2


def test_what_is_not_understood_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["up", "--nodes", "3"])
    text = "error: --nodes belongs to --kwok and is at least 1 (see hack/cluster up --help)\n"
    assert capsys.readouterr().err == text


def test_who_interrupts_is_told_how_to_remove_this_very_cluster() -> None:
    command = [str(PROGRAM), "up", "--no-node", "--name", "one"]
    # What runs in the background of a script, these tests for one, inherits that it is ignored.
    default = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with (
        locked("cluster-one"),
        subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=default,  # noqa: PLW1509 -- no thread runs here
        ) as process,
    ):
        assert process.stderr
        assert "Waiting" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert "hack/cluster down --name one removes it" in process.stderr.read()
    assert process.returncode == 130
