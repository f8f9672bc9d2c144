"""`UpstreamConnection`: one HTTP/1.1 connection to an endpoint. Over 400 lines: a state machine reads best whole."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterable
from time import time
from typing import TYPE_CHECKING, Protocol, cast

from meshwright.http1.backlog import Backlog
from meshwright.http1.framing import ChunkedReader, ContentReader, CountedReader, UnboundedReader
from meshwright.http1.grammar import HEAD_END, GrammarError, read_fields, read_status_line, refuse_misplaced
from meshwright.http1.request_sink import RequestSink, request_line
from meshwright.http1.rules import (
    NO_FIELDS,
    REMEMBERED_BYTES,
    Head,
    MessageWriter,
    date_at,
    has_no_body,
    keeps_alive,
    read_head,
    trailers_of,
)
from meshwright.http1.stream import BodyStream
from meshwright.http1.tunnel import TunnelInput, UpstreamTunnel
from meshwright.net.keepalive import watch_peer
from meshwright_sdk.body import Body
from meshwright_sdk.errors import (
    DownstreamError,
    MeshwrightError,
    ProtocolError,
    ResetError,
    UpstreamTimeoutError,
)
from meshwright_sdk.headers import Headers
from meshwright_sdk.response import Response

if TYPE_CHECKING:
    from meshwright_sdk.request import Interim, Request

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 256
MAX_INTERIM = 16
"""Interim responses that one request may have."""

_PASSED_ON = frozenset(range(102, 200))
"""Interim responses that the client gets too: a 100 answers what this hop asked for."""

_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
"""Methods whose lack of content is told (RFC 9110, section 8.6)."""


class Owner(Protocol):
    """What a connection tells the pool it belongs to."""

    first_byte_timeout_s: float
    idle_timeout_s: float

    def release(self, connection: UpstreamConnection) -> None:
        """The connection is idle and may be used again."""

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection is closed."""


