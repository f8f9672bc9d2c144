"""`RetryBudget`: how many attempts beyond the first the present traffic may make; when to try goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable


class RetryBudget:
    """Bounds further attempts to a share of the requests of the last seconds, so that a dead service is not flooded.

    Allowed are `share` times the requests of the last `window_s` seconds, and `minimum` where that is more, so that
    little traffic is retried too. One object serves all requests of a filter; `now` gives seconds that never go back.
    """

    __slots__ = ("_attempts", "_minimum", "_now", "_requests", "_share", "_slot", "_slot_s", "refused")

    SLOTS = 10

    def __init__(self, share: float, *, window_s: float = 10.0, minimum: int = 10, now: Callable[[], float]) -> None:
        self._share = share
        self._minimum = minimum
        self._now = now
        self._slot_s = window_s / self.SLOTS
        self._slot = int(now() / self._slot_s)
        self._requests = [0] * self.SLOTS
        self._attempts = [0] * self.SLOTS
        self.refused = 0

    def count(self) -> None:
        """Take note of one request, however often it will be tried."""
        slot = int(self._now() / self._slot_s)
        if slot != self._slot:
            self._turn(slot)
        self._requests[slot % self.SLOTS] += 1

    def spend(self) -> bool:
        """Return whether one more attempt may be made now, and take note of it."""
        slot = int(self._now() / self._slot_s)
        if slot != self._slot:
            self._turn(slot)
        if sum(self._attempts) >= max(self._minimum, self._share * sum(self._requests)):
            self.refused += 1
            return False
        self._attempts[slot % self.SLOTS] += 1
        return True

    def _turn(self, slot: int) -> None:
        """Forget what is older than the window."""
        for passed in range(self._slot + 1, min(slot, self._slot + self.SLOTS) + 1):
            self._requests[passed % self.SLOTS] = self._attempts[passed % self.SLOTS] = 0
        self._slot = slot
