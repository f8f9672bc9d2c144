"""`Entries`: a map with times to live and a bound; what the entries mean goes elsewhere."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush
from math import inf
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_CLEANED_AT_ONCE = 8


class Entry(NamedTuple, Generic[T]):
    """A value, the time when it ends, and the time at which that is looked at (not later than it ends)."""

    value: T
    ends: float
    noted: float


class Entries(Generic[T]):
    """Values by key, each until its time, and never more than `limit` of them.

    A few of those whose time is over make room for each new key; when there are none, the one that was used
    the longest ago does. Time is handed in with each call, in seconds that never go back.
    """

    __slots__ = ("_entries", "_limit", "_notes")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[str, Entry[T]] = OrderedDict()
        self._notes: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str, now: float) -> Entry[T] | None:
        """Return the entry of `key`, or None when there is none or its time is over."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.ends <= now:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: str, value: T, now: float, ends: float = inf) -> None:
        """Store the value of `key` until `ends`, in place of any before it.

        An end that moves away needs no new note: the old one is moved on when its time comes.
        """
        before = self._entries.get(key)
        if before is None:
            self._make_room(now)
        noted = before.noted if before is not None else inf
        self._entries[key] = Entry(value, ends, min(noted, ends))
        self._entries.move_to_end(key)
        if ends < noted:
            self._note(key, ends)

    def pop(self, key: str, now: float) -> bool:
        """Remove the entry of `key`; return whether there was one whose time was not over."""
        entry = self._entries.pop(key, None)
        return entry is not None and entry.ends > now

    def _note(self, key: str, time: float) -> None:
        """Have `key` looked at when `time` comes; notes about what is gone may not outgrow the others."""
        heappush(self._notes, (time, key))
        if len(self._notes) > 2 * len(self._entries) + 64:
            self._notes = [note for note in set(self._notes) if self._is_current(*note)]
            heapify(self._notes)

    def _is_current(self, time: float, key: str) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.noted == time

    def _make_room(self, now: float) -> None:
        for _ in range(_CLEANED_AT_ONCE):
            if not self._notes or self._notes[0][0] > now:
                break
            self._look_at(heappop(self._notes), now)
        if len(self._entries) >= self._limit:
            self._entries.popitem(last=False)

    def _look_at(self, note: tuple[float, str], now: float) -> None:
        """Remove what has ended; note again what has been prolonged."""
        time, key = note
        if not self._is_current(time, key):
            return
        entry = self._entries[key]
        if entry.ends <= now:
            del self._entries[key]
            return
        self._entries[key] = entry._replace(noted=entry.ends)
        if entry.ends < inf:
            heappush(self._notes, (entry.ends, key))
