"""`Response`: one HTTP response on its way back, alive until its body has ended; no writing goes in here."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol

from meshwright_sdk.body import Body
from meshwright_sdk.headers import Headers

if TYPE_CHECKING:
    from meshwright_sdk.balancing import Endpoint

logger = logging.getLogger("meshwright.response")

CloseCallback = Callable[[BaseException | None], None]
"""Called once at the end of a response's life, with what cut it short, or None."""


class Tunnel(Protocol):
    """A byte stream both ways, as it stands after a 101 (RFC 9110, section 7.8)."""

    async def read(self) -> bytes:
        """Return the next bytes, or b"" at the end; raises ResetError when the peer broke off."""

    async def write(self, data: bytes) -> None:
        """Send `data` and wait until the peer's buffer has room; raises ResetError."""

    def close(self) -> None:
        """End both directions; may be called more than once."""


class Response:
    """One response; its life ends with its body, not with the return of `call_next`.

    A filter that drops a response it got from `call_next` closes it (`await response.aclose()`);
    one that wraps the body assigns `response.body`, and the old body is closed with the new one.
    `endpoint` is the upstream that answered, or None. `tunnel` is set on a 101 only.
    """

    __slots__ = ("_body", "_callbacks", "_replaced", "closed", "endpoint", "headers", "status", "tunnel")

    def __init__(
        self,
        status: int = 200,
        headers: Headers | Mapping[str, str] | None = None,
        body: Body | bytes | AsyncIterable[bytes] = b"",
    ) -> None:
        self.status = status
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self._body = body if isinstance(body, Body) else _as_body(body)
        self.endpoint: Endpoint | None = None
        self.tunnel: Tunnel | None = None
        self.closed = False
        self._callbacks: list[CloseCallback] | None = None
        self._replaced: list[Body] | None = None

    @classmethod
    def text(cls, text: str, *, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> Response:
        """Return a response of UTF-8 text."""
        return cls(status, {"content-type": content_type}, text.encode())

    @classmethod
    def json(cls, value: Any, *, status: int = 200, content_type: str = "application/json") -> Response:
        """Return a response of JSON; raises TypeError for what JSON cannot say."""
        return cls(status, {"content-type": content_type}, json.dumps(value, separators=(",", ":")).encode())

    @property
    def body(self) -> Body:
        """The content; assigning bytes, a `Body` or an async iterable of bytes replaces it.

        A content-length that no longer holds is corrected or removed by the assignment.
        """
        return self._body

    @body.setter
    def body(self, body: Body | bytes | AsyncIterable[bytes]) -> None:
        old, self._body = self._body, _as_body(body)
        if old.source is not None:
            self._replaced = [*(self._replaced or ()), old]
        if self._body.length is None:
            self.headers.remove(b"content-length")
        else:
            self.headers.set_bytes(b"content-length", b"%d" % self._body.length)

    def on_close(self, callback: CloseCallback) -> None:
        """Have `callback` called once when the body has ended, failed, or was given up; at once when it has already.

        It must not block; what it raises is logged and goes no further.
        """
        if self.closed:
            _call(callback, None)
            return
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)

    def settle(self, error: BaseException | None = None) -> None:
        """End the life of a response whose body needs no closing; a second call does nothing."""
        if self.closed:
            return
        self.closed = True
        if self._callbacks is not None:
            for callback in self._callbacks:
                try:
                    callback(error)
                except Exception:
                    logger.exception("an on_close callback raised")

    async def aclose(self, error: BaseException | None = None) -> None:
        """Give up what is left of the body and end the response's life; a second call does nothing."""
        if self.closed:
            return
        try:
            async with AsyncExitStack() as stack:
                for body in (*(self._replaced or ()), self._body):
                    stack.push_async_callback(body.aclose)
        finally:
            if self.tunnel is not None:
                self.tunnel.close()
            self.settle(error)

    @property
    def complete(self) -> bool:
        """Whether nothing of the body is still to come from elsewhere."""
        return self._body.data is not None and self._replaced is None

    @property
    def replaced(self) -> bool:
        """Whether an earlier body is to be closed with the present one."""
        return self._replaced is not None

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


def _call(callback: CloseCallback, error: BaseException | None) -> None:
    try:
        callback(error)
    except Exception:
        logger.exception("an on_close callback raised")


def _as_body(body: Body | bytes | AsyncIterable[bytes]) -> Body:
    if isinstance(body, bytes):
        return Body(body)
    return body if isinstance(body, Body) else Body.stream(body)
