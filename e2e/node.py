"""The node of a cluster of ours: its programs killed, kept away and brought back."""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.cluster import Cluster, hack_cluster

NAME = "node-0"
_PATIENCE_MS = 10_000


class Node:
    """The one node of a cluster that `hack/cluster` made of processes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = Path(cluster.kubeconfig).parent.name
        self._pids = self._look()

    @classmethod
    def of(cls, cluster: Cluster) -> Node | None:
        """The node, if it is ours and not in Docker; on others no faults can be made from here."""
        if not (Path(cluster.kubeconfig).parent / "cluster.json").exists():
            return None
        node = cls(cluster)
        return node if node._pids.get("kubelet") else None

    def kill(self, part: str) -> None:
        """SIGKILL at once; returns when the process is gone."""
        handle = os.pidfd_open(self._pids[part])
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            gone = select.poll()
            gone.register(handle, select.POLLIN)
            assert gone.poll(_PATIENCE_MS), f"{part} survived SIGKILL"
        finally:
            os.close(handle)

    def heal(self) -> None:
        """Start what is dead; returns when Pods can be scheduled again."""
        hack_cluster("up", "--name", self._cluster)
        self._pids = self._look()

    def restart(self, part: str) -> None:
        """SIGKILL, and start again."""
        self.kill(part)
        self.heal()

    @contextmanager
    def without(self, part: str) -> Iterator[None]:
        """While this lasts, the part is dead."""
        self.kill(part)
        try:
            yield
        finally:
            self.heal()

    def load_image(self, image: str) -> None:
        """Give containers an image of that name."""
        hack_cluster("load-image", image, "--from-busybox", "--name", self._cluster)

    def _look(self) -> dict[str, int]:
        told = json.loads(hack_cluster("status", "--name", self._cluster, "--json", check=False))
        return {part["name"]: part["pid"] for part in told["parts"]}
