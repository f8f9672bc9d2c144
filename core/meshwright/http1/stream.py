"""`BodyStream`: content on its way from one connection to one reader; no HTTP syntax goes in here."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from meshwright_sdk.errors import ResetError
from meshwright_sdk.headers import RawHeaders

HIGH_WATER_BYTES = 64 * 1024
"""Above this many unread bytes the connection that feeds a stream is told to stop reading."""


class Flow(Protocol):
    """What a stream asks of the connection that feeds it."""

    def demand(self) -> None:
        """The reader wants the first bytes."""

    def pause(self) -> None:
        """Stop feeding; may be called when already stopped."""

    def resume(self) -> None:
        """Go on feeding; may be called when never stopped."""

    def abandon(self) -> None:
        """Nobody will read the rest."""


class Sink(Protocol):
    """What takes a piped stream: called from the feeding connection's callbacks, never awaited."""

    def write(self, data: bytes) -> None:
        """Take some bytes; never empty."""

    def end(self) -> None:
        """The content is complete."""

    def fail(self, error: BaseException) -> None:
        """The content broke off."""


class _Nowhere:
    """The flow of a stream that has ended: it holds nothing, so that streams and connections do not hold each other."""

    def demand(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abandon(self) -> None: ...


_NOWHERE = _Nowhere()


class BodyStream:
    """Bytes that one connection feeds and one reader takes, pulled or piped, with bounded memory.

    A reader either iterates, or gives a sink to `pipe` and is then called for each chunk without a task or
    an await in between; it then stops and restarts the origin itself by `pause` and `resume`.
    """

    __slots__ = ("_chunks", "_demanded", "_ended", "_error", "_flow", "_sink", "_size", "_waiter", "trailers")

    def __init__(self, flow: Flow) -> None:
        self._flow: Flow = flow
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._demanded = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Sink | None = None
        self.trailers: RawHeaders = []

    def feed(self, data: bytes) -> None:
        """Take bytes from the connection; after the end they are dropped."""
        if self._ended:
            return
        if self._sink is not None:
            self._sink.write(data)
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER_BYTES:
            self._flow.pause()
        self._wake()

    def end(self, trailers: RawHeaders | None = None) -> None:
        """Take note that the content is complete, and of the fields after it."""
        if trailers:
            self.trailers = trailers
        self._ended = True
        self._flow = _NOWHERE
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.end()
        self._wake()

    def fail(self, error: BaseException) -> None:
        """Take note that the rest will never come; does nothing after the end."""
        if self._ended:
            return
        self._ended = True
        self._flow = _NOWHERE
        self._error = error
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.fail(error)
        self._wake()

    @property
    def ended(self) -> bool:
        """Whether the connection has fed everything, or has failed."""
        return self._ended

    @property
    def demanded(self) -> bool:
        """Whether its reader has asked for the first bytes."""
        return self._demanded

    def buffered(self) -> bytes:
        """Take what has been fed so far and was not read yet."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        return data

    def pipe(self, sink: Sink) -> None:
        """Pass everything to `sink` from now on, what is waiting first; returns at once."""
        self._demand()
        self._sink = sink
        self._flow.resume()  # first: what is written now may fill the sink, which then stops the origin
        if self._chunks:
            sink.write(self.buffered())
        if self._ended and self._sink is sink:
            self._sink = None
            if self._error is not None:
                sink.fail(self._error)
            else:
                sink.end()

    def unpipe(self) -> None:
        """Let go of the sink; what still comes is given up."""
        self._sink = None
        self._abandon()

    def pause(self) -> None:
        """Stop the origin: the sink cannot take more."""
        self._flow.pause()

    def resume(self) -> None:
        """Let the origin go on."""
        self._flow.resume()

    def __aiter__(self) -> BodyStream:
        return self

    async def __anext__(self) -> bytes:
        """Return what has come; waits for the first byte. Raises what `fail` was given."""
        self._demand()
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._flow.resume()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        data = self.buffered()
        self._flow.resume()
        return data

    async def aclose(self) -> None:
        """Give up the rest."""
        self.close()

    def close(self) -> None:
        """Give up the rest, without waiting."""
        self._sink = None
        self._chunks.clear()
        self._size = 0
        self._abandon()

    def _abandon(self) -> None:
        if not self._ended:
            flow, self._flow = self._flow, _NOWHERE
            self._ended = True
            self._error = ResetError("body: given up before its end")
            flow.abandon()
            self._wake()

    def _demand(self) -> None:
        if not self._demanded:
            self._demanded = True
            self._flow.demand()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
