from __future__ import annotations

import pytest
from localcluster import controlplane, health, node
from localcluster.slot import Slot
from localcluster.state import Node


@pytest.mark.parametrize("kind", list(Node))
def test_every_component_with_a_port_is_asked_at_its_own(kind: Node) -> None:
    names = [*controlplane.NAMES, *node.parts(kind)]
    urls = {name: health.url(Slot(3), name) for name in names}
    silent = {name for name, url in urls.items() if url is None}
    assert silent <= {"sandbox", "containerd"}
    asked = [url for url in urls.values() if url]
    assert len({url.split("/")[2] for url in asked}) == len(asked)


def test_the_api_server_is_asked_whether_it_is_ready() -> None:
    port = Slot(3).port("kube-apiserver")
    assert health.url(Slot(3), "kube-apiserver") == f"https://127.0.0.1:{port}/readyz"
