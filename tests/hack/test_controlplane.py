from __future__ import annotations

import json
from pathlib import Path

import pytest
from localcluster import controlplane, users
from localcluster.slot import Slot
from localcluster.state import Cluster, Node

PROGRAMS = Path("/programs")


def test_etcd_waits_for_the_disk_only_when_asked() -> None:
    fast = controlplane.storage(Cluster("one"), PROGRAMS)
    safe = controlplane.storage(Cluster("one", fsync=True), PROGRAMS)
    assert set(fast.argv) - set(safe.argv) == {"--unsafe-no-fsync"}


def test_the_api_server_writes_an_audit_log_only_when_asked() -> None:
    plain = controlplane.apiserver(Cluster("one"), PROGRAMS)
    audited = controlplane.apiserver(Cluster("one", audit=True), PROGRAMS)
    log = Cluster("one").folder.audit
    assert f"--audit-log-path={log}" in set(audited.argv) - set(plain.argv)


@pytest.mark.parametrize(
    ("node", "address"),
    [(Node.NONE, "127.0.0.1"), (Node.KWOK, "127.0.0.1"), (Node.KUBELET, "0.0.0.0")],
)
def test_the_api_server_listens_beyond_this_machine_only_for_real_pods(
    node: Node, address: str
) -> None:
    argv = controlplane.apiserver(Cluster("one", node=node), PROGRAMS).argv
    assert f"--bind-address={address}" in argv


def test_the_api_server_stores_json_and_checks_rights() -> None:
    argv = controlplane.apiserver(Cluster("one"), PROGRAMS).argv
    assert "--storage-media-type=application/json" in argv
    assert "--authorization-mode=Node,RBAC" in argv


def test_two_clusters_share_no_argument_that_names_a_place() -> None:
    one, two = Cluster("one", slot=Slot(0)), Cluster("two", slot=Slot(1))
    for command in (controlplane.storage, controlplane.controller_manager, controlplane.scheduler):
        shared = set(command(one, PROGRAMS).argv[1:]) & set(command(two, PROGRAMS).argv[1:])
        assert not [argument for argument in shared if "/one" in argument or ":2" in argument]
        assert command(one, PROGRAMS).argv != command(two, PROGRAMS).argv


def test_every_file_that_a_command_line_names_is_written() -> None:
    cluster = Cluster("one", audit=True)
    cluster.folder.root.mkdir(parents=True)
    users.write_tokens(cluster.folder)
    controlplane.write_config(cluster)
    components = (controlplane.apiserver, controlplane.controller_manager, controlplane.scheduler)
    arguments = [argument for make in components for argument in make(cluster, PROGRAMS).argv]
    configs = [Path(a.split("=")[1]) for a in arguments if str(cluster.folder.config) in a]
    assert len(configs) == 3
    for path in configs:
        assert json.loads(path.read_text())["kind"]
