"""`Listener`: one listening socket and the connections it took; which listeners there are is decided in `listeners`."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from meshwright.http1.counts import ListenerCounts
from meshwright.http1.forwarding import Trusted
from meshwright.http1.hops import normal_address
from meshwright.http1.server import Handle, HttpServerProtocol
from meshwright.http1.server_state import ServerState
from meshwright.http1.settings import ServerSettings
from meshwright.net.accept import Acceptor, RefusalCounts, Terms
from meshwright.net.server_tls import ServerTls
from meshwright.net.sockets import address_of
from meshwright_sdk.metrics import Metrics

if TYPE_CHECKING:
    from meshwright.config.model import ListenerConfig

logger = logging.getLogger("meshwright.listeners")

IDLE_GRACE_S = 10.0
"""How long the idle connections of a listener that is gone may wait for one more request."""
ABORT_S = 5.0
"""How much longer than its grace a drain may take, for connections that were cut off to be gone."""
_TICK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A listener's name and the address it really has."""

    name: str
    bind: str
    scheme: str


class Listener:
    """Connections keep the options they were taken with; `change` is for those to come."""

    def __init__(
        self, config: ListenerConfig, tls: ServerTls | None, bound: socket.socket, handle: Handle, metrics: Metrics
    ) -> None:
        self._handle = handle
        self._metrics = metrics
        self._socket = bound
        self._address = address_of(bound)
        self._state = ServerState()
        self._idle_until = self._busy_until = math.inf
        self.config, self.tls = config, tls
        self._acceptor = Acceptor(bound, self._terms(), self._refusals(), f"listener {config.name}")

    def change(self, config: ListenerConfig, tls: ServerTls | None) -> None:
        """Take another name and other options for the same address."""
        self.config, self.tls = config, tls
        self._acceptor.terms, self._acceptor.counts = self._terms(), self._refusals()

    def _terms(self) -> Terms:
        config = self.config
        counts = ListenerCounts(self._metrics, config.name)
        settings = ServerSettings.of(config)
        return Terms(
            protocol=partial(HttpServerProtocol, self._handle, counts, self._state, settings),
            open=self._state.connections.__len__,
            max_connections=config.max_connections,
            tls=self.tls.context if self.tls is not None else None,
            proxy_protocol=config.proxy_protocol,
            believes=partial(_believes, settings.forwarding.trusted) if config.trusted_proxies else None,
        )

    def _refusals(self) -> RefusalCounts:
        return RefusalCounts(self._metrics, self.config.name)

    def open(self) -> None:
        """Take connections, until `close`."""
        self._acceptor.start()

    def share(self) -> socket.socket:
        """Return the same socket for the listener that follows on the same address."""
        return self._socket.dup()

    def discard(self) -> None:
        """Give the socket back without having served."""
        self._socket.close()

    def close(self, grace_s: float, *, idle_s: float = 0.0) -> None:
        """Take no more connections. Idle ones have `idle_s` for one more request, those in use `grace_s` to end.

        The answer to the last request of a connection says that it is. A second call can only shorten the times.
        """
        now = asyncio.get_running_loop().time()
        self._busy_until = min(self._busy_until, now + grace_s)
        self._idle_until = min(self._idle_until, now + idle_s, self._busy_until)
        self._acceptor.stop()
        self._state.retiring = True
        for connection in list(self._state.connections):
            connection.retire()

    async def drained(self) -> None:
        """Wait for the end that `close` has begun, and cut off what is left when the time is over, or if cancelled."""
        loop = asyncio.get_running_loop()
        idle_were_closed = False
        try:
            while self._is_busy and loop.time() < self._busy_until:
                if not idle_were_closed and loop.time() >= self._idle_until:
                    idle_were_closed = True
                    await self._shut_down()
                await asyncio.sleep(_TICK_S)
        finally:
            await self._cut_off()
        gone_by = loop.time() + ABORT_S
        while self._is_busy and loop.time() < gone_by:  # noqa: ASYNC110 - connections tell nobody when they are gone
            await asyncio.sleep(_TICK_S)

    async def _shut_down(self) -> None:
        await self._acceptor.cut_off()
        for connection in list(self._state.connections):
            connection.shutdown()

    async def _cut_off(self) -> None:
        left = len(self._state.connections)
        if left:
            noun = "connection" if left == 1 else "connections"
            what = f"listener {self.config.name}"
            logger.warning("%s: %d %s cut off, still busy at the end of the drain", what, left, noun)
        for task in self._state.tasks:
            task.cancel()
        for connection in list(self._state.connections):
            connection.abort()
        await self._acceptor.cut_off()

    def sweep(self, now: float) -> None:
        """Have every connection look at its deadline; `now` is loop time."""
        for connection in list(self._state.connections):
            connection.sweep(now)

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._state.connections)

    @property
    def _is_busy(self) -> bool:
        return bool(self._state.connections or self._state.tasks or self._acceptor.opening)

    @property
    def bound(self) -> Bound:
        """What it is called and where it listens."""
        scheme = "http" if self.tls is None else "https"
        return Bound(name=self.config.name, bind=self._address, scheme=scheme)


def _believes(trusted: Trusted, host: str) -> bool:
    """Return whether the PROXY header of a peer is believed; a Unix socket's host is empty."""
    return trusted.trusts(normal_address(host) if ":" in host else host)
