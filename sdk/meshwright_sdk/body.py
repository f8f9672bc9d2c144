"""`Body`: the content of a message, complete or streamed; framing on the wire goes elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

from meshwright_sdk.errors import BodyTooLargeError
from meshwright_sdk.headers import Headers


class Body:
    """The content of one message: bytes known in full, or chunks that are pulled once.

    `data` is the whole content, or None while it streams; `source` is what streams it, or None.
    `length` is the number of bytes when it is known beforehand. A body with `data` is replayable: it can
    be sent again. A stream can be read once, and only as fast as its reader pulls.
    """

    __slots__ = ("_taken", "data", "length", "source")

    def __init__(self, data: bytes = b"") -> None:
        self.data: bytes | None = data
        self.source: AsyncIterable[bytes] | None = None
        self.length: int | None = len(data)
        self._taken = False

    @classmethod
    def stream(cls, source: AsyncIterable[bytes], *, length: int | None = None) -> Body:
        """Return a body that is pulled from `source`; `length` promises its number of bytes."""
        body = cls.__new__(cls)
        body.data = None
        body.source = source
        body.length = length
        body._taken = False
        return body

    @property
    def replayable(self) -> bool:
        """Whether the content is held whole, so that it can be sent more than once."""
        return self.data is not None

    @property
    def spent(self) -> bool:
        """Whether a stream has had its one reader, so that nobody can read it any more."""
        return self._taken and self.data is None

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the chunks; raises RuntimeError when a stream was already read."""
        if self.data is not None:
            return _once(self.data)
        return aiter(self.take())

    def take(self) -> AsyncIterable[bytes]:
        """Hand the stream over to its one reader; raises RuntimeError when it already has one."""
        if self.source is None or self._taken:
            raise RuntimeError("body: expected to be read once; it was already read (use read() to keep it)")
        self._taken = True
        return self.source

    async def read(self, limit: int) -> bytes:
        """Return the whole content and keep it, which makes the body replayable.

        `limit` is in bytes; raises BodyTooLargeError above it, without reading further.
        """
        if self.data is None:
            if self.length is not None and self.length > limit:
                raise _too_large(limit)
            self.data = await _collect(self.take(), limit)
            self.length = len(self.data)
        if len(self.data) > limit:
            raise _too_large(limit)
        return self.data

    @property
    def trailers(self) -> Headers:
        """The fields after a chunked content, complete when the stream has ended (RFC 9110, section 6.5).

        They go on with a stream. A body that was read whole, or one in its place, is sent without them.
        """
        return Headers.from_raw(getattr(self.source, "trailers", []))

    async def aclose(self) -> None:
        """Give up the rest of a stream, so that its origin is released; does nothing on bytes."""
        close = getattr(self.source, "aclose", None)
        if close is not None:
            await close()


async def _once(data: bytes) -> AsyncIterator[bytes]:
    if data:
        yield data


async def _collect(source: AsyncIterable[bytes], limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in source:
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"body: expected at most {limit} bytes; got more")
