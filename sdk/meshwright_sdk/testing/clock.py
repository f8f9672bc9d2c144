"""`ManualClock`: a clock that moves only when a test says so."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count


class ManualClock:
    """Monotonic and wall time that stand still until `advance`; sleepers wake in order of their time."""

    def __init__(self, *, monotonic: float = 1_000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = monotonic
        self._wall_offset = wall - monotonic
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def monotonic(self) -> float:
        """Return the present time in seconds."""
        return self._now

    def wall(self) -> float:
        """Return the present time in seconds since 1970-01-01 UTC."""
        return self._now + self._wall_offset

    async def sleep(self, delay_s: float) -> None:
        """Return when the clock was advanced by `delay_s` seconds or more."""
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + delay_s, next(self._order), waiter))
        await waiter

    async def advance(self, delay_s: float) -> None:
        """Move on by `delay_s` seconds, and let whoever wakes on the way run until it waits again."""
        end = self._now + delay_s
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._now, _, waiter = heapq.heappop(self._sleepers)
            if not waiter.done():
                waiter.set_result(None)
            await _settle()
        self._now = end
        await _settle()


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
