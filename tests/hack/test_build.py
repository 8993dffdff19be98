from __future__ import annotations

from pathlib import Path

import pytest
from localcluster import build
from localcluster.paths import MODULES
from localcluster.state import Node

CONTROL_PLANE = {
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
}


@pytest.mark.parametrize(
    ("nodes", "more"),
    [
        ([Node.NONE], set()),
        ([Node.KUBELET], {"kubelet"}),
        ([Node.KWOK], {"kwok"}),
        ([Node.KUBELET, Node.KWOK], {"kubelet", "kwok"}),
    ],
)
def test_only_what_the_nodes_need_is_built(nodes: list[Node], more: set[str]) -> None:
    assert {program.name for program in build.programs(nodes)} == CONTROL_PLANE | more


def test_what_is_there_is_not_built_again(tmp_path: Path) -> None:
    (tmp_path / "etcd").touch()
    names = [program.name for program in build.missing(build.CONTROL_PLANE, tmp_path)]
    assert sorted(names) == sorted(CONTROL_PLANE - {"etcd"})


def test_nothing_is_run_when_nothing_is_missing() -> None:
    build.folder().mkdir(parents=True)
    (build.folder() / "kubectl").touch()
    assert build.ensure([build.KUBECTL]) == build.folder()
    assert [path.name for path in build.folder().iterdir()] == ["kubectl"]


def test_kubernetes_programs_know_their_version() -> None:
    command = build.KUBECTL.command(Path("/go"), Path("/out"))
    flags = command[command.index("-ldflags") + 1]
    assert f"version.gitVersion={build.KUBERNETES} " in flags
    assert "version.gitMajor=1 " in flags
    assert command[-1] == "k8s.io/kubernetes/cmd/kubectl"


def test_every_program_comes_from_a_pinned_module() -> None:
    everything = [*build.programs(Node), build.KIND, build.HELM]
    for program in everything:
        assert (MODULES / program.module / "go.sum").is_file()


def test_the_modules_pin_the_version_that_the_programs_claim() -> None:
    pins = (MODULES / "kubernetes" / "go.mod").read_text()
    assert f"require k8s.io/kubernetes {build.KUBERNETES}\n" in pins
