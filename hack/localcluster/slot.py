"""Slots: what clusters side by side must not share follows from one small number each."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from .errors import ClusterError

FIRST_PORT = 20_000
"""Below the range that Linux gives to outgoing connections: these stay free for restarts."""

PORT_USERS = (
    "etcd",
    "etcd-peer",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kubelet-health",
    "kwok",
)
PORTS_PER_SLOT = 10
SLOTS = 250


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """Ports, addresses and device names of one cluster."""

    number: int

    BRIDGES: ClassVar[str] = "observatory*"
    """A pattern for the network devices of all slots."""

    def port(self, user: str) -> int:
        """The TCP port of one of `PORT_USERS`."""
        return FIRST_PORT + self.number * PORTS_PER_SLOT + PORT_USERS.index(user)

    @property
    def services(self) -> str:
        """The subnet of Service addresses."""
        return f"10.96.{self.number}.0/24"

    @property
    def service_address(self) -> str:
        """The address of the Service `kubernetes`."""
        return f"10.96.{self.number}.1"

    @property
    def pods(self) -> str:
        """The subnet of Pod addresses."""
        return f"10.244.{self.number}.0/24"

    @property
    def gateway(self) -> str:
        """This machine's address among the Pods."""
        return f"10.244.{self.number}.1"

    @property
    def bridge(self) -> str:
        """The network device that joins the Pods."""
        return f"observatory{self.number}"


def choose(taken: Collection[Slot], free: Callable[[Slot], bool]) -> Slot:
    """The lowest slot that no cluster has and that is free on this machine."""
    for number in range(SLOTS):
        slot = Slot(number)
        if slot not in taken and free(slot):
            return slot
    raise ClusterError(f"all {SLOTS} slots for clusters are taken: hack/cluster down --all")


def is_free(slot: Slot) -> bool:
    """Whether nothing on this machine uses the slot's ports or its network device."""
    if Path("/sys/class/net", slot.bridge).exists():
        return False
    return all(_port_is_free(slot.port(user)) for user in PORT_USERS)


def _port_is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
