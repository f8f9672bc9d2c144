"""`HttpServerProtocol`: one HTTP/1.1 connection from a client; what happens to a request is decided elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import httptools

from meshwright.http1.rules import (
    LAST_CHUNK,
    STATUS_LINES,
    Head,
    chunk,
    has_no_body,
    host_name,
    read_head,
    write_fields,
)
from meshwright.http1.stream import BodyStream
from meshwright.paths import normalise_path, split_target
from meshwright_sdk.body import Body
from meshwright_sdk.errors import BodyTooLargeError, ClientGoneError, DownstreamError, MeshwrightError
from meshwright_sdk.headers import Headers, RawHeaders
from meshwright_sdk.problems import problem
from meshwright_sdk.request import Address, Request
from meshwright_sdk.response import Response, Tunnel

if TYPE_CHECKING:
    import uvicorn
    from uvicorn.server import ServerState

logger = logging.getLogger("meshwright.http1")

Handle = Callable[[Request], Awaitable[Response]]

MAX_HEAD_BYTES = 64 * 1024
KEEP_ALIVE_S = 75.0
HEAD_TIMEOUT_S = 30.0
MAX_PIPELINED = 16
LINGER_BYTES = 256 * 1024
LINGER_S = 2.0
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange:
    """One request being read, and what its response must know about it."""

    __slots__ = ("chunks", "complete", "expects_continue", "head", "keep_alive", "request", "started", "stream")

    def __init__(self, request: Request, head: Head, *, keep_alive: bool) -> None:
        self.request = request
        self.head = head
        self.keep_alive = keep_alive
        self.expects_continue = head.expects_continue
        self.chunks: list[bytes] = []
        self.stream: BodyStream | None = None
        self.complete = False
        self.started = False


class HttpServerProtocol(asyncio.Protocol):
    """One connection from a client: requests in, one at a time and in order; responses out.

    It takes the arguments uvicorn gives a protocol, after `handle`, which never raises anything but
    CancelledError.
    """

    __slots__ = (
        "_body_source",
        "_closing",
        "_current",
        "_fields",
        "_forwarded",
        "_handle",
        "_head_bytes",
        "_lingered",
        "_loop",
        "_parser",
        "_peer",
        "_queue",
        "_read_paused",
        "_reading",
        "_response",
        "_scheme",
        "_state",
        "_target",
        "_task",
        "_transport",
        "_tunnel_input",
        "_writable",
        "deadline",
    )

    def __init__(
        self,
        handle: Handle,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._handle = handle
        self._state = server_state
        self._loop = _loop or asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._parser: Any = httptools.HttpRequestParser(self)
        self._fields: RawHeaders = []
        self._target = b""
        self._head_bytes = 0
        self._reading: Exchange | None = None
        self._current: Exchange | None = None
        self._queue: deque[Exchange] = deque()
        self._task: asyncio.Task[None] | None = None
        self._response: Response | None = None
        self._body_source: BodyStream | None = None
        self._tunnel_input: BodyStream | None = None
        self._writable: asyncio.Future[None] | None = None
        self._closing = False
        self._read_paused = False
        self._lingered = -1
        self.deadline = 0.0

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._state.connections.add(self)  # type: ignore[arg-type]
        self._peer = _address(transport.get_extra_info("peername"))
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._forwarded = [
            (b"x-forwarded-for", self._peer.host.encode("ascii", "replace") or b"unix"),
            (b"x-forwarded-proto", self._scheme.encode("ascii")),
        ]
        self.deadline = self._loop.time() + HEAD_TIMEOUT_S

    def data_received(self, data: bytes) -> None:
        if self._tunnel_input is not None:
            self._tunnel_input.feed(data)
            return
        if self._lingered >= 0:
            self._linger(len(data))
            return
        if self._reading is None:
            self._head_bytes += len(data)
            if self._head_bytes == len(data) and self._current is None:
                self.deadline = self._loop.time() + HEAD_TIMEOUT_S
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._take_upgrade(data[upgrade.args[0] :])
        except (httptools.HttpParserError, MeshwrightError) as error:
            self._refuse(error)
            return
        if self._reading is None and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(DownstreamError(f"head: expected at most {MAX_HEAD_BYTES} bytes", status=431))
            return
        if self._reading is not None and not self._reading.started:
            self._reading.started = True
            self._open_stream(self._reading)
            self._queue.append(self._reading)
        if self._queue and self._current is None:
            self._next()
        elif len(self._queue) >= MAX_PIPELINED:
            self._pause()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(self)
        self._closing = True
        gone = ClientGoneError("client: closed the connection")
        for exchange in (self._reading, self._current):
            if exchange is not None and exchange.stream is not None:
                exchange.stream.fail(gone)
        if self._tunnel_input is not None:
            self._tunnel_input.fail(gone)
        self._queue.clear()
        self._parser = None  # it refers to us
        if self._task is not None:
            self._task.cancel()
        elif self._response is not None:
            self._give_up(self._response, gone)
        self._unblock()

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()
        if self._body_source is not None:
            self._body_source.pause()

    def resume_writing(self) -> None:
        self._unblock()
        if self._body_source is not None:
            self._body_source.resume()

    def _unblock(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    async def _drain(self) -> None:
        if self._writable is not None:
            await self._writable

    # What the parser calls

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reading is None:
            self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._closing:
            raise DownstreamError("request: came after the last one")
        parser = self._parser
        fields, target = self._fields, self._target
        self._fields = []
        self._target = b""
        self._head_bytes = 0
        version = parser.get_http_version()
        if version not in _VERSIONS:
            raise DownstreamError(f"version: expected HTTP/1.1 or HTTP/1.0; got HTTP/{version}", status=505)
        head = read_head(fields, DownstreamError)
        request = self._make_request(parser.get_method().decode("ascii"), target, head, version)
        self._reading = Exchange(request, head, keep_alive=_keeps_alive(head, version))

    def on_body(self, data: bytes) -> None:
        exchange = self._reading
        assert exchange is not None
        if exchange.stream is None:
            exchange.chunks.append(data)
        else:
            exchange.stream.feed(data)

    def on_message_complete(self) -> None:
        exchange = self._reading
        assert exchange is not None
        exchange.complete = True
        self._reading = None
        if exchange.stream is not None:
            exchange.stream.end()
        elif exchange.chunks:
            exchange.request.body = Body(b"".join(exchange.chunks))
        if not exchange.started:
            exchange.started = True
            self._queue.append(exchange)

    def _make_request(self, method: str, target: bytes, head: Head, version: str) -> Request:
        if method in ("CONNECT", "TRACE"):
            raise DownstreamError(f"method: {method} is not served here", status=405, code="method_refused")
        if target[:1] != b"/":
            target = _origin_form(method, target, head)
        raw_path, query = split_target(target) if b"?" in target or b"#" in target else (target, b"")
        path = "*" if target == b"*" else normalise_path(raw_path)
        host = head.host
        if host is None:
            if version == "1.1":
                raise DownstreamError("host: expected one field (RFC 9112, section 3.2); got none")
            host = b""
        fields = [field for field in head.fields if field[0] not in _FORWARDED]
        fields += self._forwarded
        fields.append((b"x-forwarded-host", host))
        return Request(
            method,
            path,
            query.decode("ascii"),
            Headers.from_raw(fields),
            _NO_BODY if head.length is None and not head.chunked else Body(),
            host=host_name(host),
            scheme=self._scheme,
            http_version=version,
            client=self._peer,
            upgrade=_upgrade(head),
        )

    def _open_stream(self, exchange: Exchange) -> None:
        stream = exchange.stream = BodyStream(_RequestFlow(self, exchange))
        for data in exchange.chunks:
            stream.feed(data)
        exchange.request.body = Body.stream(stream, length=exchange.head.length)

    def _take_upgrade(self, rest: bytes) -> None:
        """Keep what follows an Upgrade request until it is known whether the upstream switches."""
        exchange = self._reading or (self._queue[-1] if self._queue else None)
        if exchange is None or not exchange.request.upgrade:
            self._feed(rest)
            return
        self._tunnel_input = BodyStream(_TunnelFlow(self))
        if rest:
            self._tunnel_input.feed(rest)

    # One request after the other

    def _next(self) -> None:
        exchange = self._current = self._queue.popleft()
        self.deadline = 0.0
        self._resume_if_short()
        self._task = self._loop.create_task(self._serve(exchange))

    async def _serve(self, exchange: Exchange) -> None:
        response = None
        try:
            response = await self._handle(exchange.request)
            self._response = response
            await self._send(exchange, response)
        except asyncio.CancelledError:
            self._task = None
            if response is not None:
                await response.aclose(ClientGoneError("client: closed the connection"))
            raise

    async def _send(self, exchange: Exchange, response: Response) -> None:
        if response.tunnel is not None:
            await self._run_tunnel(exchange, response, response.tunnel)
            return
        if not exchange.complete or self._closing:
            exchange.keep_alive = False
        body = response.body
        no_body = has_no_body(exchange.request.method, response.status)
        head = self._response_head(exchange, response, no_body=no_body)
        if no_body or (body.data is not None and response.complete):
            self._transport.write(head if no_body or not body.data else head + body.data)
            if response.complete:
                response.settle()
            else:
                await response.aclose()
            self._done(exchange)
        else:
            chunked = body.length is None and exchange.request.http_version == "1.1"
            await self._send_body(exchange, response, head, chunked=chunked)

    def _response_head(self, exchange: Exchange, response: Response, *, no_body: bool) -> bytes:
        request, fields = exchange.request, write_fields(response.headers.raw)
        head = STATUS_LINES[response.status] + fields
        if response.endpoint is None and response.headers.get_bytes(b"date") is None:
            head += b"date: %b\r\n" % formatdate(usegmt=True).encode("ascii")
        length = response.body.length
        if no_body:
            declared = response.headers.get_bytes(b"content-length")
            if declared is not None and response.status not in (204, 101):
                head += b"content-length: %b\r\n" % declared
        elif length is not None:
            head += b"content-length: %d\r\n" % length
        elif request.http_version == "1.1":
            head += b"transfer-encoding: chunked\r\n"
        else:
            exchange.keep_alive = False
        if not exchange.keep_alive:
            return head + b"connection: close\r\n\r\n"
        return head + (b"\r\n" if request.http_version == "1.1" else b"connection: keep-alive\r\n\r\n")

    async def _send_body(self, exchange: Exchange, response: Response, head: bytes, *, chunked: bool) -> None:
        body = response.body
        sink = _ResponseSink(self, exchange, response, head, chunked=chunked)
        if body.data is not None:
            sink.write(body.data)
            await response.aclose()
            sink.end()
            return
        source = body.take()
        if isinstance(source, BodyStream):
            self._body_source = source
            self._task = None  # from here on the two connections call each other
            source.pipe(sink)
            sink.flush_head()
            if self._writable is not None:
                source.pause()
        else:
            await self._pump(source, sink)

    async def _pump(self, source: AsyncIterable[bytes], sink: _ResponseSink) -> None:
        sink.flush_head()
        try:
            async for data in source:
                if data:
                    sink.write(data)
                    await self._drain()
        except Exception as error:
            sink.fail(error)
        else:
            sink.end()

    def body_sent(self, exchange: Exchange, response: Response) -> None:
        """Take note that a streamed response is complete."""
        self._body_source = None
        if response.replaced:
            self._give_up(response, None)
        else:
            response.settle()
        self._done(exchange)

    def body_failed(self, response: Response, error: BaseException) -> None:
        """Abort the connection, so that the client cannot take what it got for the whole."""
        self._body_source = None
        self._closing = True
        self._give_up(response, error)
        self._transport.abort()

    def _give_up(self, response: Response, error: BaseException | None) -> None:
        self._response = None
        task = self._loop.create_task(response.aclose(error), name="close of a response")
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _done(self, exchange: Exchange) -> None:
        self._task = None
        self._response = None
        self._current = None
        if exchange.complete and exchange.keep_alive and not self._closing:
            if self._tunnel_input is not None:
                self._resume_http()
            if self._queue:
                self._next()
            else:
                self.deadline = self._loop.time() + KEEP_ALIVE_S
                self._resume()
        else:
            self._finish(exchange)

    def _finish(self, exchange: Exchange) -> None:
        """Close after the last response; unread input is read for a while, or a reset could destroy the response."""
        self._closing = True
        if exchange.complete or self._transport.is_closing():
            self._transport.close()
            return
        self._lingered = 0
        self.deadline = self._loop.time() + LINGER_S
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._resume()

    def _linger(self, size: int) -> None:
        self._lingered += size
        if self._lingered > LINGER_BYTES:
            self._transport.close()

    def _refuse(self, error: Exception) -> None:
        """Answer what cannot be parsed, and close; a response in progress is finished first."""
        known = error if isinstance(error, MeshwrightError) else _cause(error)
        reading, self._reading = self._reading, None
        if reading is not None and reading.stream is not None:
            reading.stream.fail(known)
        if self._current is not None or self._closing:
            self._closing = True
            self._pause()
            return
        response = problem(known, None)
        body = response.body.data or b""
        fields = write_fields(response.headers.raw)
        framing = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self._transport.write(STATUS_LINES[response.status] + fields + framing + body)
        self._closing = True
        self._lingered = 0
        self.deadline = self._loop.time() + LINGER_S
        if self._transport.can_write_eof():
            self._transport.write_eof()

    # Flow control towards the client

    def _pause(self) -> None:
        if not self._read_paused and not self._transport.is_closing():
            self._read_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._read_paused and not self._transport.is_closing():
            self._read_paused = False
            self._transport.resume_reading()

    def _resume_if_short(self) -> None:
        if len(self._queue) < MAX_PIPELINED:
            self._resume()

    # Tunnels

    async def _run_tunnel(self, exchange: Exchange, response: Response, tunnel: Tunnel) -> None:
        fields = write_fields(response.headers.raw)
        upgrade = exchange.request.upgrade.encode("latin-1")
        switch = b"%b%bconnection: upgrade\r\nupgrade: %b\r\n\r\n" % (STATUS_LINES[101], fields, upgrade)
        self._transport.write(switch)
        if self._tunnel_input is None:
            self._tunnel_input = BodyStream(_TunnelFlow(self))
        inwards = self._loop.create_task(self._tunnel_in(self._tunnel_input, tunnel), name="tunnel inwards")
        try:
            while data := await tunnel.read():
                self._transport.write(data)
                await self._drain()
        except MeshwrightError:
            self._transport.abort()
        finally:
            inwards.cancel()
            self._closing = True
            self._transport.close()
            await response.aclose()

    async def _tunnel_in(self, source: BodyStream, tunnel: Tunnel) -> None:
        try:
            async for data in source:
                await tunnel.write(data)
        except MeshwrightError:
            tunnel.close()

    def _resume_http(self) -> None:
        """The upstream did not switch: what came after the Upgrade request is HTTP after all."""
        source, self._tunnel_input = self._tunnel_input, None
        if source is not None and (rest := source.buffered()):
            self._feed(rest)

    # What the listener calls

    def sweep(self, now: float) -> None:
        """Close a connection that has been idle, or sending its head, for too long; `now` is loop time."""
        if 0.0 < self.deadline < now:
            if self._head_bytes and self._lingered < 0:
                self._refuse(DownstreamError("head: not complete in time", status=408, code="request_timeout"))
            else:
                self._transport.close()

    def shutdown(self) -> None:
        """Close after the response in progress, or now if there is none; uvicorn calls it when it drains."""
        if self._current is None and self._reading is None:
            self._transport.close()
        elif self._current is not None:
            self._current.keep_alive = False
            self._queue.clear()

    def abort(self) -> None:
        """Close at once; a request in progress is cancelled."""
        self._transport.abort()


_NO_BODY = Body()
_VERSIONS = frozenset(("1.1", "1.0"))
_FORWARDED = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"))


class _RequestFlow:
    """How the stream of a request's body governs the connection it comes from."""

    __slots__ = ("_connection", "_exchange")

    def __init__(self, connection: HttpServerProtocol, exchange: Exchange) -> None:
        self._connection = connection
        self._exchange = exchange

    def demand(self) -> None:
        if self._exchange.expects_continue and not self._exchange.complete:
            self._connection._transport.write(CONTINUE)

    def pause(self) -> None:
        self._connection._pause()

    def resume(self) -> None:
        self._connection._resume()

    def abandon(self) -> None:
        """Read on and throw away; the connection closes after the response."""
        self._connection._resume()


