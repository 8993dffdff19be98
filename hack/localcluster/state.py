"""What was asked for: one small JSON file for each cluster."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from enum import StrEnum

from .errors import ClusterError
from .paths import Folder, cache
from .slot import Slot

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?")


class Backend(StrEnum):
    """Who makes the cluster."""

    LOCAL = "local"
    KIND = "kind"
    EXTERNAL = "external"


class Node(StrEnum):
    """What runs Pods."""

    NONE = "none"
    KUBELET = "kubelet"
    KWOK = "kwok"


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster, as it was asked for."""

    name: str
    backend: Backend = Backend.LOCAL
    node: Node = Node.NONE
    nodes: int = 1
    slot: Slot = field(default=Slot(0))
    audit: bool = False
    fsync: bool = False
    kubeconfig: str = ""
    context: str = ""

    @property
    def folder(self) -> Folder:
        """Where its files lie."""
        return Folder.of(self.name)

    @property
    def server(self) -> str:
        """The URL of the API server, for a local cluster."""
        return f"https://127.0.0.1:{self.slot.port('kube-apiserver')}"


def check_name(name: str) -> str:
    """`name` if it can be a cluster's; names end up in paths, cgroups and network names."""
    if not _NAME.fullmatch(name):
        raise ClusterError(
            f"{name!r} cannot be the name of a cluster: use up to 30 of a-z, 0-9 and '-', "
            "with no '-' at either end"
        )
    return name


def save(cluster: Cluster) -> None:
    """Write the file, whole or not at all."""
    path = cluster.folder.state
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(dataclasses.asdict(cluster), indent=2) + "\n")
    draft.replace(path)


def load(name: str) -> Cluster | None:
    """The cluster called `name`, or None when there is none."""
    path = Folder.of(check_name(name)).state
    try:
        raw = dict(json.loads(path.read_text()))
        raw.update(
            backend=Backend(raw["backend"]), node=Node(raw["node"]), slot=Slot(**raw["slot"])
        )
        return Cluster(**raw)
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise ClusterError(f"{path} cannot be read ({error}): remove {path.parent}") from error


def load_all() -> list[Cluster]:
    """Every cluster there is, by name."""
    names = sorted(path.parent.name for path in (cache() / "clusters").glob("*/cluster.json"))
    return [cluster for name in names if (cluster := load(name))]
