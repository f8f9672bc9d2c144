"""`RollingCounts`: calls, failures and slow calls of the last seconds; what follows from them goes elsewhere."""

from __future__ import annotations

from collections import deque

PARTS = 10
"""A window is forgotten in so many parts, so that what counts is between nine tenths of it and all."""


class RollingCounts:
    """Calls of the last `window_s` seconds, in three plain numbers that whoever counts adds to.

    Before adding, and before reading, compare the time with `ends` and call `turn` when it has come: that is all a
    call costs. Ten parts are kept, however many calls there are.
    """

    __slots__ = ("_part_s", "_past", "calls", "ends", "failures", "slow")

    def __init__(self, window_s: float, now: float) -> None:
        self._part_s = window_s / PARTS
        self._past: deque[tuple[int, int, int]] = deque(maxlen=PARTS - 1)
        self.clear(now)

    def clear(self, now: float) -> None:
        """Forget everything."""
        self._past.clear()
        self.calls = self.failures = self.slow = 0
        self.ends = now + self._part_s

    def turn(self, now: float) -> None:
        """Forget what is older than the window; does nothing before `ends`."""
        if now < self.ends:
            return
        over = int((now - self.ends) / self._part_s)
        if over >= PARTS:
            self.clear(now)
            return
        past = self._past
        calls, failures, slow = self._sums()
        past.append((self.calls - calls, self.failures - failures, self.slow - slow))
        past.extend([(0, 0, 0)] * over)
        self.calls, self.failures, self.slow = self._sums()
        self.ends += (over + 1) * self._part_s

    def _sums(self) -> tuple[int, int, int]:
        past = self._past
        return sum(part[0] for part in past), sum(part[1] for part in past), sum(part[2] for part in past)
