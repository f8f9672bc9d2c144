"""`Relay`: a body's chunks on their way through a filter; what is done with them goes elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator

from meshwright_sdk.body import Body
from meshwright_sdk.headers import RawHeaders


class Relay:
    """Passes a streamed body on: its chunks, its trailers, and that its reader gives it up.

    A base for what looks at chunks, bounds or keeps them: override `__anext__`, which takes the next one from
    `chunks`, and make a body of it by `Body.stream(relay, length=body.length)`. Takes the stream, so that it raises
    RuntimeError for one that was already read.
    """

    __slots__ = ("_body", "chunks")

    def __init__(self, body: Body) -> None:
        self.chunks: AsyncIterator[bytes] = aiter(body.take())
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self.chunks)

    @property
    def trailers(self) -> RawHeaders:
        """Those of the body."""
        return self._body.trailers.raw

    async def aclose(self) -> None:
        """Give up the rest."""
        await self._body.aclose()
