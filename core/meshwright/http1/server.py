"""`HttpServerProtocol`: one HTTP/1.1 connection from a client. Over 400 lines: a state machine reads best whole."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, cast

import httptools

from meshwright.http1.counts import ListenerCounts
from meshwright.http1.exchange import Exchange, TunnelFlow
from meshwright.http1.forwarding import DEFAULT_FORWARDING, Forwarding
from meshwright.http1.request_head import Peer, keeps_alive, peer_of, request_of
from meshwright.http1.response_sink import ResponseSink, response_head
from meshwright.http1.rules import STATUS_LINES, cause_of, has_no_body, read_head, size_of, write_fields
from meshwright.http1.server_state import ServerState
from meshwright.http1.stream import BodyStream
from meshwright.http1.tunnel import carry
from meshwright_sdk.body import Body
from meshwright_sdk.errors import ClientGoneError, DownstreamError, MeshwrightError, PluginError
from meshwright_sdk.headers import RawHeaders
from meshwright_sdk.problems import problem
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response, Tunnel

logger = logging.getLogger("meshwright.http1")

Handle = Callable[[Request], Awaitable[Response]]

MAX_HEAD_BYTES = 64 * 1024
"""Of a head, and of whatever comes between two pieces of content: chunk extensions, trailers."""

KEEP_ALIVE_S = 75.0
HEAD_TIMEOUT_S = 30.0
MAX_PIPELINED = 16
"""With so many requests waiting for their turn the connection is not read."""

MAX_QUEUED = 256
"""One read may bring more than that; so many are served, and what follows is refused."""

LINGER_BYTES = 256 * 1024
LINGER_S = 2.0
_VERSIONS = frozenset(("1.1", "1.0"))


class HttpServerProtocol(asyncio.Protocol):
    """One connection from a client: requests in, one at a time and in order; responses out.

    `handle` never raises anything but CancelledError. What cannot be parsed is answered in its turn, after the
    requests before it. `claimed_addresses`, set before the connection is made, are the peer's and our own where a
    proxy has told them (PROXY protocol); without them the socket knows.
    """

    __slots__ = (
        "_body_source",
        "_closing",
        "_counts",
        "_current",
        "_dropped_bytes",
        "_fed_bytes",
        "_fields",
        "_first_bytes",
        "_forwarding",
        "_handle",
        "_lingering",
        "_loop",
        "_overhead_bytes",
        "_parser",
        "_peer",
        "_queue",
        "_read_paused",
        "_reading",
        "_refusal",
        "_response",
        "_retiring",
        "_skipped",
        "_state",
        "_target",
        "_task",
        "_transport",
        "_tunnel_input",
        "_unsent",
        "_upgrading",
        "_writable",
        "claimed_addresses",
        "deadline",
    )

    def __init__(
        self,
        handle: Handle,
        counts: ListenerCounts,
        state: ServerState,
        forwarding: Forwarding = DEFAULT_FORWARDING,
    ) -> None:
        self._handle = handle
        self._counts = counts
        self._forwarding = forwarding
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._peer: Peer = cast("Peer", None)
        self._parser: Any = httptools.HttpRequestParser(self)
        self._fields: RawHeaders = []
        self._target = b""
        self._overhead_bytes = 0
        self._fed_bytes = 0
        self._first_bytes = 0
        self._reading: Exchange | None = None
        self._skipped = False
        self._current: Exchange | None = None
        self._queue: deque[Exchange] = deque()
        self._refusal: MeshwrightError | None = None
        self._task: asyncio.Task[None] | None = None
        self._response: Response | None = None
        self._body_source: BodyStream | None = None
        self._upgrading: Exchange | None = None
        self._tunnel_input: BodyStream | None = None
        self._writable: asyncio.Future[None] | None = None
        self._closing = False
        self._read_paused = False
        self._lingering = False
        self._dropped_bytes = 0
        self._unsent = 0
        self._retiring = False
        self.claimed_addresses: tuple[object, object] | None = None
        self.deadline = 0.0

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._state.connections.add(self)
        self._counts.connections.value += 1
        self._counts.open.value += 1
        peername, sockname = self.claimed_addresses or map(transport.get_extra_info, ("peername", "sockname"))
        tls = transport.get_extra_info("sslcontext") is not None
        self._peer = peer_of(peername, sockname, tls=tls, forwarding=self._forwarding)
        self.deadline = self._loop.time() + HEAD_TIMEOUT_S

    def data_received(self, data: bytes) -> None:
        self._counts.received.value += len(data)
        if self._tunnel_input is not None:
            self._tunnel_input.feed(data)
        elif self._closing:
            self._drop(len(data))
        else:
            self._fed_bytes = len(data)
            self._overhead_bytes += len(data)
            if self._overhead_bytes == len(data) and self._current is None:
                self.deadline = self._loop.time() + HEAD_TIMEOUT_S
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        try:
            self._parse(data)
            if self._overhead_bytes > MAX_HEAD_BYTES:
                raise _too_large()
        except (httptools.HttpParserError, MeshwrightError) as error:
            self._refuse(cause_of(error, DownstreamError))
        reading = self._reading
        if reading is not None and not reading.started:
            reading.started = True
            reading.open_stream()
            self._queue.append(reading)
        if self._queue and self._current is None and self._writable is None:
            self._next()
        elif len(self._queue) >= MAX_PIPELINED:
            self.pause_input()

    def _parse(self, data: bytes) -> None:
        """Feed the parser, which stops after the head of each request that asks for another protocol."""
        while True:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            if self._skipped:
                self._read_skipped_body()
            elif self._queue[-1].request.upgrade:
                self._begin_upgrade(self._queue[-1], data)
                return

    def _read_skipped_body(self) -> None:
        """Go on with a parser that knows the framing and of no upgrade: the one before leaves out the body."""
        assert self._reading is not None
        head = self._reading.head
        framing = b"transfer-encoding: chunked" if head.chunked else b"content-length: %d" % (head.length or 0)
        self._skipped = False
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)

    def _begin_upgrade(self, exchange: Exchange, rest: bytes) -> None:
        """Keep what follows an Upgrade request until it is known whether the upstream switches."""
        self._upgrading = exchange
        self._tunnel_input = BodyStream(TunnelFlow(self))
        if rest:
            self._tunnel_input.feed(rest)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(self)
        self._counts.open.value -= 1
        self._closing = True
        gone = ClientGoneError("client: closed the connection")
        for exchange in (self._reading, self._current):
            if exchange is not None and exchange.stream is not None:
                exchange.stream.fail(gone)
        if self._tunnel_input is not None:
            self._tunnel_input.fail(gone)
        if self._body_source is not None:
            self._body_source.unpipe()
        self._queue.clear()
        self._parser = self._reading = self._current = None  # they refer to us
        if self._task is not None and not self._task.done():
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
        elif self._queue and self._current is None:
            self._next()

    def _unblock(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    async def _drain(self) -> None:
        if self._writable is not None:
            await self._writable

    # What the parser calls

    def on_url(self, url: bytes) -> None:
        if self._reading is None:
            if not self._target:
                self._first_bytes = self._fed_bytes  # of which some may belong to the request before
            self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reading is None:
            self._fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if self._reading is not None:
            return  # the framing of a body that the parser before has skipped
        parser = self._parser
        fields, target = self._fields, self._target
        if self._overhead_bytes + self._first_bytes > MAX_HEAD_BYTES < size_of(fields) + len(target):
            raise _too_large()
        self._fields = []
        self._target = b""
        self._overhead_bytes = 0
        if len(self._queue) >= MAX_QUEUED:
            raise DownstreamError("request: too many wait for their turn", status=429, code="too_many_pipelined")
        version = parser.get_http_version()
        if version not in _VERSIONS:
            raise DownstreamError(f"version: expected HTTP/1.1 or HTTP/1.0; got HTTP/{version}", status=505)
        head = read_head(fields, DownstreamError)
        if head.chunked and version != "1.1":
            raise DownstreamError("transfer-encoding: expected none in HTTP/1.0 (RFC 9112, section 6.1)")
        request = request_of(parser.get_method().decode("ascii"), target, version, head, self._peer)
        self._skipped = bool(head.upgrade) and head.has_body and parser.should_upgrade()
        self._reading = Exchange(request, head, self, keep_alive=not self._retiring and keeps_alive(head, version))

    def on_body(self, data: bytes) -> None:
        exchange = self._reading
        assert exchange is not None
        self._overhead_bytes = 0
        if exchange.stream is None:
            exchange.chunks.append(data)
        else:
            exchange.stream.feed(data)

    def on_message_complete(self) -> None:
        if self._skipped:
            return
        exchange = self._reading
        assert exchange is not None
        exchange.complete = True
        self._reading = None
        self._overhead_bytes = 0
        if exchange.stream is not None:
            exchange.stream.end()
        elif exchange.chunks:
            exchange.request.body = Body(b"".join(exchange.chunks))
        if not exchange.started:
            exchange.started = True
            self._queue.append(exchange)

    # One request after the other

    def _next(self) -> None:
        exchange = self._current = self._queue.popleft()
        self.deadline = 0.0
        if len(self._queue) < MAX_PIPELINED and not self._closing:
            self.resume_input()
        self._task = self._loop.create_task(self._serve(exchange))

    async def _serve(self, exchange: Exchange) -> None:
        response = None
        try:
            response = self._response = await self._handle(exchange.request)
            await self._send(exchange, response)
        except asyncio.CancelledError:
            self._task = None
            self._transport.abort()
            if response is not None:
                await _close(response, ClientGoneError("client: closed the connection"))
            raise
        except Exception as error:
            await self._recover(exchange, response, error)

    async def _recover(self, exchange: Exchange, response: Response | None, error: Exception) -> None:
        """Answer 500 in place of a response that cannot be sent, or cut off what was begun."""
        request = exchange.request
        route = request.route.name if request.route is not None else ""
        logger.error("request %s on route %s: its response cannot be sent", request.id or "-", route, exc_info=error)
        self._response = None
        if exchange.answered or self._transport.is_closing():
            self._transport.abort()
        else:
            await self._send(exchange, problem(error, exchange.request))
        if response is not None:
            await _close(response, error)

    async def _send(self, exchange: Exchange, response: Response) -> None:
        if response.tunnel is not None:
            await self._send_tunnel(exchange, response, response.tunnel)
            return
        if not 200 <= response.status <= 999:
            raise PluginError(f"response: expected a final status; got {response.status}")
        body = response.body
        if not exchange.complete or (body.length is None and exchange.request.http_version != "1.1"):
            exchange.keep_alive = False
        no_body = has_no_body(exchange.request.method, response.status)
        head = response_head(exchange, response, no_body=no_body, via=self._peer.via)
        if no_body or (body.data is not None and response.complete):
            exchange.answered = True
            self.write(head if no_body or not body.data else head + body.data)
            if response.complete:
                response.settle()
            else:
                await _close(response, None)
            self._done(exchange)
        else:
            await self._send_body(exchange, response, ResponseSink(self, exchange, response, head))

    async def _send_body(self, exchange: Exchange, response: Response, sink: ResponseSink) -> None:
        body = response.body
        source = body.take() if body.data is None else None
        exchange.answered = True
        if source is None:
            if body.data:
                sink.write(body.data)
            await _close(response, None)
            sink.end()
        elif isinstance(source, BodyStream):
            self._body_source = source
            self._task = None  # from here on the two connections call each other
            source.pipe(sink)
            sink.flush_head()
        else:
            await self._pump(source, sink)

    async def _pump(self, source: AsyncIterable[bytes], sink: ResponseSink) -> None:
        sink.flush_head()
        try:
            async for data in source:
                if data:
                    sink.write(data)
                    await self._drain()
                if self._transport.is_closing():
                    raise ClientGoneError("client: closed the connection")
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

    def body_failed(self, exchange: Exchange, response: Response, error: BaseException) -> None:
        """Abort the connection, so that the client cannot take what it got for the whole."""
        if self._response is not response:
            return
        if not isinstance(error, MeshwrightError) or error.fault == PluginError.fault:
            logger.error("request %s: the body of its response failed", exchange.request.id or "-", exc_info=error)
        self._body_source = None
        self._closing = True
        self._give_up(response, error)
        if response.body.length is None and exchange.request.http_version != "1.1":
            _reset_on_close(self._transport)  # where the connection's end is the body's, nothing else tells
        self._transport.abort()

    def _give_up(self, response: Response, error: BaseException | None) -> None:
        self._response = None
        task = self._loop.create_task(_close(response, error), name="close of a response")
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _done(self, exchange: Exchange) -> None:
        self._task = None
        self._response = None
        self._current = None
        if not (exchange.complete and exchange.keep_alive):
            self._finish(exchange)
        elif self._upgrading is exchange:
            self._resume_http(exchange)
        else:
            self._go_on(exchange)

    def _go_on(self, exchange: Exchange) -> None:
        if self._queue and self._writable is None:
            self._next()
        elif self._queue:  # a client that takes no answers gets none made: `resume_writing` goes on
            self.deadline = self._loop.time() + KEEP_ALIVE_S
        elif self._refusal is not None:
            self._answer_refusal(self._refusal)
        elif self._closing:
            self._finish(exchange)
        else:
            self.deadline = self._loop.time() + (HEAD_TIMEOUT_S if self._head_begun else KEEP_ALIVE_S)
            self.resume_input()

    @property
    def _head_begun(self) -> bool:
        return bool(self._overhead_bytes or self._target)

    # The last response, and what cannot be parsed

    def _finish(self, exchange: Exchange) -> None:
        """Close after the last response; its exchange stays the current one, so that none comes after it."""
        self._closing = True
        self._current = exchange
        if exchange.stream is not None:
            exchange.stream.fail(ClientGoneError("client: its connection is closed before the body was complete"))
        if exchange.complete or self._transport.is_closing():
            self.deadline = self._loop.time() + KEEP_ALIVE_S
            self._transport.close()
        else:
            self._begin_to_linger()

    def _begin_to_linger(self) -> None:
        """Read what still comes and throw it away for a while: a reset could destroy the response on its way."""
        self._closing = self._lingering = True
        self._dropped_bytes = 0
        self.deadline = self._loop.time() + LINGER_S
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.resume_input()

    def _drop(self, size: int) -> None:
        """Throw away what comes after the end; reading on tells when the client leaves."""
        self._dropped_bytes += size
        if self._dropped_bytes > LINGER_BYTES:
            if self._lingering:
                self._transport.close()
            else:
                self.pause_input()

    def _refuse(self, error: MeshwrightError) -> None:
        """Read no more; a request that is being handled learns it from its body, else `error` has its turn."""
        reading, self._reading = self._reading, None
        self._closing = True
        self._dropped_bytes = 0
        if reading is not None and reading.stream is not None:
            reading.stream.fail(error)
        elif self._current is not None or self._queue:
            self._refusal = error
        else:
            self._answer_refusal(error)

    def _answer_refusal(self, error: MeshwrightError) -> None:
        response = problem(error)
        body = response.body.data or b""
        framing = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.write(STATUS_LINES[response.status] + write_fields(response.headers.raw) + framing + body)
        self._begin_to_linger()

    # Flow control towards the client, and writing for sinks

    def pause_input(self) -> None:
        """Stop reading; may be called when already stopped."""
        if not self._read_paused and not self._transport.is_closing():
            self._read_paused = True
            self._transport.pause_reading()

    def resume_input(self) -> None:
        """Read on; may be called when never stopped."""
        if self._read_paused and not self._transport.is_closing():
            self._read_paused = False
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Send raw bytes; on a connection that is closing they are dropped, and `connection_lost` gives up the rest."""
        if not self._transport.is_closing():
            self._counts.sent.value += len(data)
            self._transport.write(data)

    # Tunnels

    async def _send_tunnel(self, exchange: Exchange, response: Response, tunnel: Tunnel) -> None:
        source = self._tunnel_input
        if self._upgrading is not exchange or source is None:
            raise PluginError("response: expected no switch of protocols, which the client did not ask for")
        upgrade = b"connection: upgrade\r\nupgrade: %b\r\n\r\n" % exchange.request.upgrade.encode("latin-1")
        exchange.answered = True
        self.write(STATUS_LINES[101] + write_fields(response.headers.raw) + upgrade)
        try:
            await carry(source, tunnel, self._write_and_drain)
        except MeshwrightError:
            self._transport.abort()
        finally:
            self._closing = True
            self.deadline = self._loop.time() + LINGER_S
            self._transport.close()
            await _close(response, None)

    async def _write_and_drain(self, data: bytes) -> None:
        self.write(data)
        await self._drain()

    def _resume_http(self, exchange: Exchange) -> None:
        """The upstream did not switch: what came after the Upgrade request is HTTP after all."""
        source, self._tunnel_input, self._upgrading = self._tunnel_input, None, None
        if source is not None and (rest := source.buffered()):
            self.data_received(rest)
        if self._current is None and not self._lingering:
            self._go_on(exchange)

    # What the listener calls

    def sweep(self, now: float) -> None:
        """Close a connection that has been idle, or sending its head, for too long; `now` is loop time.

        A response that is still on its way gets the time again as long as something of it leaves.
        """
        if not 0.0 < self.deadline < now:
            return
        unsent = self._transport.get_write_buffer_size()
        if unsent and unsent != self._unsent:
            self._unsent = unsent
            self.deadline = now + KEEP_ALIVE_S
        elif unsent or self._transport.is_closing():
            self._transport.abort()
        elif self._head_begun and not self._lingering:
            self._refuse(DownstreamError("head: not complete in time", status=408, code="request_timeout"))
        else:
            self._transport.close()

    def retire(self) -> None:
        """Close after the last request that is here, or after the next one; its response says so."""
        self._retiring = True
        last = self._reading or (self._queue[-1] if self._queue else self._current)
        if last is not None and not last.answered:
            last.keep_alive = False

    def shutdown(self) -> None:
        """Close after the response in progress, or now if there is none."""
        self._queue.clear()
        self._refusal = None
        if self._current is not None:
            self._current.keep_alive = False
        else:
            self._transport.close()

    def abort(self) -> None:
        """Close at once; a request in progress is cancelled."""
        self._transport.abort()


def _too_large() -> DownstreamError:
    return DownstreamError(f"head: expected at most {MAX_HEAD_BYTES} bytes", status=431, code="head_too_large")


def _reset_on_close(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _close(response: Response, error: BaseException | None) -> None:
    try:
        await response.aclose(error)
    except Exception:
        logger.exception("closing a response failed")
