"""One WebSocket that came by ASGI: through the chain as an Upgrade request, then message by message; no HTTP here."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from wsproto.connection import ConnectionType

from meshwright.asgi.exchange import sendable
from meshwright.asgi.framing import ABNORMAL, MAX_MESSAGE_BYTES, NO_STATUS, Close, Framing, accept_key
from meshwright.asgi.inbox import Inbox, Watch
from meshwright.asgi.incoming import websocket_request
from meshwright.http1.forwarding import DEFAULT_FORWARDING, Forwarding
from meshwright.http1.server import Handle
from meshwright_sdk.asgi import Message, Receive, Scope, Send, send_response
from meshwright_sdk.errors import ClientGoneError, DownstreamError, ProtocolError, UpstreamError
from meshwright_sdk.headers import RawHeaders
from meshwright_sdk.hop_by_hop import HOP_BY_HOP
from meshwright_sdk.problems import problem
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response, Tunnel
from meshwright_sdk.tasks import Tasks

CLOSE_WAIT_S = 5.0
"""How long an upstream may take to answer the client's close."""

_OWN = HOP_BY_HOP | {b"sec-websocket-accept", b"sec-websocket-protocol", b"date", b"server", b"content-length"}


async def serve_websocket(
    handle: Handle,
    watch: Watch,
    scope: Scope,
    receive: Receive,
    send: Send,
    forwarding: Forwarding = DEFAULT_FORWARDING,
) -> None:
    """Answer one WebSocket scope; a client that leaves during the handshake cancels the request."""
    inbox = Inbox(receive, watch)
    loop = asyncio.get_running_loop()
    try:
        await inbox.receive()  # websocket.connect
        async with asyncio.timeout(None) as limit:
            inbox.watch(lambda: limit.reschedule(loop.time()))
            response = await _handshake(handle, scope, forwarding)
            inbox.finish()
        if response.tunnel is None:
            await _refuse(response, scope, send)
        else:
            await _accept(response, response.tunnel, inbox, send)
    except ClientGoneError:
        pass
    except TimeoutError:
        if not inbox.gone:
            raise
    finally:
        inbox.close()


async def _handshake(handle: Handle, scope: Scope, forwarding: Forwarding) -> Response:
    """Return the chain's answer to the handshake: one with a tunnel that is a WebSocket for sure, or a refusal."""
    try:
        request = websocket_request(scope, forwarding)
    except DownstreamError as error:
        return problem(error)
    response = await handle(request)
    if response.tunnel is None:
        return await sendable(response, request)
    try:
        _check_accept(request, response)
    except ProtocolError as error:
        await response.aclose(error)
        return problem(error, request)
    return response


def _check_accept(request: Request, response: Response) -> None:
    """Raise ProtocolError for an answer that is no WebSocket handshake (RFC 6455, section 4.1)."""
    fields = response.headers
    key = request.headers.get_bytes(b"sec-websocket-key") or b""
    if fields.get_bytes(b"sec-websocket-accept") != accept_key(key):
        raise ProtocolError("upstream: its Sec-WebSocket-Accept does not belong to the request")
    if fields.get_bytes(b"sec-websocket-extensions") is not None:
        raise ProtocolError("upstream: it chose a WebSocket extension that was not offered")
    subprotocol = fields.get("sec-websocket-protocol")
    offered = request.headers.get("sec-websocket-protocol", "")
    if subprotocol is not None and subprotocol not in [word.strip() for word in offered.split(",")]:
        raise ProtocolError("upstream: it chose a WebSocket subprotocol that was not offered")


async def _refuse(response: Response, scope: Scope, send: Send) -> None:
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await response.aclose()
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
        return

    async def send_websocket(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    response.headers.raw = _passed_on(response)
    if response.body.length is not None:
        response.headers.raw.append((b"content-length", b"%d" % response.body.length))
    await send_response(response, send_websocket)


async def _accept(response: Response, tunnel: Tunnel, inbox: Inbox, send: Send) -> None:
    try:
        subprotocol = response.headers.get("sec-websocket-protocol")
        await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": _passed_on(response)})
        await Bridge(tunnel, inbox, send).run()
    except BaseException as error:
        await response.aclose(error)
        raise
    await response.aclose()


def _passed_on(response: Response) -> RawHeaders:
    return [field for field in response.headers.raw if field[0] not in _OWN]


class Bridge:
    """Messages between an ASGI client and the tunnel to an upstream, both ways, until one of them closes.

    Each message waits until the other side has taken the one before, so nothing piles up in between. How one
    side closes is how the other one is closed; pings are answered on the spot.
    """

    __slots__ = ("_client_gone", "_framing", "_inbox", "_limit", "_send", "_tunnel")

    def __init__(self, tunnel: Tunnel, inbox: Inbox, send: Send, *, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._tunnel = tunnel
        self._inbox = inbox
        self._send = send
        self._framing = Framing(ConnectionType.CLIENT, max_message_bytes=max_message_bytes)
        self._client_gone = False
        self._limit = asyncio.timeout(None)

    async def run(self) -> None:
        """Carry messages until either side has closed; raises ClientGoneError when the client broke off."""
        tasks = Tasks()
        tasks.spawn(self._to_upstream(), name="websocket to upstream")
        try:
            async with self._limit:
                closed = await self._to_client()
        except TimeoutError:
            closed = Close(ABNORMAL)
        finally:
            await tasks.close()
        code = 1011 if closed.code == ABNORMAL else closed.code
        await self._deliver({"type": "websocket.close", "code": code, "reason": closed.reason})

    async def _to_client(self) -> Close:
        """Pass the upstream's messages on; return how it closed."""
        framing, tunnel = self._framing, self._tunnel
        with suppress(UpstreamError):
            while framing.closed is None and (data := await tunnel.read()):
                messages, reply = framing.receive(data)
                for message in messages:
                    kind = "text" if isinstance(message, str) else "bytes"
                    await self._deliver({"type": "websocket.send", kind: message})
                if reply:
                    await tunnel.write(reply)
        return framing.closed or Close(ABNORMAL)

    async def _deliver(self, message: Message) -> None:
        if self._client_gone:
            return
        try:
            await self._send(message)
        except OSError as error:
            raise ClientGoneError("client: closed the connection") from error

    async def _to_upstream(self) -> None:
        """Pass the client's messages on, and its close; then the upstream has a while to answer that."""
        try:
            while not self._client_gone:
                await self._pass_on(await self._inbox.receive())
        except UpstreamError:
            pass  # whoever reads from the upstream finds out too
        except Exception:
            self._tunnel.close()
            raise

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "websocket.receive":
            data = message.get("text")
            frame = self._framing.send(message["bytes"] if data is None else data)
        else:
            self._client_gone = True
            code = message.get("code") or NO_STATUS
            if code == ABNORMAL:
                self._tunnel.close()
                return
            self._limit.reschedule(asyncio.get_running_loop().time() + CLOSE_WAIT_S)
            frame = self._framing.close(code, message.get("reason") or "")
        if frame:
            await self._tunnel.write(frame)
