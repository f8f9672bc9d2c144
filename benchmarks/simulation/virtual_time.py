"""An event loop whose time goes by only when nothing is left to do; what happens in it goes elsewhere."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class _NeverIdle(selectors.DefaultSelector):
    """Instead of waiting it moves the time on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An hour of sleep takes as long as what is done meanwhile. Nothing in it reaches a network."""

    def __init__(self) -> None:
        self._virtual = _NeverIdle()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._virtual.now

    async def create_connection(self, *args: Any, **more: Any) -> Any:
        """Refuse it: what is played has no sockets, and its addresses are nobody's."""
        raise RuntimeError(f"simulation: expected no connection to be opened; got one to {args[1:]}")


class VirtualClock:
    """The clock of everything in a simulation; it follows the loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.monotonic = loop.time

    def wall(self) -> float:
        """Return seconds since some day."""
        return 1_700_000_000.0 + self._loop.time()

    async def sleep(self, delay_s: float) -> None:
        """Return so much later."""
        await asyncio.sleep(delay_s)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call back so much later."""
        return self._loop.call_later(delay_s, callback)
