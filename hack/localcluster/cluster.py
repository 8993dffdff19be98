"""Up, down and images, whoever makes the cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import build, containerd, external, kind, local, packages, slot, state
from .console import say
from .errors import ClusterError
from .lock import locked
from .state import Backend, Cluster, Node


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for. None and False leave it to the cluster that is there, or to us."""

    name: str = "default"
    node: Node | None = None
    nodes: int | None = None
    audit: bool = False
    fsync: bool = False
    local: bool = False
    kubeconfig: Path | None = None
    context: str = ""


def up(wish: Wish) -> Cluster:
    """Make the cluster, or heal what is left of it; safe to repeat."""
    state.check_name(wish.name)
    with locked(f"cluster-{wish.name}"):
        cluster = state.load(wish.name)
        if cluster is None or not is_kept(cluster, wish):
            cluster = _admit(plan(wish), cluster)
        match cluster.backend:
            case Backend.LOCAL:
                local.up(cluster)
            case Backend.KIND:
                kind.up(cluster)
            case Backend.EXTERNAL:
                external.up(cluster)
    return cluster


def down(name: str) -> bool:
    """Remove the cluster and everything that belongs to it; False when there was none."""
    with locked(f"cluster-{state.check_name(name)}"):
        cluster = state.load(name)
        if cluster is None:
            return False
        match cluster.backend:
            case Backend.LOCAL:
                local.down(cluster)
            case Backend.KIND:
                kind.down(cluster)
            case Backend.EXTERNAL:
                external.down(cluster)
    return True


def get(name: str) -> Cluster:
    """The cluster called `name`."""
    cluster = state.load(name)
    if cluster is None:
        raise ClusterError(f"there is no cluster {name}: hack/cluster up --name {name}")
    return cluster


def load_image(name: str, image: str, archive: bytes) -> None:
    """Put an image, as an OCI or Docker archive, where the cluster's containers find it."""
    cluster = get(name)
    if cluster.backend is Backend.KIND:
        kind.load(cluster, archive)
    elif cluster.backend is Backend.LOCAL and cluster.node is Node.KUBELET:
        containerd.load(cluster, image, archive)
    else:
        raise ClusterError(f"cluster {name} runs no containers of ours, so it takes no images")


def plan(
    wish: Wish,
    find_obstacle: Callable[[], str | None] = packages.obstacle,
    docker_runs: Callable[[], bool] = kind.docker_runs,
) -> Cluster:
    """The new cluster that serves the wish best here; its slot is chosen later.

    `find_obstacle` says why processes of ours cannot run containers, or None.
    """
    if wish.kubeconfig:
        source = str(wish.kubeconfig.absolute())
        return Cluster(wish.name, Backend.EXTERNAL, kubeconfig=source, context=wish.context)
    node = wish.node or Node.KUBELET
    made_here = Cluster(
        wish.name, node=node, nodes=wish.nodes or 1, audit=wish.audit, fsync=wish.fsync
    )
    if node is not Node.KUBELET:
        return made_here
    obstacle = find_obstacle()
    processes_do_better = obstacle is None and (wish.audit or wish.fsync)
    if not wish.local and not processes_do_better and docker_runs():
        return dataclasses.replace(made_here, backend=Backend.KIND, audit=False, fsync=False)
    if obstacle:
        raise ClusterError(
            f"containers cannot run here: {obstacle}\n"
            f"hack/cluster up --kwok --name {wish.name} makes nodes that pretend to run them"
        )
    return made_here


def _admit(cluster: Cluster, dead: Cluster | None) -> Cluster:
    """Give a new cluster a slot and write it down, before anything of it exists.

    What is left of a dead one of its name is removed when nothing more speaks against the new one.
    """
    match cluster.backend:
        case Backend.LOCAL:  # before the slot: its ports are free now, not later
            build.ensure(build.programs([cluster.node]))
        case Backend.EXTERNAL:  # one that does not answer is not worth remembering
            external.check(cluster)
        case Backend.KIND:
            pass
    if dead:
        local.down(dead)
    with locked("slots"):
        taken = {other.slot for other in state.load_all()}
        admitted = dataclasses.replace(cluster, slot=slot.choose(taken, slot.is_free))
        state.save(admitted)
    return admitted


def is_kept(cluster: Cluster, wish: Wish) -> bool:
    """Whether the cluster that is there serves the wish; False when it is dead and does not.

    Raises ClusterError when it lives: nobody's cluster is turned into another kind.
    """
    difference = _difference(cluster, wish)
    if difference is None:
        return True
    text = f"cluster {cluster.name} exists with {difference}"
    if cluster.backend is Backend.LOCAL and not local.lives(cluster):
        say(f"Replacing a dead cluster: {text}")
        return False
    raise ClusterError(
        f"{text}: hack/cluster down --name {cluster.name} first, or choose another --name"
    )


def _difference(cluster: Cluster, wish: Wish) -> str | None:
    """The first option that is not as it is wished, and how it is."""
    ours = cluster.backend is Backend.LOCAL  # kind has neither an audit log nor a choice of fsync
    asked: list[tuple[str, object, object]] = [
        ("node", wish.node, cluster.node),
        ("nodes", wish.nodes, cluster.nodes),
        ("audit", (wish.audit and ours) or None, cluster.audit),
        ("fsync", (wish.fsync and ours) or None, cluster.fsync),
        ("kubeconfig", wish.kubeconfig and str(wish.kubeconfig.absolute()), cluster.kubeconfig),
        ("context", wish.context or None, cluster.context),
    ]
    for option, wanted, present in asked:
        if wanted is not None and wanted != present:
            return f"{option} {present}, not {wanted}"
    return None
