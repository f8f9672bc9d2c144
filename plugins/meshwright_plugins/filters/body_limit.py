"""`body_limit`: how long the content of a request may be. Limits on heads and responses go elsewhere."""

from __future__ import annotations

from pydantic import Field

from meshwright_sdk import Body, BodyTooLargeError, CallNext, Context, Filter, Options, Relay, Request, Response, Size


class BodyLimitOptions(Options):
    """The limit."""

    max: Size = Field(Size("1MiB"), description="The longest content that a request may have.")


class BodyLimit(Filter[BodyLimitOptions]):
    """Answer 413 to a request whose content is longer than `max`.

    A request that says its length is refused at once, before anything of it is read. Content of unknown length
    is counted while it is forwarded, and the request breaks off with 413 when it goes beyond the limit.

    Example:
        filters:
          - body_limit: {max: 10MiB}
    """

    def __init__(self, options: BodyLimitOptions, context: Context) -> None:
        super().__init__(options, context)
        self._max = int(options.max)

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        length = request.body.length
        if length is None:
            request.body = Body.stream(_Counted(request.body, self._max))
        elif length > self._max:
            raise _too_large(self._max)
        return await call_next(request)


class _Counted(Relay):
    """Chunks passed on until they add up to more than the limit."""

    __slots__ = ("_left", "_max")

    def __init__(self, body: Body, limit: int) -> None:
        super().__init__(body)
        self._max = limit
        self._left = limit

    async def __anext__(self) -> bytes:
        chunk = await anext(self.chunks)
        self._left -= len(chunk)
        if self._left < 0:
            raise _too_large(self._max)
        return chunk


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"request body: expected at most {Size.of_bytes(limit)}; got more")
