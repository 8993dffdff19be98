from __future__ import annotations

import socket

import pytest
from localcluster.errors import ClusterError
from localcluster.slot import PORT_USERS, SLOTS, Slot, choose, is_free


def test_no_two_slots_share_a_port_a_subnet_or_a_device() -> None:
    slots = [Slot(number) for number in range(SLOTS)]
    ports = [slot.port(user) for slot in slots for user in PORT_USERS]
    assert len(set(ports)) == len(ports)
    for attribute in ("pods", "services", "service_address", "gateway", "bridge"):
        assert len({getattr(slot, attribute) for slot in slots}) == SLOTS


def test_ports_stay_below_those_of_outgoing_connections() -> None:
    assert max(Slot(SLOTS - 1).port(user) for user in PORT_USERS) < 32768


def test_device_names_fit_the_kernels_limit_of_15_characters() -> None:
    assert len(Slot(SLOTS - 1).bridge) <= 15


def test_the_lowest_slot_that_nobody_has_and_that_is_free_is_chosen() -> None:
    assert choose({Slot(0), Slot(2)}, lambda slot: slot != Slot(1)) == Slot(3)


def test_no_slot_left_is_said_with_the_remedy() -> None:
    with pytest.raises(ClusterError, match="down --all"):
        choose(set(), lambda _: False)


def test_a_slot_with_a_port_in_use_is_not_free() -> None:
    slot = Slot(SLOTS - 1)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", slot.port("kwok")))
        listener.listen()
        assert not is_free(slot)
    assert is_free(slot)