class UpstreamConnection(asyncio.Protocol):
    """One connection to an endpoint, carrying one exchange at a time.

    `exchange` sends a request and returns when the head of the response is there. A response that came whole
    with its head has its bytes; another one streams, and holds the connection until its end.
    """

    __slots__ = (
        "_backlog",
        "_begun",
        "_behind",
        "_content",
        "_informed",
        "_interim",
        "_keep_alive",
        "_last_block",
        "_last_head",
        "_last_status",
        "_last_version",
        "_loop",
        "_method",
        "_owner",
        "_paused",
        "_pump",
        "_request_body",
        "_sent",
        "_stream",
        "_transport",
        "_tunnel",
        "_upgrade",
        "_waiter",
        "_writable",
        "_writer",
        "_written_bytes",
        "deadline",
        "exchanges",
        "idle_since",
    )

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.deadline = 0.0
        self.idle_since = 0.0
        self.exchanges = 0
        self._paused = False
        self._writable: asyncio.Future[None] | None = None
        self._written_bytes = 0
        self._backlog: Backlog | None = None
        self._behind = False
        self._tunnel: UpstreamTunnel | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._writer = MessageWriter()
        self._last_block = b""
        self._last_version, self._last_status, self._last_head = "", 0, NO_FIELDS
        self._begun = b""
        self._content: ContentReader | None = None
        self._stream: BodyStream | None = None
        self._request_body: BodyStream | None = None
        self._pump: asyncio.Task[None] | None = None
        self._interim: Interim | None = None
        self._informed = 0
        self._keep_alive = False
        self._sent = True
        self._method = self._upgrade = ""

    # The exchange

    async def exchange(self, request: Request) -> Response:
        """Send `request` and return its response; raises UpstreamError, or what the request's body raises."""
        if self._transport.is_closing():
            raise ResetError("upstream: closed the connection before it was used")
        self.exchanges += 1
        self._method = request.method
        self._interim = request.interim
        self.deadline = self._loop.time() + self._owner.first_byte_timeout_s
        waiter: asyncio.Future[Response] = self._loop.create_future()
        self._waiter = waiter
        try:
            self._send(request)
            return await waiter
        except BaseException:
            self._leave(waiter)
            del waiter  # it has the exception, whose traceback has this frame: a cycle with all that the request held
            raise

    def _leave(self, waiter: asyncio.Future[Response]) -> None:
        """Give up an exchange whose caller is gone; its answer may have come in this same turn of the loop.

        A whole answer has released the connection, which may carry somebody else's request by now.
        """
        if self._waiter is waiter:
            self._waiter = None
            self.abort()
        elif not waiter.cancelled() and waiter.exception() is None:
            response = waiter.result()
            if response.tunnel is not None or (self._stream is not None and response.body.source is self._stream):
                self.abort()

    def _send(self, request: Request) -> None:
        start = request_line(request)
        upgrade = self._upgrade = request.upgrade
        more = [b"connection: upgrade", b"upgrade: " + upgrade.encode("latin-1")] if upgrade else []
        body = request.body
        data = body.data
        if data is None:
            self._send_stream(start, request, more)
            return
        if data or request.method in _WITH_BODY:
            more.append(b"content-length: %d" % len(data))
        message = self._writer.write(start, request.headers.raw, more, data)
        self._written_bytes += len(message)
        self._transport.write(message)  # it is not closing: `exchange` has looked

    def _send_stream(self, start: bytes, request: Request, more: list[bytes]) -> None:
        body = request.body
        length = body.length
        more.append(b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length)
        source = body.take()
        self._sent = False
        self.write(self._writer.write(start, request.headers.raw, more, b""))
        sink = RequestSink(self, body)
        if isinstance(source, BodyStream):
            self._request_body = source
            source.pipe(sink)
            if self._writable is not None:
                source.pause()
        else:
            self._pump = self._loop.create_task(self._pump_body(source, body, sink), name="request body")

    async def _pump_body(self, source: AsyncIterable[bytes], body: Body, sink: RequestSink) -> None:
        try:
            async for data in source:
                if data:
                    sink.write(data)
                    await self.drain()
        except Exception as error:
            sink.fail(error)
        else:
            sink.end()
        finally:
            await body.aclose()

    def write_content(self, data: bytes) -> None:
        """Send a piece of the request's body, framed; each has the time of an idle body."""
        if not self._paused:
            self.deadline = self._loop.time() + self._owner.idle_timeout_s
        self.write(data)

    def take_tunnel_input(self, source: BodyStream) -> None:
        """Send everything that comes from `source`, no faster than the endpoint takes it."""
        self._request_body = source
        source.pipe(TunnelInput(self))
        if self._writable is not None:
            source.pause()

    def request_sent(self) -> None:
        """Take note that the request's body is complete."""
        self._sent = True
        self._request_body = None
        if self._waiter is not None:
            self.deadline = self._loop.time() + self._owner.first_byte_timeout_s

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            if self._waiter is not None:
                self._read_head(data)
            elif self._content is not None:
                self._read_content(self._content, data)
            elif self._tunnel is not None:
                self._tunnel.incoming.feed(data)
            else:
                self.abort()  # bytes that answer no request: they must never become the next one's answer
        except (GrammarError, MeshwrightError) as error:
            cause = error if isinstance(error, MeshwrightError) else ProtocolError(f"upstream: {error}")
            self._fail(cause)
            self.abort()

    def _read_head(self, data: bytes) -> None:
        begun = self._begun
        if begun:
            data = begun + data
            end = data.find(HEAD_END, max(0, len(begun) - 3))
        else:
            end = data.find(HEAD_END)
        if (len(data) if end < 0 else end) > MAX_HEAD_BYTES:
            raise ProtocolError(f"upstream: expected a head of at most {MAX_HEAD_BYTES} bytes")
        if end < 0:
            _refuse_begun(data)
            self._begun = data
            return
        self._begun = b""
        block = data[:end]
        if block != self._last_block:
            self._read_block(block)
        version, status, head = self._last_version, self._last_status, self._last_head
        rest = data[end + 4 :]
        if status < 200 and status != 101:
            self._inform(status, head)
            if rest:
                self._read_head(rest)
            return
        if self._waiter is None or self._waiter.done():
            return  # its caller was cancelled, and closes the connection
        if head.chunked and version != "1.1":
            raise ProtocolError("upstream: expected no transfer coding in HTTP/1.0 (RFC 9112, section 6.1)")
        self._keep_alive = keeps_alive(head, version)
        self.deadline = self._loop.time() + self._owner.idle_timeout_s
        if status == 101:
            self._begin_tunnel(head, rest)
        else:
            self._answer(status, head, rest)

    def _read_block(self, block: bytes) -> None:
        """Read a head; that of an endpoint's next response often is the same."""
        line, _, fields = block.partition(b"\r\n")
        version, status = read_status_line(line)
        lines = fields.split(b"\r\n") if fields else []
        if len(lines) > MAX_HEADERS:
            raise ProtocolError(f"upstream: expected at most {MAX_HEADERS} fields; got {len(lines)}")
        head = read_head(read_fields(lines), ProtocolError)
        self._last_block = block if len(block) <= REMEMBERED_BYTES else b""
        self._last_version, self._last_status, self._last_head = version, status, head

    def _inform(self, status: int, head: Head) -> None:
        """Pass an interim response on (RFC 9110, section 15.2); what it would say of content is not there."""
        self._informed += 1
        if self._informed > MAX_INTERIM:
            raise ProtocolError(f"upstream: expected at most {MAX_INTERIM} interim responses")
        if head.chunked or head.length is not None:
            raise ProtocolError("upstream: expected an interim response without content")
        if self._interim is not None and status in _PASSED_ON:
            self._interim.inform(status, head.fields)

    def _answer(self, status: int, head: Head, data: bytes) -> None:
        """Answer the waiting request: with a whole body when all of it is here, else with a stream."""
        waiter = self._waiter
        assert waiter is not None
        if head.length == len(data) and not has_no_body(self._method, status):
            self._waiter = None
            body = Body(data)  # what nearly always comes: all of it and nothing else
            self._finish_if_sent()
        else:
            body = self._begin_body(status, head, data)
        fields = head.fields.copy()
        if not head.dated:
            fields.append((b"date", date_at(int(time()))))  # RFC 9110, section 6.6.1
        waiter.set_result(Response(status, Headers.from_raw(fields), body))

    def _begin_body(self, status: int, head: Head, data: bytes) -> Body:
        content = self._content_reader(status, head)
        piece, rest = content.feed(data) if not content.complete else (b"", data)
        if rest:
            self._keep_alive = False  # what it is belongs to no request, and goes with the connection
        if content.complete and not content.trailers:
            self._waiter = None
            self._finish_if_sent()
            return Body(piece)
        stream = BodyStream(self)
        body = Body.stream(stream, length=head.length)
        if piece:
            stream.feed(piece)
        self._waiter = None
        self._stream = stream
        self._content = content
        if content.complete:
            self._end_body(content)
        elif content.behind:
            self._fall_behind(content)
        return body

    def _content_reader(self, status: int, head: Head) -> ContentReader:
        if has_no_body(self._method, status):
            if status == 204 and head.has_body:
                self._keep_alive = False  # which it may send all the same, after the next request (RFC 9110, 8.6)
            return CountedReader(0)
        if head.chunked:
            return ChunkedReader()
        if head.length is not None:
            return CountedReader(head.length)
        self._keep_alive = False
        return UnboundedReader()

    def _read_content(self, content: ContentReader, data: bytes) -> None:
        piece, rest = content.feed(data)
        if rest:
            self._keep_alive = False
        if piece and self._stream is not None:
            self.deadline = self._loop.time() + self._owner.idle_timeout_s
            self._stream.feed(piece)
        if content.complete:
            self._end_body(content)
        elif content.behind:
            self._fall_behind(content)

    def _fall_behind(self, content: ContentReader) -> None:
        """Leave the rest of what came to later turns of the event loop, and read no more before."""
        if not self._behind and not self._transport.is_closing():
            self._behind = True
            if not self._paused:
                self._transport.pause_reading()
            self._loop.call_soon(self._catch_up, content)

    def _catch_up(self, content: ContentReader) -> None:
        self._behind = False
        if content is self._content:
            self.data_received(b"")
        if not self._behind and not self._paused and not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        while self._stream is not None and self._content is not None and self._content.behind:
            self.data_received(b"")
        if isinstance(self._content, UnboundedReader) and exc is None and _is_whole(self._transport):
            self._end_body(self._content)
        elif self._tunnel is not None and exc is None:
            self._tunnel.incoming.end()
        else:
            self._fail(ResetError("upstream: closed the connection before its answer was complete"))
        self._tunnel = None  # it refers to us
        self._owner.forget(self)
        self._unblock()

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()
        if self._request_body is not None:
            self._request_body.pause()

    def resume_writing(self) -> None:
        self._unblock()
        if self._request_body is not None:
            self._request_body.resume()

    def _unblock(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    # The end of things

    def _end_body(self, content: ContentReader) -> None:
        stream, self._stream = self._stream, None
        self._content = None
        if stream is not None:
            self._finish_if_sent()
            stream.end(trailers_of(content.trailers, self._last_head))

    def _finish_if_sent(self) -> None:
        if self._sent:
            self._finish()
        else:
            self.abort()  # an early answer: what is left of the request cannot be sent on this connection

    def _finish(self) -> None:
        keep_alive = self._keep_alive and self._writable is None and not self._transport.is_closing()
        if self._paused:
            self.resume()
        self.deadline = 0.0
        self._interim = None
        if keep_alive:
            self._informed = 0
            self.idle_since = self._loop.time()
            self._owner.release(self)
        else:
            self.close()

    def _fail(self, error: BaseException) -> None:
        waiter, self._waiter = self._waiter, None
        stream, self._stream = self._stream, None
        self._content = None
        self._interim = None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        if stream is not None:
            stream.fail(error)
        self._drop_request_body()
        if self._tunnel is not None:
            self._tunnel.incoming.fail(error)

    def _drop_request_body(self) -> None:
        body, self._request_body = self._request_body, None
        if body is not None:
            body.unpipe()
        if self._pump is not None:
            self._pump.cancel()

    def sweep(self, now: float) -> None:
        """Give up an exchange that is over its deadline, or whose endpoint takes nothing; `now` is loop time."""
        unsent = self._transport.get_write_buffer_size()
        if not unsent:
            self._backlog = None
        elif self._backlog is None:
            self._backlog = Backlog(self._written_bytes - unsent, now)
        elif self._backlog.stuck_s(self._written_bytes - unsent, now) > self._owner.idle_timeout_s:
            self._fail(UpstreamTimeoutError("upstream: takes nothing more of what it is sent"))
            self.abort()
            return
        elif self.deadline and (not self._sent or self._transport.is_closing()):
            self.deadline = now + self._owner.idle_timeout_s  # it takes what it is sent, if slowly
        if 0.0 < self.deadline < now:
            self._expire()

    def _expire(self) -> None:
        if self._waiter is not None and not self._sent and self._writable is None:
            self._fail(DownstreamError("request body: no more came in time", status=408, code="request_timeout"))
        else:
            self._fail(UpstreamTimeoutError("upstream: no answer in time"))
        self.abort()

    def fail_request(self, error: BaseException) -> None:
        """Give up the exchange: the request's body broke off with `error`."""
        self._pump = None  # it is what calls, and must not be cancelled
        self._fail(error)
        self.abort()

    def abort(self) -> None:
        """Close the connection at once; whoever waits for it is told by `connection_lost`."""
        self._drop_request_body()
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close the connection once what was written is sent, which has the time of an idle body."""
        self.deadline = self._loop.time() + self._owner.idle_timeout_s
        self._transport.close()

    @property
    def closing(self) -> bool:
        """Whether the connection can carry no further exchange."""
        return self._transport.is_closing()

    # The flow of the response's stream, and writing for sinks and tunnels

    def demand(self) -> None:
        """Nothing to do: a response comes without being asked for."""

    def pause(self) -> None:
        """Stop reading from the endpoint; its slowness is then not its fault."""
        self.deadline = 0.0
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            if not self._behind:
                self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused and not self._transport.is_closing():
            self._paused = False
            if self._tunnel is None:
                self.deadline = self._loop.time() + self._owner.idle_timeout_s
            if not self._behind:
                self._transport.resume_reading()

    def abandon(self) -> None:
        """Nobody reads the rest of the response."""
        self._stream = None
        self.abort()

    def write(self, data: bytes) -> None:
        """Send raw bytes; on a connection that is closing they are dropped."""
        if not self._transport.is_closing():
            self._written_bytes += len(data)
            self._transport.write(data)

    async def drain(self) -> None:
        """Return when the transport's buffer has room; raises ResetError when the connection is gone."""
        if self._transport.is_closing():
            raise ResetError("upstream: closed the connection")
        if self._writable is not None:
            await asyncio.shield(self._writable)

    def _begin_tunnel(self, head: Head, rest: bytes) -> None:
        waiter = self._waiter
        assert waiter is not None
        if not head.upgrade or head.upgrade != self._upgrade.encode("latin-1"):
            raise ProtocolError("upstream: switched to a protocol that was not asked for")
        self.deadline = 0.0
        watch_peer(self._transport)
        self._waiter = None
        self._interim = None
        self._tunnel = UpstreamTunnel(self)
        if rest:
            self._tunnel.incoming.feed(rest)
        response = Response(101, Headers.from_raw(head.fields.copy()))
        response.tunnel = self._tunnel
        waiter.set_result(response)


def _is_whole(transport: asyncio.BaseTransport) -> bool:
    """Return whether what came is all that was sent: over TLS only a closure alert says so (RFC 8446, section 6.1).

    OpenSSL is asked, as event loops tell the end of the socket and that of TLS alike.
    """
    connection = transport.get_extra_info("ssl_object")
    if connection is None:
        return True
    try:
        return not connection.read(1)
    except ssl.SSLZeroReturnError:
        return True
    except (ssl.SSLError, OSError):
        return False


def _refuse_begun(data: bytes) -> None:
    """Raise GrammarError for what is not the beginning of a response."""
    refuse_misplaced(data)
    line, ended, _ = data.partition(b"\r\n")
    if ended:
        read_status_line(line)
