"""`ManualClock`: a clock that moves only when a test says so."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count


class _Alarm:
    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None

    def ring(self) -> None:
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class ManualClock:
    """Monotonic and wall time that stand still until `advance`; sleepers wake in order of their time."""

    def __init__(self, *, monotonic: float = 1_000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = monotonic
        self._wall_offset = wall - monotonic
        self._alarms: list[tuple[float, int, _Alarm]] = []
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
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.call_later(delay_s, lambda: None if waiter.done() else waiter.set_result(None))
        await waiter

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> _Alarm:
        """Have `callback` called when the clock was advanced by `delay_s` seconds or more."""
        alarm = _Alarm(callback)
        heapq.heappush(self._alarms, (self._now + max(0.0, delay_s), next(self._order), alarm))
        return alarm

    @property
    def pending(self) -> int:
        """The number of sleepers and calls that are still to come."""
        return sum(alarm.callback is not None for _, _, alarm in self._alarms)

    async def advance(self, delay_s: float) -> None:
        """Move on by `delay_s` seconds, and let whoever wakes on the way run until it waits again."""
        end = self._now + delay_s
        await _settle()
        while self._alarms and self._alarms[0][0] <= end:
            self._now, _, alarm = heapq.heappop(self._alarms)
            alarm.ring()
            await _settle()
        self._now = end
        await _settle()


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
