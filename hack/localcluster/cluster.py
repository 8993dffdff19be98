"""Up and down, whoever makes the cluster."""

from __future__ import annotations

import dataclasses

from . import local, slot, state
from .errors import ClusterError
from .lock import locked
from .state import Cluster


def up(wanted: Cluster) -> Cluster:
    """Make the cluster, or heal what is left of it; safe to repeat."""
    state.check_name(wanted.name)
    with locked(f"cluster-{wanted.name}"):
        cluster = _admit(wanted)
        local.up(cluster)
    return cluster


def down(name: str) -> bool:
    """Remove the cluster and everything that belongs to it; False when there was none."""
    with locked(f"cluster-{state.check_name(name)}"):
        cluster = state.load(name)
        if cluster is None:
            return False
        local.down(cluster)
    return True


def _admit(wanted: Cluster) -> Cluster:
    """Give a new cluster a slot and write it down; hold an old one to what it was made as."""
    old = state.load(wanted.name)
    if old is None:
        with locked("slots"):
            taken = {cluster.slot for cluster in state.load_all()}
            cluster = dataclasses.replace(wanted, slot=slot.choose(taken, slot.is_free))
            state.save(cluster)
        return cluster
    if dataclasses.replace(wanted, slot=old.slot) != old:
        raise ClusterError(
            f"cluster {old.name} exists with other options: "
            f"hack/cluster down --name {old.name}, or choose another name"
        )
    return old
