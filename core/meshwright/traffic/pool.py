"""`Pool`: the connections to one endpoint; which endpoint a request goes to is decided elsewhere."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from meshwright.http1.client import Owner, UpstreamConnection
from meshwright.net.client_tls import ClientTls
from meshwright_sdk.balancing import Origin
from meshwright_sdk.errors import ConnectError, MeshwrightError, OverloadError, UpstreamError, UpstreamTimeoutError

logger = logging.getLogger("meshwright.pool")

TLS_SHUTDOWN_S = 5.0
"""How long an endpoint may take to confirm the end of a TLS connection."""

_MOST_TOLD = 4
"""How many reasons of new connections without an answer are logged until the endpoint was out of reach for once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """The bounds of one endpoint's connections; times in seconds."""

    max_connections: int = 1024
    max_idle: int = 1024
    max_pending: int = 1024
    idle_timeout_s: float = 60.0
    connect_timeout_s: float = 5.0
    first_byte_timeout_s: float = 60.0
    body_idle_timeout_s: float = 60.0


class PooledConnection(UpstreamConnection):
    """A connection that knows afterwards what ended it; None where the endpoint just closed it."""

    __slots__ = ("ended_by",)

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(owner, loop)
        self.ended_by: Exception | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended_by = exc
        super().connection_lost(exc)


