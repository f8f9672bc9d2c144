"""`Clock`: time as plugins see it, so that tests can turn it by hand; no time zones, no formatting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Alarm(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Have it never come; may be called after it has."""


class Clock(Protocol):
    """Monotonic and wall time in seconds, and waits that follow the monotonic one."""

    def monotonic(self) -> float:
        """Return seconds that never go back; their zero means nothing."""

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC."""

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Alarm:
        """Have `callback` called about `delay_s` seconds from now, a millisecond early maybe; it must not wait.

        For a wait of each request use `Timeouts`, which costs less.
        """


class SystemClock:
    """The machine's own clock."""

    __slots__ = ()

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds."""
        await asyncio.sleep(delay_s)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Alarm:
        """Have the running loop call `callback` about `delay_s` seconds from now."""
        return asyncio.get_running_loop().call_later(delay_s, callback)
