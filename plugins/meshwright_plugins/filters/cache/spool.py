"""`Spool`: a body that comes as fast as it can, however slow its reader is; what the copy is for goes elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum

from meshwright_sdk import Body, Relay, ResetError, Tasks


class Broken(Enum):
    """Why there is no copy."""

    TOO_LONG = "it has more than the limit"
    LEFT = "it broke off, or its reader left"


class Room:
    """How many bytes all the bodies on their way hold, and how many they may."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


class Spool(Relay):
    """Chunks that are read ahead of the reader, up to `limit` bytes, so that a slow one keeps nobody waiting.

    What it holds is counted in `room`, and is too long when there is none left. `done` is called once: with the whole
    content, or why there is none. What is beyond the limit is passed on as the reader takes it, and nothing of it is
    kept.
    """

    __slots__ = (
        "_done",
        "_error",
        "_held",
        "_kept",
        "_limit",
        "_next",
        "_over",
        "_room",
        "_task",
        "_waiter",
    )

    def __init__(
        self,
        body: Body,
        limit: int,
        done: Callable[[bytes | Broken], None],
        tasks: Tasks,
        room: Room,
    ) -> None:
        super().__init__(body)
        self._limit = limit
        self._done: Callable[[bytes | Broken], None] | None = done
        self._kept: list[bytes] = []
        self._held = 0
        self._room = room
        self._next = 0
        self._error: Exception | None = None
        self._over = False
        self._waiter: asyncio.Future[None] | None = None
        self._task = tasks.spawn(self._read_ahead(), name="body for the cache")

    async def _read_ahead(self) -> None:
        room = self._room
        try:
            async for chunk in self.chunks:
                self._kept.append(chunk)
                self._held += len(chunk)
                room.used += len(chunk)
                if self._held > self._limit or room.used > room.limit:
                    self._end(Broken.TOO_LONG)
                    return
                self._wake()
            self._end(b"".join(self._kept))
        except asyncio.CancelledError:
            self._error = ResetError("cache: the body was given up before its end")  # it must not look complete
            raise
        except Exception as error:
            self._error = error
        finally:
            self._over = True
            self._end(Broken.LEFT)
            self._wake()

    async def __anext__(self) -> bytes:
        while self._next == len(self._kept) and not self._over:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._next < len(self._kept):
            chunk = self._kept[self._next]
            if self._done is None:
                self._kept[self._next] = b""  # nobody needs a copy
            self._next += 1
            return chunk
        self._release()
        if self._error is not None:
            raise self._error
        return await anext(self.chunks)

    async def aclose(self) -> None:
        """Give up the rest; what is not whole by now is no copy."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._end(Broken.LEFT)  # a task that was cancelled before it began has not
        self._release()
        await super().aclose()

    def _end(self, content: bytes | Broken) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(content)

    def _release(self) -> None:
        """Hold nothing any more; what comes from now on is passed on at once."""
        self._room.used -= self._held
        self._held = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
