"""Ports for servers of tests, known before the server listens and the same after it was restarted."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"

_held: list[socket.socket] = []


def free_port(*, also: int | None = None, udp: bool = False) -> int:
    """Return a port that nobody but the test's own servers gets until the test is over.

    A connection to it is refused while no server listens. `also` is the distance of a second port that is held too,
    and `udp` holds it for UDP as well. A server has to set SO_REUSEADDR, as nearly every one does.
    """
    while True:
        sockets = [socket.socket()]
        try:
            sockets[0].bind((HOST, 0))
            port: int = sockets[0].getsockname()[1]
            if also is not None:
                sockets.append(socket.socket())
                sockets[-1].bind((HOST, port + also))
            if udp:
                sockets.append(socket.socket(type=socket.SOCK_DGRAM))
                sockets[-1].bind((HOST, port))
                sockets[-1].connect((HOST, 9))  # or it would get what is for the server
        except (OSError, OverflowError):
            for each in sockets:
                each.close()
            continue
        for each in sockets:
            # What is bound without it is nobody else's; with it a server can listen beside what only holds the port.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _held.extend(sockets)
        return port


def release_ports() -> None:
    """Hold no port any longer."""
    for each in _held:
        each.close()
    _held.clear()
