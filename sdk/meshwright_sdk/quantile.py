"""`RollingQuantile`: the time that a share of the last answers took at most; what follows from it goes elsewhere."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from math import inf

_STEP = 1.05
_BOUNDS_S = tuple(accumulate([_STEP] * 284, lambda bound, step: bound * step, initial=0.0001))
"""0.1 ms to 100 s, each 5% above the one before."""

KEPT = 1000
"""So many of the last observations count at least, and twice as many at most."""


class RollingQuantile:
    """A quantile of the last 1000 to 2000 observed times, in about 4 KiB and some look-ups an observation.

    `value` is in seconds, up to 5% too much; from 0.1 ms to 100 s, and endless before `minimum` observations. It is
    computed anew after each 50 of them.
    """

    __slots__ = ("_counts", "_due", "_minimum", "_seen", "_share", "value")

    EVERY = 50

    def __init__(self, share: float, *, minimum: int) -> None:
        self._share = share
        self._minimum = minimum
        self._counts = [0] * (len(_BOUNDS_S) + 1)
        self._seen = 0
        self._due = minimum
        self.value = inf

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(_BOUNDS_S, seconds)] += 1
        self._seen += 1
        if self._seen >= self._due:
            self._compute()

    def _compute(self) -> None:
        sums = list(accumulate(self._counts))
        place = bisect_left(sums, self._share * sums[-1])
        self.value = _BOUNDS_S[min(place, len(_BOUNDS_S) - 1)]
        if sums[-1] >= 2 * KEPT:
            self._counts = [count // 2 for count in self._counts]
        self._due = self._seen + self.EVERY
