"""Taking the PROXY protocol's header off a connection, and not a byte more; what it may be is in `proxy_header`."""

from __future__ import annotations

import asyncio
import socket

from meshwright.net.proxy_header import MOST_BYTES, ProxyHeader, ProxyHeaderError, parse

HEADER_S = 5.0
"""How long a header may take: it is the first thing a proxy sends."""


async def take_header(client: socket.socket) -> ProxyHeader:
    """Read the header from a socket that does not block; what follows it stays in the socket, for TLS or HTTP.

    Raises ProxyHeaderError for anything else, OSError, and TimeoutError after HEADER_S.
    """
    async with asyncio.timeout(HEADER_S):
        begun = b""
        while True:
            await _readable(client)
            try:
                seen = client.recv(MOST_BYTES, socket.MSG_PEEK)
            except BlockingIOError:
                continue
            if not seen:
                raise ProxyHeaderError("expected a header of the PROXY protocol; got the connection's end")
            header = parse(begun + seen)
            own = len(seen) if header is None else header.length - len(begun)
            begun += client.recv(own)
            if header is not None:
                return header


async def _readable(client: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(client, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(client)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
