"""`AppCall`: one request to an ASGI application and its answer as it comes; which application is decided elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from meshwright_sdk.asgi import App, Message, Scope, clean_headers
from meshwright_sdk.body import Body
from meshwright_sdk.errors import ClientGoneError, MeshwrightError, PluginError, UpstreamTimeoutError
from meshwright_sdk.headers import Headers
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response
from meshwright_sdk.tasks import Tasks

logger = logging.getLogger("meshwright.asgi")

HIGH_WATER_BYTES = 64 * 1024
"""Above this many unread bytes of its answer an application waits in `send`."""

CANCEL_WAIT_S = 1.0
"""How long giving up a response waits for its application to let go of what it holds."""

Failed = Callable[[Exception], Exception]
"""Is told what an application raises once its head is out; returns what the reader of its answer is told."""


class AppCall:
    """One request to an ASGI application, and its answer as it comes.

    The application runs in a task of its own, because it goes on while its answer is being read. What it
    sends is kept up to HIGH_WATER_BYTES; beyond that `send` waits for the reader. When the answer is given up,
    `receive` says http.disconnect, `send` raises OSError, and the application is cancelled after `linger_s`.

    An instance is also the source of the response's body. Without `failed` its reader is told what the
    application raised, and what is raised after the answer is logged.
    """

    __slots__ = (
        "_answer",
        "_app",
        "_body",
        "_chunks",
        "_closed",
        "_content",
        "_departure",
        "_ended",
        "_error",
        "_failed",
        "_gone",
        "_headers",
        "_length",
        "_linger_s",
        "_loop",
        "_method",
        "_reader",
        "_received",
        "_scope",
        "_sent",
        "_size",
        "_status",
        "_task",
        "_timeout_s",
        "_writer",
    )

    def __init__(
        self,
        app: App,
        scope: Scope,
        request: Request,
        *,
        timeout_s: float | None = None,
        linger_s: float = 0.0,
        failed: Failed | None = None,
    ) -> None:
        self._app = app
        self._scope = scope
        self._body = request.body
        self._method = request.method
        self._timeout_s = timeout_s
        self._linger_s = linger_s
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Response] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None
        self._content: AsyncIterator[bytes] | None = None
        self._received = False
        self._departure: asyncio.Event | None = None
        self._gone = False
        self._closed = False
        self._status = 0
        self._headers = Headers()
        self._length: int | None = None
        self._sent = 0
        self._chunks: list[bytes] = []
        self._size = 0
        self._ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    async def respond(self, tasks: Tasks, name: str) -> Response:
        """Start the application in `tasks` and return its answer, once the head of it is there.

        An answer that comes whole has its bytes. Raises what the application raises, PluginError when it ends
        without an answer, UpstreamTimeoutError when there is none after `timeout_s`.
        """
        self._task = tasks.spawn(self._run(), name=name)
        timer = self._loop.call_later(self._timeout_s, self._expire) if self._timeout_s is not None else None
        try:
            return await self._answer
        except (asyncio.CancelledError, UpstreamTimeoutError):
            await self.aclose()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _expire(self) -> None:
        if not self._answer.done():
            self._answer.set_exception(UpstreamTimeoutError("asgi: no answer in time"))

    async def _run(self) -> None:
        error: Exception | None = None
        try:
            await self._app(self._scope, self.receive, self.send)
        except Exception as raised:
            error = raised
        except asyncio.CancelledError:
            self._gone = True
            self._finish(PluginError("asgi: the application was cancelled"))
            raise
        self._finish(error)

    def _finish(self, error: Exception | None) -> None:
        if self._ended or (self._closed and error is None):
            self._report(error)
            return
        if error is None:
            what = "its answer was complete" if self._status else "it answered"
            error = PluginError(f"asgi: the application ended before {what}")
        elif self._gone and isinstance(error, OSError):
            error = ClientGoneError("client: closed the connection")
        self._ended = True
        self._error = error
        if self._answer.done():
            if self._gone or self._closed:
                self._report(error)
            self._wake_reader()
        else:
            self._answer.set_exception(error)

    def _report(self, error: Exception | None) -> None:
        """Tell of what nobody waits for: the response is over."""
        if error is None or (self._gone and isinstance(error, OSError | MeshwrightError)):
            return
        if self._failed is not None:
            self._failed(error)
            return
        name = self._task.get_name() if self._task else "application"
        logger.error("%s failed after its response", name, exc_info=error)

    # What the application calls

    @property
    def unread(self) -> bool:
        """Whether nothing of the request's content has been asked for."""
        return not self._received and self._content is None

    async def receive(self) -> Message:
        """Give the request's content, then wait for the response's end or the client's."""
        over = self._gone or self._closed
        if not self._received and not over:
            return await self._receive_content()
        if not self._ended and not over:
            if self._departure is None:
                self._departure = asyncio.Event()
            await self._departure.wait()
        return {"type": "http.disconnect"}

    async def _receive_content(self) -> Message:
        data = self._body.data
        if data is not None:
            self._received = True
            return {"type": "http.request", "body": data, "more_body": False}
        if self._content is None:
            self._content = aiter(self._body)
        try:
            chunk = await anext(self._content, None)
        except ClientGoneError:
            self._received = self._gone = True
            return {"type": "http.disconnect"}
        self._received = chunk is None
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def send(self, message: Message) -> None:
        """Take the head or some content; waits while the reader is behind.

        Raises OSError when the client is gone, RuntimeError for a message out of order, ValueError for headers
        that are none.
        """
        if self._gone:
            raise BrokenPipeError("asgi: the client is gone")
        kind = message["type"]
        if kind == "http.response.start" and not self._status:
            self._take_head(message)
        elif kind == "http.response.body" and self._status and not self._ended:
            self._take_content(message.get("body", b""), more=message.get("more_body", False))
            while self._size > HIGH_WATER_BYTES and not self._ended:
                await self._wait_for_reader()
        else:
            expected = "http.response.body" if self._status and not self._ended else "http.response.start once"
            raise RuntimeError(f"asgi: expected {'nothing more' if self._ended else expected}; got {kind!r}")

    def _take_head(self, message: Message) -> None:
        self._headers = Headers.from_raw(clean_headers(message.get("headers", ())))
        declared = self._headers.get_bytes(b"content-length")
        self._length = int(declared) if declared is not None else None
        self._status = int(message["status"])
        # Content that follows at once leaves with the head; a head alone is let go in the loop's next turn.
        self._loop.call_soon(self._release)

    def _take_content(self, data: bytes, *, more: bool) -> None:
        self._sent += len(data)
        self._check_length(more=more)
        if data and not self._bodiless:
            self._chunks.append(bytes(data))
            self._size += len(data)
        if not more:
            self._ended = True
            if self._departure is not None:
                self._departure.set()
        self._release()
        self._wake_reader()

    def _check_length(self, *, more: bool) -> None:
        """Raise for content that is not as long as was declared; too much of it at once, not at its end."""
        if (
            self._length is None
            or self._bodiless
            or (self._sent <= self._length if more else self._sent == self._length)
        ):
            return
        got = f"{self._sent} or more" if more else f"{self._sent}"
        raise RuntimeError(f"asgi: expected {self._length} bytes as in content-length; got {got}")

    @property
    def _bodiless(self) -> bool:
        return self._method == "HEAD" or self._status in (101, 204, 304)

    def _release(self) -> None:
        if self._answer.done() or self._error is not None:
            return
        if self._ended:
            body, self._chunks = Body(b"".join(self._chunks)), []
        else:
            body = Body.stream(self, length=self._length)
        self._answer.set_result(Response(self._status, self._headers, body))

    async def _wait_for_reader(self) -> None:
        self._writer = self._loop.create_future()
        await self._writer
        if self._gone:
            raise BrokenPipeError("asgi: the client is gone")

    # What the reader of the response's body calls

    def __aiter__(self) -> AppCall:
        return self

    async def __anext__(self) -> bytes:
        """Return what the application has sent since the last call; waits for it to send some."""
        while not self._chunks:
            if self._error is not None:
                raise self._failed(self._error) if self._failed is not None else self._error
            if self._ended or self._gone:
                raise StopAsyncIteration
            self._reader = self._loop.create_future()
            await self._reader
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        self._wake_writer()
        return data

    async def aclose(self) -> None:
        """Give up what is left of the answer; one that is complete is left to end by itself."""
        if self._ended or self._gone or self._closed:
            return
        self._closed = True
        # Who has read as much as was declared has not left early: what the application still sends is too much.
        self._gone = bool(self._chunks) or self._length is None or self._sent < self._length
        self._chunks.clear()
        self._size = 0
        self._wake_writer()
        self._wake_reader()
        if self._departure is not None:
            self._departure.set()
        if self._task is None:
            return
        if self._linger_s > 0:
            end = self._loop.call_later(self._linger_s, self._task.cancel)
            self._task.add_done_callback(lambda _: end.cancel())
        elif self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=CANCEL_WAIT_S)

    def _wake_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    def _wake_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None and not writer.done():
            writer.set_result(None)
