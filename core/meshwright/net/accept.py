"""`Acceptor`: from a listening socket to connections with their protocol; what the protocol does is not known here."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, cast

from meshwright.net.proxy_front import take_header
from meshwright.net.proxy_header import ProxyHeaderError
from meshwright.net.tls_front import TlsFront
from meshwright_sdk.metrics import Metrics
from meshwright_sdk.tasks import Tasks

logger = logging.getLogger("meshwright.listeners")

BACKLOG = 2048
AT_ONCE = 64
"""Connections taken in one turn of the event loop, so that a flood of them leaves time for requests."""

PAUSE_S = 0.5
"""How long to wait when the system has no file descriptor or memory left for a connection."""

HANDSHAKE_S = 10.0
CUT_OFF_S = 1.0
_RESET = struct.pack("ii", 1, 0)


class Accepted(Protocol):
    """What a protocol has to have beside asyncio's methods."""

    addresses: tuple[object, object] | None
    """The peer's and our own address, by the PROXY protocol where it is spoken; set before the connection is made.

    The socket does not know its peer any more when that has reset the connection, and what it sent can be read still.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How new connections are taken; those that are there keep the terms they were taken on.

    `open` tells how many there are of them. `tls` gives the context of the moment. `believes` says of an address
    whether its PROXY header may be believed, an empty one for a Unix socket; without it every one's is.
    """

    protocol: Callable[[], asyncio.Protocol]
    open: Callable[[], int]
    max_connections: int
    tls: Callable[[], ssl.SSLContext] | None = None
    proxy_protocol: bool = False
    believes: Callable[[str], bool] | None = None


class RefusalCounts:
    """Connections of one listener that no request was read from, by reason."""

    __slots__ = ("limit", "proxy_protocol", "tls")

    def __init__(self, metrics: Metrics, listener: str) -> None:
        name, help = "meshwright_connections_refused_total", "Connections from clients that were closed unserved."
        self.limit = metrics.counter(name, help, listener=listener, reason="limit")
        self.proxy_protocol = metrics.counter(name, help, listener=listener, reason="proxy_protocol")
        self.tls = metrics.counter(name, help, listener=listener, reason="tls")


class Acceptor:
    """Takes connections from `bound`, which it owns; `terms` and `counts` may be replaced while it does."""

    def __init__(self, bound: socket.socket, terms: Terms, counts: RefusalCounts, name: str) -> None:
        self.terms = terms
        self.counts = counts
        self._bound = bound
        self._name = name
        self._opening = Tasks()
        self._clients: set[socket.socket] = set()
        self._paused: asyncio.TimerHandle | None = None
        self._short = False

    def start(self) -> None:
        """Let clients connect."""
        self._bound.setblocking(False)
        self._bound.listen(BACKLOG)
        self._resume()

    def stop(self) -> None:
        """Take no more connections and give the socket back; those that are being opened go on."""
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None
        if self._bound.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._bound)
            self._bound.close()

    async def cut_off(self) -> None:
        """End what is being opened: no protocol knows of it yet.

        The sockets are ended and not the tasks: one that is cancelled just when its protocol has learned of the
        connection would leave it without its end.
        """
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        await self._opening.close(grace_s=CUT_OFF_S)

    @property
    def opening(self) -> int:
        """The connections whose PROXY header or TLS handshake is not complete."""
        return len(self._opening)

    def _resume(self) -> None:
        self._paused = None
        asyncio.get_running_loop().add_reader(self._bound, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                client, peer = self._bound.accept()
            except BlockingIOError:
                self._short = False
                return
            except (ConnectionAbortedError, InterruptedError):
                continue
            except OSError as error:
                self._pause(error)
                return
            self._take(client, peer)

    def _pause(self, error: OSError) -> None:
        """Leave connections in the queue for a while: asking again at once would fail again and stop everything."""
        if not self._short:
            self._short = True
            logger.warning("%s: no connection can be taken for now: %s", self._name, error.strerror or error)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._bound)
        self._paused = loop.call_later(PAUSE_S, self._resume)

    def _take(self, client: socket.socket, peer: object) -> None:
        terms = self.terms
        if terms.open() + len(self._opening) >= terms.max_connections:
            self.counts.limit.value += 1
            _reset(client)
            return
        client.setblocking(False)
        self._clients.add(client)
        self._opening.spawn(self._open(client, peer, terms), name=self._name)

    async def _open(self, client: socket.socket, peer: object, terms: Terms) -> None:
        try:
            await self._hand_over(client, peer, terms)
        finally:
            self._clients.discard(client)

    async def _hand_over(self, client: socket.socket, peer: object, terms: Terms) -> None:
        protocol = terms.protocol()
        accepted = cast("Accepted", protocol)
        accepted.addresses = (peer, client.getsockname())
        if terms.proxy_protocol and not await self._took_header(client, accepted, terms):
            return
        loop = asyncio.get_running_loop()
        try:
            if terms.tls is None:
                await loop.connect_accepted_socket(lambda: protocol, client)
            else:
                await self._shake_hands(client, TlsFront(terms.tls(), protocol))
        except OSError as error:  # TimeoutError and ssl.SSLError are some
            self.counts.tls.value += terms.tls is not None
            logger.debug("%s: a connection could not be opened: %s", self._name, error)

    async def _shake_hands(self, client: socket.socket, front: TlsFront) -> None:
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: front, client)
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await front.ready
        except BaseException:
            transport.abort()
            raise

    async def _took_header(self, client: socket.socket, accepted: Accepted, terms: Terms) -> bool:
        """Return whether the connection may go on, its protocol told of the addresses; closes it if not."""
        try:
            _refuse_strangers(client, terms)
            header = await take_header(client)
        except (ProxyHeaderError, OSError) as error:
            self.counts.proxy_protocol.value += 1
            logger.debug("%s: a connection is closed: %s", self._name, str(error) or "no PROXY header in time")
            client.close()
            return False
        except BaseException:
            client.close()
            raise
        if header.source is not None:
            accepted.addresses = (header.source, header.destination)
        return True


def _refuse_strangers(client: socket.socket, terms: Terms) -> None:
    if terms.believes is not None:
        peer = client.getpeername()
        host = peer[0] if isinstance(peer, tuple) else ""
        if not terms.believes(host):
            raise ProxyHeaderError(f"expected a trusted proxy; got {host or 'a Unix socket'}")


def _reset(client: socket.socket) -> None:
    """Close without a trace: a connection that is closed in good order stays in the kernel for a minute."""
    try:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    finally:
        client.close()
