"""`KeptBody`: a streamed body that can be sent again; whether it is, is decided elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator

from meshwright_sdk import Body, Relay, ResetError
from meshwright_sdk.headers import RawHeaders


class KeptBody:
    """Keeps what was read of a stream, up to `limit` bytes, so that another attempt begins where the first began.

    Nothing is read before it is sent, and a body above the limit is let go and streams on. Attempts read one after the
    other: what an earlier one still asks for, it does not get.
    """

    __slots__ = (
        "_abandoned",
        "_chunks",
        "_ended",
        "_length",
        "_limit",
        "_over",
        "_reader",
        "_size",
        "_source",
    )

    def __init__(self, body: Body, limit: int) -> None:
        self._length = body.length
        self._source = Relay(body)
        self._limit = limit
        self._chunks: list[bytes] | None = []
        self._size = 0
        self._ended = False
        self._over = False
        self._abandoned = False
        self._reader: _Reading | None = None

    @property
    def repeatable(self) -> bool:
        """Whether all that was read so far has been kept."""
        return self._chunks is not None

    def body(self) -> Body:
        """Return the body for the next attempt: the bytes when all of it has been read, else a stream."""
        assert self._chunks is not None
        if self._ended and not self.trailers:
            return Body(b"".join(self._chunks))
        self._abandoned = False
        self._reader = _Reading(self, self._chunks)
        return Body.stream(self._reader, length=self._length)

    async def close(self) -> None:
        """Take note that no further attempt comes; an attempt that still reads may go on."""
        self._over = True
        self._chunks = None
        if self._abandoned:
            await self._source.aclose()

    async def more(self, reader: _Reading) -> bytes:
        """Return the next chunk of the source, for the attempt that may read it."""
        if reader is not self._reader:
            raise ResetError("body: another attempt reads it now")
        try:
            chunk = await anext(self._source.chunks)
        except StopAsyncIteration:
            self._ended = True
            raise
        if self._chunks is not None:
            self._size += len(chunk)
            if self._size > self._limit:
                self._chunks = None
            else:
                self._chunks.append(chunk)
        return chunk

    async def abandon(self, reader: _Reading) -> None:
        """Take note that an attempt reads no further: the source is given up when there is no other to come."""
        if reader is self._reader:
            self._abandoned = True
            if self._over or self._chunks is None:
                await self._source.aclose()

    @property
    def trailers(self) -> RawHeaders:
        """The fields after the content, as far as they are known."""
        return self._source.trailers


class _Reading:
    """What one attempt reads: the chunks that are kept, and then the source."""

    __slots__ = ("_at", "_kept", "_of")

    def __init__(self, of: KeptBody, kept: list[bytes]) -> None:
        self._of = of
        self._kept = tuple(kept)
        self._at = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._at < len(self._kept):
            self._at += 1
            return self._kept[self._at - 1]
        return await self._of.more(self)

    @property
    def trailers(self) -> RawHeaders:
        return self._of.trailers

    async def aclose(self) -> None:
        await self._of.abandon(self)