class _TunnelFlow:
    """How the stream of a tunnel governs the connection it comes from."""

    __slots__ = ("_connection",)

    def __init__(self, connection: HttpServerProtocol) -> None:
        self._connection = connection

    def demand(self) -> None:
        """Nothing to do: the client sends when it likes."""

    def pause(self) -> None:
        self._connection._pause()

    def resume(self) -> None:
        self._connection._resume()

    def abandon(self) -> None:
        self._connection._transport.abort()


class _ResponseSink:
    """Writes a streamed response to the client, framed; the head leaves with the first chunk."""

    __slots__ = ("_chunked", "_connection", "_exchange", "_head", "_left", "_response")

    def __init__(
        self, connection: HttpServerProtocol, exchange: Exchange, response: Response, head: bytes, *, chunked: bool
    ) -> None:
        self._connection = connection
        self._exchange = exchange
        self._response = response
        self._head = head
        self._chunked = chunked
        self._left = response.body.length

    def flush_head(self) -> None:
        """Send the head now: nothing of the body is here yet."""
        head, self._head = self._head, b""
        if head:
            self._connection._transport.write(head)

    def write(self, data: bytes) -> None:
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                self.fail(BodyTooLargeError("response body: longer than its content-length"))
                return
        if self._chunked:
            data = chunk(data)
        head, self._head = self._head, b""
        self._connection._transport.write(head + data if head else data)

    def end(self) -> None:
        if self._left:
            self.fail(ClientGoneError("response body: shorter than its content-length"))
            return
        if self._chunked:
            self._connection._transport.write(self._head + LAST_CHUNK)
            self._head = b""
        else:
            self.flush_head()
        self._connection.body_sent(self._exchange, self._response)

    def fail(self, error: BaseException) -> None:
        self._connection.body_failed(self._response, error)


