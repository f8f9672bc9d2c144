"""`WaitingLine`: who waits for a permit, and who goes first; no permits, no time and no I/O go in here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

from meshwright_sdk.priority import HIGHEST_PRIORITY, LOWEST_PRIORITY

T = TypeVar("T")


class WaitingLine(Generic[T]):
    """A line of at most `limit`: the higher priority goes first, and within one who came first.

    Each operation takes the same time however many wait. Who waits is hashable, and in the line once.
    """

    __slots__ = ("_count", "_levels", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._levels: list[OrderedDict[T, None]] = [OrderedDict() for _ in range(HIGHEST_PRIORITY + 1)]

    def __len__(self) -> int:
        return self._count

    def push(self, who: T, priority: int) -> T | None:
        """Put `who` into the line; return who has to leave for that: None, the last of a lower priority, or `who`."""
        level = min(max(priority, LOWEST_PRIORITY), HIGHEST_PRIORITY)
        if self._count < self._limit:
            self._count += 1
            self._levels[level][who] = None
            return None
        for lower in self._levels[:level]:
            if lower:
                last, _ = lower.popitem(last=True)
                self._levels[level][who] = None
                return last
        return who

    def pop(self) -> T | None:
        """Take out who goes first, or return None when nobody waits."""
        for level in reversed(self._levels):
            if level:
                self._count -= 1
                return level.popitem(last=False)[0]
        return None

    def remove(self, who: T) -> bool:
        """Take `who` out, wherever it stands; return whether it was in the line."""
        for level in self._levels:
            if who in level:
                del level[who]
                self._count -= 1
                return True
        return False

    def heads(self) -> Iterator[T]:
        """Iterate over who came first in each priority."""
        return (next(iter(level)) for level in self._levels if level)
