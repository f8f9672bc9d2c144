"""`RetryBudget`: how many attempts beyond the first the present traffic may make; when to try goes elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

PARTS = 10
"""A window is forgotten in so many parts, so that what counts is between nine tenths of it and all."""

BURST = 3
"""In one part of the window attempts may be so many times as frequent as over the whole window."""


class RetryBudget:
    """Bounds further attempts to a share of the requests of the last seconds, so that a dead service is not flooded.

    Allowed are `share` times the requests of the last `window_s` seconds, and `minimum` where that is more, so that
    little traffic is tried again too. Of that, a tenth of the window may use three tenths, or the share of the busiest
    tenth where that is more: what is used up comes back evenly, and not all at once when the window has passed.

    With a minimum of 0 all attempts together are never more than `share` of all requests; with one, each window may
    add it once. One object serves all requests of a filter in one worker: with N workers each has its own share of
    the traffic, and the minimum counts N times. `now` gives seconds that never go back.
    """

    __slots__ = ("_ends", "_minimum", "_now", "_part_s", "_past", "_share", "attempts", "refused", "requests", "spent")

    def __init__(self, share: float, *, window_s: float = 10.0, minimum: int = 50, now: Callable[[], float]) -> None:
        self._share = share
        self._minimum = minimum
        self._now = now
        self._part_s = window_s / PARTS
        self._past: deque[tuple[int, int]] = deque(maxlen=PARTS - 1)
        self._ends = now() + self._part_s
        self.requests = 0
        self.attempts = 0
        self.refused = 0
        self.spent = 0

    def count(self) -> None:
        """Take note of one request, however often it will be tried."""
        if self._now() >= self._ends:
            self._turn()
        self.requests += 1

    def spend(self) -> bool:
        """Return whether one more attempt may be made now, and take note of it."""
        if self._now() >= self._ends:
            self._turn()
        by_part = [self.requests, *(part[0] for part in self._past)]
        requests = sum(by_part)
        attempts = self.attempts + sum(part[1] for part in self._past)
        at_once = max(*by_part, requests * BURST / PARTS)
        if attempts >= self._allowed(requests) or self.attempts >= self._allowed(at_once):
            self.refused += 1
            return False
        self.attempts += 1
        self.spent += 1
        return True

    def state(self) -> Mapping[str, float]:
        """Return its numbers for the admin API: of the last window, and how many attempts it allowed and refused."""
        if self._now() >= self._ends:
            self._turn()
        requests = self.requests + sum(part[0] for part in self._past)
        return {
            "requests": requests,
            "attempts": self.attempts + sum(part[1] for part in self._past),
            "allowed": self._allowed(requests),
            "spent": self.spent,
            "refused": self.refused,
        }

    def _allowed(self, requests: float) -> int:
        # What rounding makes of a share such as 0.1 must not cost the attempt that it allows.
        return max(self._minimum, int(self._share * requests + 1e-9))

    def _turn(self) -> None:
        """Begin the next part of the window, and forget what is older than all of it."""
        over = int((self._now() - self._ends) / self._part_s)
        self._past.append((self.requests, self.attempts))
        self._past.extend([(0, 0)] * min(over, PARTS))
        self._ends += (over + 1) * self._part_s
        self.requests = self.attempts = 0
