"""`Pulse`: how long one turn of the event loop takes, measured once for all who ask; what follows goes elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from meshwright_sdk.clock import Clock, SystemClock
from meshwright_sdk.tasks import Tasks

logger = logging.getLogger("meshwright.pulse")

BEAT_S = 0.02

Feel = Callable[[float, float], None]
"""Called at each beat, with how long a turn took in seconds, and the time of the clock's `monotonic`."""


class Pulse:
    """Measures turns of the event loop, one every 20 ms, and each that is longer: so long requests wait to be handled.

    A turn serves everything that is ready, so its length is the queue of the process; how late a timer is would tell
    only a part of it. There is one pulse for each event loop, and it beats only while somebody feels it.
    """

    __slots__ = ("_clock", "_feels", "_tasks")

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._feels: list[Feel] = []
        self._tasks = Tasks()

    def feel(self, feel: Feel) -> None:
        """Have `feel` called at each beat, until `leave`; it must be quick. Needs a running loop.

        One that raises is logged and called no more; the others go on.
        """
        self._feels.append(feel)
        if len(self._feels) == 1:
            self._tasks.spawn(self._beat(), name="pulse of the event loop")

    async def leave(self, feel: Feel) -> None:
        """Have `feel` called no more; does nothing when it never was."""
        if feel in self._feels:
            self._feels.remove(feel)
            if not self._feels:
                await self._tasks.close()

    async def _beat(self) -> None:
        now, turn_s = self._clock.monotonic, 0.0
        while self._feels:
            if turn_s < BEAT_S:
                await self._clock.sleep(BEAT_S)
                await asyncio.sleep(0)  # where in its turn a timer comes differs among loops
            began = now()
            await asyncio.sleep(0)
            time = now()
            turn_s = time - began
            for feel in tuple(self._feels):
                try:
                    feel(turn_s, time)
                except Exception:
                    if feel in self._feels:
                        self._feels.remove(feel)
                    logger.exception("%s raised, and is called no more", getattr(feel, "__qualname__", feel))