def _address(peer: Any) -> Address:
    return Address(peer[0], peer[1]) if isinstance(peer, tuple) else Address("", 0)


def _keeps_alive(head: Head, version: str) -> bool:
    if version == "1.1":
        return b"close" not in head.options
    return version == "1.0" and b"keep-alive" in head.options


def _origin_form(method: str, target: bytes, head: Head) -> bytes:
    """Return the origin form of an absolute-form target; its authority replaces Host (RFC 9112, section 3.2.2)."""
    if target == b"*" and method == "OPTIONS":
        return target
    parts = urlsplit(target)
    if parts.scheme.lower() not in (b"http", b"https") or not parts.netloc or b"@" in parts.netloc:
        raise DownstreamError(f"target: expected a path or an http URL; got {target[:80]!r}")
    head.host = parts.netloc
    head.fields = [(b"host", parts.netloc), *(field for field in head.fields if field[0] != b"host")]
    return (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")


def _upgrade(head: Head) -> str:
    """Return the protocol the client asks for; never h2c, which would carry requests past the chain."""
    if not head.upgrade or b"upgrade" not in head.options or b"h2c" in head.upgrade:
        return ""
    return head.upgrade.decode("latin-1")


def _cause(error: Exception) -> MeshwrightError:
    """Return our own error that a parser callback raised, or the parser's as ours."""
    cause = error.__context__
    if cause is not None and not isinstance(cause, MeshwrightError):
        logger.error("reading a request failed", exc_info=cause)
    return cause if isinstance(cause, MeshwrightError) else DownstreamError(f"request: {error}")
