"""`Rounds`: visits to every endpoint of a service, again and again, spread over time; what for is the visit's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from meshwright_sdk.balancing import Endpoint
from meshwright_sdk.plugin import Context

logger = logging.getLogger("meshwright.rounds")

FIRST_WITHIN_S = 1.0
"""An endpoint that is new is visited for the first time within this."""


class Rounds:
    """Visits endpoints, each in every interval, and not all in the same moment.

    The first visit is within a second, or the interval if that is shorter; the next ones are spread over the interval
    by chance, and each interval is longer or shorter by up to `jitter`, a share. At most `concurrency` visits are
    under way. One that raises is logged and does not end the visits. A task for each endpoint is all it costs.
    """

    __slots__ = ("_context", "_interval_s", "_jitter", "_places", "_tasks", "_visit")

    def __init__(
        self,
        visit: Callable[[Endpoint], Awaitable[None]],
        context: Context,
        *,
        interval_s: float,
        jitter: float = 0.1,
        concurrency: int = 32,
    ) -> None:
        self._visit = visit
        self._context = context
        self._interval_s = interval_s
        self._jitter = jitter
        self._places = asyncio.Semaphore(concurrency)
        self._tasks: dict[Endpoint, asyncio.Task[None]] = {}

    def begin(self, endpoint: Endpoint) -> None:
        """Visit an endpoint from now on; needs a running loop."""
        name = f"rounds of {self._context.place} to {endpoint.url}"
        self._tasks[endpoint] = self._context.tasks.spawn(self._go(endpoint), name=name)

    def end(self, endpoint: Endpoint) -> None:
        """Visit it no longer; a visit that is under way is cancelled. Does nothing for one that is not visited."""
        task = self._tasks.pop(endpoint, None)
        if task is not None:
            task.cancel()

    async def _go(self, endpoint: Endpoint) -> None:
        sleep, chance = self._context.clock.sleep, self._context.random.random
        await sleep(chance() * min(self._interval_s, FIRST_WITHIN_S))
        await self._see(endpoint)
        await sleep(chance() * self._interval_s)  # apart from those that came at the same time
        while True:
            await self._see(endpoint)
            await sleep(self._interval_s * (1 + self._jitter * (2 * chance() - 1)))

    async def _see(self, endpoint: Endpoint) -> None:
        async with self._places:
            try:
                await self._visit(endpoint)
            except Exception:
                logger.exception("%s: the visit to %s failed", self._context.place, endpoint.url)
