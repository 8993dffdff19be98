from __future__ import annotations

import socket

from observatory.kube.transport import client_socket


def test_a_connection_to_a_peer_that_vanished_is_given_up_within_a_minute() -> None:
    address = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 1))
    with client_socket(address) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle, interval, count, user = (
            made.getsockopt(socket.IPPROTO_TCP, option)
            for option in (
                *(socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT),
                socket.TCP_USER_TIMEOUT,
            )
        )
        assert idle + interval * count <= 60
        assert 0 < user <= 60_000