class Pool:
    """Connections to one endpoint: the last used is used next, and all of them are bounded.

    A request beyond `max_connections` waits its turn; one beyond `max_pending` is refused. A `quiet` one logs nothing.
    `repeats` is counted by who sends a request once more.
    """

    __slots__ = (
        "_active",
        "_idle",
        "_limits",
        "_opening",
        "_origin",
        "_quiet",
        "_tls",
        "_told",
        "_unreachable",
        "_waiters",
        "closed",
        "connect_failures",
        "connects",
        "first_byte_timeout_s",
        "idle_timeout_s",
        "repeats",
    )

    def __init__(
        self, origin: Origin, limits: PoolLimits, tls: ClientTls | None = None, *, quiet: bool = False
    ) -> None:
        self._origin = origin
        self._limits = limits
        self._tls = tls
        self._idle: list[UpstreamConnection] = []
        self._active: set[UpstreamConnection] = set()
        self._opening = 0
        self._waiters: deque[asyncio.Future[UpstreamConnection | None]] = deque()
        self.first_byte_timeout_s = limits.first_byte_timeout_s
        self.idle_timeout_s = limits.body_idle_timeout_s
        self.connects = 0
        self.connect_failures = 0
        self.repeats = 0
        self.closed = False
        self._quiet = quiet
        self._unreachable = False
        self._told: set[str] = set()

    def take_idle(self) -> UpstreamConnection | None:
        """Return a connection that waits for work, or None; never waits."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closing:
                self._active.add(connection)
                return connection
        return None

    async def take_new(self) -> UpstreamConnection:
        """Return a connection that was opened for the caller, or given back while it waited.

        Raises ConnectError, UpstreamTimeoutError after the connect time, OverloadError above the bounds.
        """
        if self.open < self._limits.max_connections:
            self._opening += 1
            return await self._connect()
        return await self._wait_turn()

    async def _connect(self) -> UpstreamConnection:
        """Open a connection in the place that `_opening` keeps for it."""
        self.connects += 1
        try:
            async with asyncio.timeout(self._limits.connect_timeout_s):
                connection = await self._open()
            if connection.closing:
                raise ConnectionResetError
        except BaseException as error:
            self._opening -= 1
            self._grant_turn()
            if isinstance(error, OSError | ValueError):  # the latter for a name that no resolver takes
                raise self._connect_failed(error) from error
            raise
        self._opening -= 1
        self._active.add(connection)
        if self._unreachable:
            self._unreachable = False
            logger.info("endpoint %s: can be reached again", self._origin)
        return connection

    def _connect_failed(self, error: OSError | ValueError) -> MeshwrightError:
        self.connect_failures += 1
        if not (self._unreachable or self._quiet):  # told once, not for each request
            self._unreachable = True
            self._told.clear()
            logger.warning("endpoint %s: cannot be reached: %s", self._origin, _why(error))
        if isinstance(error, TimeoutError):
            return UpstreamTimeoutError("upstream: no connection in time", code="upstream_connect_timeout")
        return ConnectError("upstream: no connection could be made")

    def no_answer(self, connection: UpstreamConnection, error: UpstreamError) -> None:
        """Log, once for each reason, that a new connection ended without a first answer, and what was seen of it."""
        ended_by = connection.ended_by if isinstance(connection, PooledConnection) else None
        why = str(error).removeprefix("upstream: ") if ended_by is None else _why(ended_by)
        if not self._quiet and why not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(why)
            hint = "" if self._tls is not None or self._origin.path else " (does its port speak TLS?)"
            logger.warning("endpoint %s: a new connection got no answer: %s%s", self._origin, why, hint)

    async def _open(self) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        origin = self._origin

        def protocol() -> UpstreamConnection:
            return PooledConnection(self, loop)

        if origin.path:
            _, connection = await loop.create_unix_connection(protocol, origin.path)
            return connection
        tls: dict[str, Any] = {}
        if self._tls is not None:
            tls = {
                "ssl": self._tls.context or await self._tls.ready(),
                "server_hostname": self._tls.server_name or origin.host,
                "ssl_shutdown_timeout": TLS_SHUTDOWN_S,
            }
        _, connection = await loop.create_connection(protocol, origin.host, origin.port, **tls)
        return connection

    async def _wait_turn(self) -> UpstreamConnection:
        if len(self._waiters) >= self._limits.max_pending:
            raise OverloadError("upstream: too many requests are waiting for a connection")
        waiter: asyncio.Future[UpstreamConnection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._limits.connect_timeout_s):
                connection = await waiter
        except BaseException as error:
            self._return_turn(waiter)
            if isinstance(error, TimeoutError):
                raise OverloadError("upstream: no connection became free in time") from None
            raise
        if connection is None:
            return await self._connect()
        return await self.take_new() if connection.closing else connection

    def _return_turn(self, waiter: asyncio.Future[UpstreamConnection | None]) -> None:
        if not waiter.done() or waiter.cancelled():
            with suppress(ValueError):
                self._waiters.remove(waiter)
        elif (given := waiter.result()) is not None:
            self.release(given)
        else:
            self._opening -= 1
            self._grant_turn()

    def _grant_turn(self) -> None:
        if self.open < self._limits.max_connections and self._wake(None):
            self._opening += 1  # the place is taken now, not when the waiter runs

    def _wake(self, connection: UpstreamConnection | None) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def release(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose exchange is over."""
        if connection.closing:
            self.forget(connection)
        elif not (self._waiters and self._wake(connection)):
            if self.closed or len(self._idle) >= self._limits.max_idle:
                connection.close()  # it counts until it is closed
            else:
                self._active.discard(connection)
                self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """Strike a closed connection off, and let the next request in the queue open its own."""
        self._active.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._grant_turn()

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long and give up what takes too long; `now` is loop time."""
        oldest = now - self._limits.idle_timeout_s
        for connection in [each for each in self._idle if each.idle_since < oldest]:
            connection.close()
        for connection in tuple(self._active):
            connection.sweep(now)

    def close(self) -> None:
        """Close every idle connection now and every other one when its exchange is over."""
        self.closed = True
        for connection in self._idle:
            connection.close()

    @property
    def is_tls(self) -> bool:
        """Whether its endpoint is spoken to by TLS."""
        return self._tls is not None

    @property
    def open(self) -> int:
        """The number of connections, those being opened included."""
        return len(self._active) + len(self._idle) + self._opening

    def status(self) -> dict[str, int]:
        """Return the pool's numbers for the admin API."""
        return {
            "active": len(self._active),
            "idle": len(self._idle),
            "opening": self._opening,
            "waiting": len(self._waiters),
            "connects": self.connects,
            "connect_failures": self.connect_failures,
            "repeats": self.repeats,
        }


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return str(error) or type(error).__name__
