"""`Holding`: which refusals are held back, and for how long; who is refused, and with what answer, goes elsewhere."""

from __future__ import annotations

from math import ceil
from random import Random

from meshwright_sdk import Clock, Timeouts

AT_ONCE_PER_S = 2_500
"""So many refusals in a second are given at once: they take a tenth of a core, and would take half as much again if
they were held back."""
HOLDING_S = 10.0
"""How long all are held back when there were more: then it is clients who come again, the sooner the more often."""
TOGETHER_PER_S = 50
"""So often in a second refusals leave that were held back; a client's process that sleeps is woken for many at once."""


class Holding:
    """Has refusals wait `hold_s`, give or take a half, where there are many; `held` are waiting, and never over `most`.

    What may be given at once is a bucket of one second's, filled turn by turn. When a turn ends with it empty, nothing
    is given at once for HOLDING_S, and then it is full again.
    """

    __slots__ = ("_at_once", "_clock", "_hold_s", "_most", "_random", "_timeouts", "_until_s", "held")

    def __init__(self, hold_s: float, most: int, clock: Clock, random: Random) -> None:
        self._hold_s = hold_s
        self._most = most
        self._clock = clock
        self._random = random
        self._timeouts = Timeouts(clock)
        self._at_once = AT_ONCE_PER_S
        self._until_s: float | None = None  # as long as all are held back
        self.held = 0

    def gives_at_once(self) -> bool:
        """Count one refusal, and return whether it is given at once; another one is to `wait`."""
        if self._at_once:
            self._at_once -= 1
            return True
        return not self._hold_s or self.held >= self._most

    async def wait(self) -> None:
        """Wait until a refusal is to be given."""
        self.held += 1
        try:
            due_s = self._clock.monotonic() + self._hold_s * (0.5 + self._random.random())
            await self._timeouts.until_due(ceil(due_s * TOGETHER_PER_S) / TOGETHER_PER_S)
        finally:
            self.held -= 1

    def turn(self, span_s: float, now: float) -> None:
        """End a turn of `span_s` seconds."""
        if self._at_once:
            self._at_once = min(AT_ONCE_PER_S, self._at_once + round(AT_ONCE_PER_S * span_s))
        elif self._until_s is None:
            self._until_s = now + HOLDING_S
        elif now >= self._until_s:
            self._until_s, self._at_once = None, AT_ONCE_PER_S
