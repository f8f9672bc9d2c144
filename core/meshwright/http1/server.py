"""`HttpServerProtocol`: one HTTP/1.1 connection from a client. Over 400 lines: a state machine reads best whole."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from asyncio import Task
from collections.abc import AsyncIterable, Awaitable, Callable
from time import time
from typing import cast

from meshwright.http1.backlog import Backlog
from meshwright.http1.counts import ListenerCounts
from meshwright.http1.exchange import Exchange, TunnelFlow
from meshwright.http1.framing import ChunkedReader, CountedReader
from meshwright.http1.grammar import (
    HEAD_END,
    MAX_METHOD_BYTES,
    GrammarError,
    VersionError,
    after_blank_lines,
    read_fields,
    read_request_line,
    refuse_misplaced,
)
from meshwright.http1.pace import ContentPace
from meshwright.http1.request_head import Peer, peer_of, request_of
from meshwright.http1.response_sink import ResponseSink, TunnelSink, date_line, write_response
from meshwright.http1.rules import (
    NO_FIELDS,
    REMEMBERED_BYTES,
    STATUS_LINES,
    Head,
    MessageWriter,
    has_no_body,
    keeps_alive,
    read_head,
    write_message,
)
from meshwright.http1.server_state import ServerState
from meshwright.http1.settings import DEFAULT_SETTINGS, ServerSettings
from meshwright.http1.stream import BodyStream
from meshwright.http1.tunnel import UpstreamTunnel, carry
from meshwright.net.keepalive import watch_peer
from meshwright_sdk.errors import (
    AbortError,
    BodyTooLargeError,
    ClientGoneError,
    DownstreamError,
    MeshwrightError,
    PluginError,
)
from meshwright_sdk.problems import problem
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response, Tunnel

logger = logging.getLogger("meshwright.http1")

Handle = Callable[[Request], Awaitable[Response]]

MAX_WAITING_BYTES = 64 * 1024
"""With so many bytes of later requests waiting for their turn the connection is not read."""

AROUND_TARGET_BYTES = MAX_METHOD_BYTES + len("  HTTP/1.1")
"""Of what stands around the target in a request line that is not complete."""

_NOT_BEGUN = (b"", b"\r")
"""What blank lines before a head leave: they give no client more time."""

LINGER_BYTES = 256 * 1024
LINGER_S = 2.0


class HttpServerProtocol(asyncio.Protocol):
    """One connection from a client: requests in, one at a time and in order; responses out.

    `handle` never raises anything but CancelledError. A request is read when the one before it has been answered,
    whatever has come already. `addresses`, set before the connection is made, are the peer's and our own;
    without them the socket is asked, which does not know a peer that is gone.
    """

    __slots__ = (
        "_backlog",
        "_behind",
        "_body_source",
        "_closing",
        "_counts",
        "_current",
        "_dropped_bytes",
        "_forwarding",
        "_half_closed",
        "_handle",
        "_last_block",
        "_last_head",
        "_limits",
        "_lingering",
        "_loop",
        "_pace",
        "_peer",
        "_read_paused",
        "_response",
        "_retiring",
        "_state",
        "_task",
        "_transport",
        "_tunnel_input",
        "_waiting",
        "_writable",
        "_writer",
        "_written_bytes",
        "addresses",
        "deadline",
    )

    def __init__(
        self,
        handle: Handle,
        counts: ListenerCounts,
        state: ServerState,
        settings: ServerSettings = DEFAULT_SETTINGS,
    ) -> None:
        self._handle = handle
        self._counts = counts
        self._forwarding = settings.forwarding
        self._limits = settings.limits
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._peer: Peer = cast("Peer", None)
        self._writer = MessageWriter()
        self._last_block = b""
        self._last_head = NO_FIELDS
        self._waiting = b""
        self._current: Exchange | None = None
        self._task: Task[None] | None = None
        self._response: Response | None = None
        self._body_source: BodyStream | None = None
        self._tunnel_input: BodyStream | None = None
        self._writable: asyncio.Future[None] | None = None
        self._closing = False
        self._half_closed = False
        self._read_paused = False
        self._lingering = False
        self._retiring = False
        self.addresses: tuple[object, object] | None = None
        self._dropped_bytes = 0
        self._written_bytes = 0
        self._backlog: Backlog | None = None
        self._behind = False
        self._pace: ContentPace | None = None
        self.deadline = 0.0

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._state.connections.add(self)
        self._retiring = self._state.retiring
        self._counts.connections.value += 1
        self._counts.open.value += 1
        peername, sockname = self.addresses or map(transport.get_extra_info, ("peername", "sockname"))
        tls = transport.get_extra_info("sslcontext") is not None
        self._peer = peer_of(peername, sockname, tls=tls, forwarding=self._forwarding)
        self.deadline = self._loop.time() + self._limits.header_timeout_s

    def data_received(self, data: bytes) -> None:
        self._counts.received.value += len(data)
        if self._closing:
            self._drop(len(data))
            return
        exchange = self._current
        if exchange is None and self._writable is None:
            self._read_head(data)
        elif exchange is None:
            self._keep_for_later(data)
        elif not exchange.complete:
            self._read_content(exchange, data)
        elif self._tunnel_input is not None:
            self._tunnel_input.feed(data)
        else:
            self._keep_for_later(data)

    def _keep_for_later(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) > MAX_WAITING_BYTES:
            self.pause_input()

    def _read_head(self, data: bytes) -> None:
        """Begin the next request when its whole head is here."""
        waiting = self._waiting
        if waiting:
            data = waiting + data
        try:
            if data[:2] == b"\r\n":
                data = after_blank_lines(data)
            end = data.find(HEAD_END, max(0, len(waiting) - 3) if waiting else 0)
            if end < 0:
                if len(waiting) < 2 and data not in _NOT_BEGUN:
                    self.deadline = self._loop.time() + self._limits.header_timeout_s
                self._waiting = data
                self._refuse_begun(data)
                return
            exchange = self._read_request(data[:end])
            self._waiting = b""
            rest = data[end + 4 :]
            if exchange.head.has_body:
                rest = self._begin_content(exchange, rest)
        except (GrammarError, MeshwrightError) as error:
            self._waiting = data
            self._answer_refusal(error)
            return
        if self._retiring and not rest:
            exchange.keep_alive = False
        self._waiting = rest
        self._current = exchange
        self.deadline = 0.0
        # Not by the loop's `create_task`: that and a name made for each are a sixth of what a task costs.
        self._task = Task(self._serve(exchange), loop=self._loop, name="request")

    def _refuse_begun(self, data: bytes) -> None:
        limits = self._limits
        line, ended, _ = data.partition(b"\r\n")
        if len(line) > limits.target_bytes + AROUND_TARGET_BYTES:
            raise _too_long(limits.target_bytes)
        if len(data) > limits.header_bytes + len(HEAD_END) - 1:
            raise _too_large(limits.header_bytes)
        refuse_misplaced(data)
        if ended:
            read_request_line(line)

    def _read_request(self, data: bytes) -> Exchange:
        limits = self._limits
        line, _, block = data.partition(b"\r\n")
        method, target, version = read_request_line(line)
        if len(target) > limits.target_bytes:
            raise _too_long(limits.target_bytes)
        if len(data) > limits.header_bytes:
            raise _too_large(limits.header_bytes)
        head = self._last_head if block == self._last_block else self._read_fields(block)
        if head.chunked and version != "1.1":
            raise DownstreamError("transfer-encoding: expected none in HTTP/1.0 (RFC 9112, section 6.1)")
        request = request_of(method, target, version, head, self._peer)
        exchange = Exchange(request, head, self, keep_alive=keeps_alive(head, version))
        request.interim = exchange
        return exchange

    def _read_fields(self, block: bytes) -> Head:
        """Return what the field lines say; a client's next request nearly always has the same ones."""
        lines = block.split(b"\r\n") if block else []
        if len(lines) > self._limits.headers:
            got = f"head: expected at most {self._limits.headers} fields; got {len(lines)}"
            raise DownstreamError(got, status=431, code="head_too_large")
        head = read_head(read_fields(lines), DownstreamError)
        if len(block) <= REMEMBERED_BYTES:
            self._last_block, self._last_head = block, head
        return head

    def _begin_content(self, exchange: Exchange, data: bytes) -> bytes:
        head, limit = exchange.head, self._limits.body_bytes
        try:
            if head.length is not None and head.length > limit:
                raise BodyTooLargeError(f"body: expected at most {limit} bytes; got a length of {head.length}")
            reader = ChunkedReader() if head.chunked else CountedReader(head.length or 0)
            rest = exchange.begin_content(reader, data, limit)
        except (GrammarError, MeshwrightError):
            exchange.request.interim = None  # or the exchange that is not to be would keep itself, and us
            raise
        if not exchange.complete:
            self._pace = ContentPace(self._loop.time(), paused=self._read_paused)
            if reader.behind:
                self._fall_behind(exchange)
        return rest

    def _read_content(self, exchange: Exchange, data: bytes) -> None:
        try:
            rest = exchange.feed(data, self._limits.body_bytes)
        except (GrammarError, MeshwrightError) as error:
            self._refuse_content(exchange, _cause(error))
            return
        if rest:
            self._keep_for_later(rest)
        elif exchange.behind:
            self._fall_behind(exchange)

    def _fall_behind(self, exchange: Exchange) -> None:
        """Leave the rest of what came to later turns of the event loop, and read no more before."""
        if not self._behind and not self._transport.is_closing():
            self._behind = True
            if not self._read_paused:
                self._transport.pause_reading()
            self._loop.call_soon(self._catch_up, exchange)

    def _catch_up(self, exchange: Exchange) -> None:
        self._behind = False
        if exchange is self._current and not self._closing:
            self._read_content(exchange, b"")
        if not self._behind and not self._read_paused and not self._transport.is_closing():
            self._transport.resume_reading()

    def _refuse_content(self, exchange: Exchange, error: MeshwrightError) -> None:
        """Read no more; the request that is being handled learns it from its body."""
        self._counts.refused(error.status)
        self._closing = True
        self._dropped_bytes = 0
        exchange.keep_alive = False
        exchange.fail(error)

    def eof_received(self) -> bool:
        """Go on for a client that has sent all it wanted, or close; whether it has left cannot be told yet."""
        exchange = self._current
        if exchange is None:
            goes_on = self._writable is not None and bool(self._waiting)  # it has answers to take before the next
        else:
            goes_on = exchange.complete and self._tunnel_input is None
        if not goes_on or not self._limits.half_close_s:
            return False
        if self._peer.scheme == "https":
            return False  # TLS ends both ways at once
        self._half_closed = True
        if exchange is not None:
            self.deadline = self._loop.time() + self._limits.half_close_s
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(self)
        self._counts.open.value -= 1
        self._closing = True
        gone = ClientGoneError("client: closed the connection")
        exchange, self._current = self._current, None
        if exchange is not None:
            exchange.fail(gone)
            exchange.request.interim = None
        if self._tunnel_input is not None:
            self._tunnel_input.fail(gone)  # which closes the other end when it has got what came before
            self._tunnel_input = None
        elif self._body_source is not None:
            self._body_source.unpipe()
        self._body_source = None
        self._waiting = b""
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
        elif self._current is None and not self._closing:
            self._go_on()

    def _unblock(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    async def _drain(self) -> None:
        if self._writable is not None:
            await self._writable

    # One request after the other

    async def _serve(self, exchange: Exchange) -> None:
        response = None
        try:
            response = self._response = await self._handle(exchange.request)
            if not self._send_whole(exchange, response):
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
            answer = self._response = problem(error, request)
            self._send_whole(exchange, answer)
        if response is not None:
            await _close(response, error)

    def _send_whole(self, exchange: Exchange, response: Response) -> bool:
        """Send the ordinary response, which is all here, in one piece; return whether it was one."""
        content = response.body.data
        if content is None or not response.complete or not 200 <= response.status <= 999:
            return False
        if not exchange.complete:
            exchange.keep_alive = False
        no_body = has_no_body(exchange.request.method, response.status)
        exchange.answered = True
        whole = b"" if no_body else content
        self.write(write_response(self._writer, exchange, response, no_body=no_body, via=self._peer.via, content=whole))
        response.settle()
        self._done(exchange)
        return True

    async def _send(self, exchange: Exchange, response: Response) -> None:
        if response.tunnel is not None:
            await self._send_tunnel(exchange, response, response.tunnel)
            return
        if response.status == AbortError.status:
            _reset_on_close(self._transport)
            self._transport.abort()
            await _close(response, None)
            return
        if not 200 <= response.status <= 999:
            raise PluginError(f"response: expected a final status; got {response.status}")
        if not exchange.complete or (response.body.length is None and exchange.request.http_version != "1.1"):
            exchange.keep_alive = False
        no_body = has_no_body(exchange.request.method, response.status)
        head = write_response(self._writer, exchange, response, no_body=no_body, via=self._peer.via)
        if no_body:
            exchange.answered = True
            self.write(head)
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
            if self._writable is not None:
                source.pause()  # interim responses may have filled the connection before there was anything to pause
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
        """Take note that a streamed response is complete; one that was given up before is no more ours."""
        if self._response is not response:
            return
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
        exchange.request.interim = None  # it refers to us
        if exchange.complete and exchange.keep_alive:
            self._current = None
            self._go_on()
        else:
            self._finish(exchange)

    def _go_on(self) -> None:
        """Take the next request, or wait for it."""
        if self._writable is not None and self._waiting:
            # A client that takes no answers gets none made: `resume_writing` goes on.
            self.deadline = self._loop.time() + self._limits.idle_timeout_s
            return
        waiting, self._waiting = self._waiting, b""
        self.deadline = self._loop.time() + self._limits.idle_timeout_s
        if waiting:
            self._read_head(waiting)
        if self._read_paused and (self._current is None or len(self._waiting) <= MAX_WAITING_BYTES):
            self.resume_input()
        if self._half_closed:
            self._after_half_close()

    def _after_half_close(self) -> None:
        exchange = self._current
        if (exchange is None or not exchange.complete) and not self._closing:
            self._transport.close()  # what is begun will never be whole
        else:
            self.deadline = self._loop.time() + self._limits.half_close_s

    # The last response, and what cannot be read

    def _finish(self, exchange: Exchange) -> None:
        """Close after the last response; its exchange stays the current one, so that none comes after it."""
        self._closing = True
        self._current = exchange
        exchange.fail(ClientGoneError("client: its connection is closed before the body was complete"))
        if exchange.complete or self._transport.is_closing():
            self.deadline = self._loop.time() + self._limits.idle_timeout_s
            self._transport.close()
        else:
            self._begin_to_linger()

    def _begin_to_linger(self) -> None:
        """Read what still comes and throw it away for a while: a reset could destroy the response on its way."""
        self._closing = self._lingering = True
        self._dropped_bytes = 0
        self.deadline = self._loop.time() + LINGER_S
        try:
            if self._transport.can_write_eof():
                self._transport.write_eof()
        except OSError:
            self._transport.abort()  # the client has left, as what was just written has found out
        self.resume_input()

    def _drop(self, size: int) -> None:
        """Throw away what comes after the end; reading on tells when the client leaves."""
        self._dropped_bytes += size
        if self._dropped_bytes > LINGER_BYTES:
            if self._lingering:
                self._transport.close()
            else:
                self.pause_input()

    def _answer_refusal(self, error: Exception) -> None:
        """Answer what is no request that could be served, and read no more."""
        begun, self._waiting = self._waiting, b""
        response = problem(_cause(error))
        self._counts.refused(response.status)
        body = response.body.data or b""
        more = (date_line(int(time())), b"content-length: %d" % len(body), b"connection: close")
        content = b"" if begun.startswith(b"HEAD ") else body
        self.write(write_message(STATUS_LINES[response.status], response.headers.raw, more, content))
        self._begin_to_linger()

    # Flow control towards the client, and writing for sinks

    def pause_input(self) -> None:
        """Stop reading; may be called when already stopped."""
        if not self._read_paused and not self._transport.is_closing():
            self._read_paused = True
            if not self._behind:
                self._transport.pause_reading()
            if self._pace is not None:
                self._pace.pause(self._loop.time())

    def resume_input(self) -> None:
        """Read on; may be called when never stopped."""
        if self._read_paused and not self._transport.is_closing():
            self._read_paused = False
            if not self._behind:
                self._transport.resume_reading()
            if self._pace is not None:
                self._pace.resume(self._loop.time())

    def write(self, data: bytes) -> None:
        """Send raw bytes; on a connection that is closing they are dropped, and `connection_lost` gives up the rest."""
        if not self._transport.is_closing():
            size = len(data)
            self._counts.sent.value += size
            self._written_bytes += size
            self._transport.write(data)
            if self._half_closed:
                self.deadline = self._loop.time() + self._limits.half_close_s

    # Tunnels

    async def _send_tunnel(self, exchange: Exchange, response: Response, tunnel: Tunnel) -> None:
        if not exchange.upgrade:
            raise PluginError("response: expected no switch of protocols, which the client did not ask for")
        upgrade = (b"connection: upgrade", b"upgrade: " + exchange.upgrade.encode("latin-1"))
        exchange.answered = True
        source = self._tunnel_input = BodyStream(TunnelFlow(self))
        waiting, self._waiting = self._waiting, b""
        if waiting:
            source.feed(waiting)
        self.resume_input()
        self.write(write_message(STATUS_LINES[101], response.headers.raw, upgrade))
        watch_peer(self._transport)
        if isinstance(tunnel, UpstreamTunnel):
            exchange.keep_alive = False
            self._body_source = tunnel.incoming
            self._task = None  # from here on the two connections call each other
            tunnel.join(source, TunnelSink(self, exchange, response))
            if self._writable is not None:
                tunnel.incoming.pause()
            return
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

    # What the listener calls

    def sweep(self, now: float) -> None:
        """Close a connection that has been idle, or sending, for too long; `now` is loop time.

        While something is on its way to the client, all that counts is whether it takes some of it.
        """
        exchange = self._current
        if exchange is not None and not exchange.complete and not self._closing:
            assert self._pace is not None
            self._sweep_content(exchange, self._pace, now)
        unsent = self._transport.get_write_buffer_size()
        if unsent:
            self._sweep_backlog(self._written_bytes - unsent, now)
            return
        self._backlog = None
        if not 0.0 < self.deadline < now:
            return
        if self._transport.is_closing() or exchange is not None:
            self._transport.abort()
        elif self._waiting and not self._lingering:
            self._answer_refusal(DownstreamError("head: not complete in time", status=408, code="request_timeout"))
        else:
            self._transport.close()

    def _sweep_backlog(self, left_bytes: int, now: float) -> None:
        """Let a client go that takes nothing; what waits for the end of its answers has its time from then on."""
        patience_s = self._limits.idle_timeout_s
        if self._backlog is None:
            self._backlog = Backlog(left_bytes, now)
        elif self._backlog.stuck_s(left_bytes, now) > patience_s:
            self._transport.abort()
        elif 0.0 < self.deadline < now:
            self.deadline = now + patience_s

    def _sweep_content(self, exchange: Exchange, pace: ContentPace, now: float) -> None:
        """Give up a request whose content comes too slowly, or no more."""
        if not exchange.awaited:
            pace.restart(now)  # its time begins when it is asked for
        elif late := pace.late(exchange.received, now, self._limits):
            error = DownstreamError(f"body: expected it in time; {late}", status=408, code="request_timeout")
            self._refuse_content(exchange, error)

    def retire(self) -> None:
        """Close after the last request that is here, or after the next one; its response says so."""
        self._retiring = True
        if self._current is not None and not self._current.answered and not self._waiting:
            self._current.keep_alive = False

    def shutdown(self) -> None:
        """Close after the response in progress, or now if there is none."""
        if self._current is not None:
            self._current.keep_alive = False
        else:
            self._transport.close()

    def abort(self) -> None:
        """Close at once; a request in progress is cancelled."""
        self._transport.abort()


def _too_large(limit: int) -> DownstreamError:
    return DownstreamError(f"head: expected at most {limit} bytes", status=431, code="head_too_large")


def _too_long(limit: int) -> DownstreamError:
    return DownstreamError(f"target: expected at most {limit} bytes", status=414, code="target_too_long")


def _cause(error: Exception) -> MeshwrightError:
    """Return the error as the client gets it."""
    if isinstance(error, MeshwrightError):
        return error
    if isinstance(error, VersionError):
        return DownstreamError(str(error), status=505, code="version_not_supported")
    return DownstreamError(str(error))


def _reset_on_close(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _close(response: Response, error: BaseException | None) -> None:
    try:
        await response.aclose(error)
    except Exception:
        logger.exception("closing a response failed")
