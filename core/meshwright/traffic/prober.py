"""`Prober`: questions to one endpoint beside its traffic; what is asked, and what comes of it, is a policy's."""

from __future__ import annotations

from dataclasses import replace

from meshwright.net.client_tls import ClientTls
from meshwright.traffic.pool import Pool, PoolLimits
from meshwright_sdk.balancing import Origin
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response

MAX_PROBES = 16
"""How many questions one endpoint may be asked at the same time."""


class Prober:
    """Opens a connection for each question, of its own and closed afterwards.

    Probes take no place in the endpoint's pool, wait for none, and are in none of its counts. A pooled connection
    would say nothing of whether a new one can be made.
    """

    __slots__ = ("_pool",)

    def __init__(self, origin: Origin, limits: PoolLimits, tls: ClientTls | None) -> None:
        self._pool = Pool(origin, replace(limits, max_connections=MAX_PROBES, max_idle=0), tls, quiet=True)

    async def ask(self, request: Request) -> Response:
        """Send `request` and return its response, whose end closes the connection; raises UpstreamError."""
        return await (await self._pool.take_new()).exchange(request)

    async def connect(self) -> None:
        """Open a connection and close it; raises UpstreamError."""
        connection = await self._pool.take_new()
        connection.close()

    @property
    def open(self) -> int:
        """The number of connections."""
        return self._pool.open

    def sweep(self, now: float) -> None:
        """Give up what is over its deadline; `now` is loop time."""
        self._pool.sweep(now)
