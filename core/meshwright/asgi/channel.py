"""`Channel`: items on their way from one task to another, bounded by their size; it knows nothing of the items."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

HIGH_WATER_BYTES = 64 * 1024
"""Above this size of unread items `room` waits."""


class Channel(Generic[T]):
    """One direction between two tasks: `push` and then wait for `room`; `pop` gives None after the end."""

    __slots__ = ("_items", "_not_empty", "_room", "_size", "ended")

    def __init__(self) -> None:
        self._items: deque[tuple[T, int]] = deque()
        self._size = 0
        self._room = asyncio.Event()
        self._room.set()
        self._not_empty = asyncio.Event()
        self.ended = False

    def push(self, item: T, size: int) -> None:
        """Add an item of `size` bytes, whatever the bound; does nothing after the end."""
        if self.ended:
            return
        self._items.append((item, size))
        self._size += size
        self._not_empty.set()
        if self._size > HIGH_WATER_BYTES:
            self._room.clear()

    async def room(self) -> None:
        """Return when the reader has kept up, or the channel has ended."""
        await self._room.wait()

    async def pop(self) -> T | None:
        """Return the next item; waits for it. None once the channel has ended and everything was taken."""
        await self._not_empty.wait()
        if not self._items:
            return None
        item, size = self._items.popleft()
        self._size -= size
        if self._size <= HIGH_WATER_BYTES:
            self._room.set()
        if not self._items and not self.ended:
            self._not_empty.clear()
        return item

    def end(self) -> None:
        """Let the reader take what is there, and then nothing more; whoever waits for room is released."""
        self.ended = True
        self._not_empty.set()
        self._room.set()
