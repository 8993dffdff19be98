from __future__ import annotations

import yaml
from localcluster import kwok
from localcluster.slot import Slot
from localcluster.state import Cluster, Node


def test_the_configuration_is_options_and_stages() -> None:
    cluster = Cluster("one", node=Node.KWOK, slot=Slot(4))
    cluster.folder.config.mkdir(parents=True)
    kwok.write_config(cluster)
    options, *stages = yaml.safe_load_all((cluster.folder.config / "kwok.yaml").read_text())
    assert options["kind"] == "KwokConfiguration"
    assert options["options"]["cidr"] == cluster.slot.pods
    assert {stage["kind"] for stage in stages} == {"Stage"}
    kinds = {stage["spec"]["resourceRef"]["kind"] for stage in stages}
    assert kinds == {"Node", "Pod"}


def test_a_node_has_room_for_thousands_of_pods() -> None:
    assert int(kwok.node("kwok-0")["status"]["allocatable"]["pods"]) >= 5000
