"""`TokenBucket` and `SlidingWindow`: the arithmetic of limits; where buckets and windows are kept goes elsewhere."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import NamedTuple

from meshwright_sdk.units import Rate

_ROUNDING = 1e-9
"""The part of a token, and of a second, that rounding may hide: who waited as long as told is never sent away."""

WINDOW_PARTS = 64
"""A window of a limit up to this notes each taking by itself, a greater one this many parts of its length."""


class Taken(NamedTuple):
    """What taking from a bucket or a window came to; true when something was granted.

    `granted` is how many may go, and 0 when nothing was taken; `wait_s` is 0.0 when they may, else the seconds
    until what was asked for may be asked for again. `remaining` is how many more would be granted now, and
    `reset_s` the seconds until all are there again if nobody takes more: both are what a `RateLimit` header says.
    """

    granted: int
    wait_s: float
    remaining: int
    reset_s: float

    def __bool__(self) -> bool:
        return self.granted > 0


class TokenBucket:
    """A bucket that was full when it was made; rate and burst come with each call, so that they may change.

    Time is handed in, in seconds. After `reset_s` of an answer it is as good as a new one and may be forgotten.
    """

    __slots__ = ("_at", "_level")

    def __init__(self) -> None:
        self._level = inf
        self._at = 0.0

    def take(self, now: float, rate: Rate, burst: int, amount: int = 1) -> Taken:
        """Take all of `amount` or nothing; raises ValueError unless it is from 1 to the burst."""
        if not 1 <= amount <= burst:
            raise ValueError(f"amount: expected 1 to the burst of {burst}; got {amount}")
        per_second = rate.per_second
        level = self._level  # in one piece: this is the usual way of a request, and calls would double its time
        if now > self._at:
            level += (now - self._at) * per_second
        self._at = now
        if level > burst:
            level = burst
        if level + _ROUNDING < amount:
            self._level = level
            return self._left(0, (amount - level) / per_second, per_second, burst)
        level = level - amount if level > amount else 0.0
        self._level = level
        return Taken(amount, 0.0, int(level + _ROUNDING), (burst - level) / per_second)

    def grant(self, now: float, rate: Rate, burst: int, amount: int = 1) -> Taken:
        """Take as many as there are, up to `amount`; raises ValueError below 1.

        When there is none, `wait_s` is the time until there is one.
        """
        if amount < 1:
            raise ValueError(f"amount: expected 1 or more; got {amount}")
        self._fill(now, rate.per_second, burst)
        return self.take(now, rate, burst, max(1, min(amount, int(self._level + _ROUNDING))))

    def _fill(self, now: float, per_second: float, burst: int) -> None:
        self._level = min(burst, self._level + max(0.0, now - self._at) * per_second)
        self._at = now

    def _left(self, granted: int, wait_s: float, per_second: float, burst: int) -> Taken:
        level = self._level
        return Taken(granted, wait_s, int(level + _ROUNDING), (burst - level) / per_second)


class SlidingWindow:
    """Never more than the limit in any span of the window's length, wherever it begins.

    A limit up to 64 is kept to exactly, with a note of each taking. A greater one is noted in 64 parts of the
    window, and each part counts until its last taking is over: a taking counts for the window and up to 1/64
    longer, never shorter. So there are 66 notes at most, about 8 KiB, whatever the limit. Limit and length come
    with each call. Time is handed in, in seconds; after `reset_s` of an answer the window is as good as a new one.
    """

    __slots__ = ("_gone", "_notes", "_total")

    def __init__(self) -> None:
        self._notes: deque[tuple[float, int]] = deque()  # time of the last taking, and how many ever up to then
        self._gone = 0
        self._total = 0

    def take(self, now: float, limit: int, window_s: float, amount: int = 1) -> Taken:
        """Take all of `amount` or nothing; raises ValueError unless it is from 1 to the limit."""
        if not 1 <= amount <= limit:
            raise ValueError(f"amount: expected 1 to the limit of {limit}; got {amount}")
        if not 0 < window_s < inf:
            raise ValueError(f"window_s: expected more than 0 seconds; got {window_s}")
        self._forget(now - window_s)
        free = limit - (self._total - self._gone)
        if amount > free:
            wait_s = self._time_of(self._total + amount - limit) + window_s - now + _ROUNDING
            return Taken(0, wait_s, max(0, free), self._notes[-1][0] + window_s - now)
        self._note(now, 0.0 if limit <= WINDOW_PARTS else window_s / WINDOW_PARTS, amount)
        return Taken(amount, 0.0, free - amount, window_s)

    def _forget(self, until: float) -> None:
        notes = self._notes
        while notes and notes[0][0] <= until:
            self._gone = notes.popleft()[1]

    def _note(self, now: float, part_s: float, amount: int) -> None:
        self._total += amount
        if part_s and self._notes and self._notes[-1][0] // part_s == now // part_s:
            self._notes.pop()
        self._notes.append((now, self._total))

    def _time_of(self, count: int) -> float:
        """Return when the taking happened with which there were `count` ever."""
        return next(time for time, total in self._notes if total >= count)
