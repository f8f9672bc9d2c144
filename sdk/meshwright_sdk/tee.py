"""`tee`: a body that somebody else is to have too, once it has passed by; what is done with the copy goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from meshwright_sdk.body import Body
from meshwright_sdk.relay import Relay


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
    return Body.stream(_Tee(body, limit, done), length=body.length)


class _Tee(Relay):
    """Chunks passed on and kept."""

    __slots__ = ("_done", "_kept", "_room")

    def __init__(self, body: Body, limit: int, done: Callable[[bytes | None], None]) -> None:
        super().__init__(body)
        self._kept: list[bytes] = []
        self._room = limit
        self._done: Callable[[bytes | None], None] | None = done

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self.chunks)
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

    async def aclose(self) -> None:
        """Give up the rest; what is not whole by now is no copy."""
        self._end(None)
        await super().aclose()

    def _end(self, content: bytes | None) -> None:
        done, self._done = self._done, None
        self._kept = []
        if done is not None:
            done(content)
