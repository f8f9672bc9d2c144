"""`Clock`: time as plugins see it, so that tests can turn it by hand; no time zones, no formatting."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic and wall time in seconds, and a sleep that follows the monotonic one."""

    def monotonic(self) -> float:
        """Return seconds that never go back; their zero means nothing."""

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC."""

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds."""


class SystemClock:
    """The machine's own clock."""

    __slots__ = ()

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds."""
        await asyncio.sleep(delay_s)
