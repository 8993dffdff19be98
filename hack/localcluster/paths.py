"""Where everything lies: one cache folder for programs, one folder for each cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).resolve().parent.parent / "modules"
"""The pinned Go modules that the programs are built from."""


def cache() -> Path:
    """`$XDG_CACHE_HOME/observatory-operator`; the folder need not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "observatory-operator"


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of one cluster. `hack/cluster down` removes it whole."""

    root: Path

    @classmethod
    def of(cls, name: str) -> Folder:
        """The folder of the cluster called `name`; it need not exist yet."""
        return cls(cache() / "clusters" / name)

    @property
    def state(self) -> Path:
        """What was asked for: written first, removed last."""
        return self.root / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        """For people and tests: one context for each user."""
        return self.root / "kubeconfig"

    @property
    def users(self) -> Path:
        """The API server's tokens, and whom they stand for."""
        return self.root / "users.csv"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def config(self) -> Path:
        """Configuration files of the components."""
        return self.root / "config"

    @property
    def etcd(self) -> Path:
        """The data of etcd."""
        return self.root / "etcd"

    @property
    def audit(self) -> Path:
        """The audit log, one JSON text a line."""
        return self.root / "logs" / "audit.log"

    @property
    def node(self) -> Path:
        """What kubelet and containerd keep."""
        return self.root / "node"

    def log(self, component: str) -> Path:
        """What the component prints."""
        return self.root / "logs" / f"{component}.log"

    def pid(self, component: str) -> Path:
        """Which process the component is."""
        return self.root / "run" / f"{component}.json"

    def component_kubeconfig(self, component: str) -> Path:
        """How the component reaches the API server."""
        return self.config / f"{component}.kubeconfig"
