"""`watch_peer`: have the system find out that a silent peer has vanished; deadlines of our own go elsewhere."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

IDLE_S = 60
INTERVAL_S = 15
PROBES = 4


def watch_peer(transport: asyncio.BaseTransport) -> None:
    """Have the connection end two minutes after its peer was last heard of, be it without a word from either side.

    For connections without a deadline: one whose peer has lost its power or its network would stay for ever. A peer
    that is there need not do anything. Never raises; does nothing for a Unix socket, whose peer cannot vanish.
    """
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):  # it has closed already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, INTERVAL_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
