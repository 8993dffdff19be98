from __future__ import annotations

import socket

import pytest

from observatory.runtime.httpserver import AddressError, listen


@pytest.mark.parametrize(
    ("address", "reached"), [(":0", "127.0.0.1"), ("127.0.0.1:0", "127.0.0.1")]
)
def test_addresses_are_those_of_go(address: str, reached: str) -> None:
    made = listen(address)
    assert made is not None
    with made, socket.create_connection((reached, made.getsockname()[1]), 5):
        pass


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("address", [":0", "[::]:0", "[::1]:0"])
def test_addresses_may_be_of_ipv6(address: str) -> None:
    made = listen(address)
    assert made is not None
    with made, socket.create_connection(("::1", made.getsockname()[1]), 5):
        pass


@pytest.mark.parametrize("address", ["", "8080", "host:", ":http", ":70000", "::1:80", "1", ":-1"])
def test_a_wrong_address_is_refused(address: str) -> None:
    with pytest.raises(AddressError, match="is no address: give HOST:PORT"):
        listen(address)
