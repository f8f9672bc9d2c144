"""`tee`: a body that somebody else is to have too, once it has passed by; what is done with the copy goes elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable

from meshwright_sdk.body import Body
from meshwright_sdk.headers import RawHeaders


def tee(body: Body, limit: int, done: Callable[[bytes | None], None]) -> Body:
    """Return a body with the same content, of which `done` is given a copy when its end has passed by.

    `done` is called once: at once for a body that is there whole, which is returned itself; with None for one of more
    than `limit` bytes and for one that broke off. Of a longer one nothing is kept. Assign what is returned in place of
    `body`: `response.body = tee(response.body, …)`.
    """
    if body.data is not None:
        done(body.data if len(body.data) <= limit else None)
        return body
    if body.length is not None and body.length > limit:
        done(None)
        return body
    return Body.stream(_Tee(body.take(), limit, done), length=body.length)


class _Tee:
    """Chunks passed on and kept; closing it closes where they come from."""

    __slots__ = ("_chunks", "_done", "_kept", "_room", "_source")

    def __init__(self, source: AsyncIterable[bytes], limit: int, done: Callable[[bytes | None], None]) -> None:
        self._source = source
        self._chunks: AsyncIterator[bytes] = aiter(source)
        self._kept: list[bytes] = []
        self._room = limit
        self._done: Callable[[bytes | None], None] | None = done

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            self._end(b"".join(self._kept))
            raise
        except BaseException:
            self._end(None)
            raise
        if self._done is not None:
            self._room -= len(chunk)
            if self._room < 0:
                self._end(None)
            else:
                self._kept.append(chunk)
        return chunk

    @property
    def trailers(self) -> RawHeaders:
        """Those of the body."""
        trailers: RawHeaders = getattr(self._source, "trailers", [])
        return trailers

    async def aclose(self) -> None:
        """Give up the rest; what is not whole by now is no copy."""
        self._end(None)
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()

    def _end(self, content: bytes | None) -> None:
        done, self._done = self._done, None
        self._kept = []
        if done is not None:
            done(content)
