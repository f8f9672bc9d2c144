"""`AppSocket`: a WebSocket endpoint of an ASGI application, as the tunnel behind a 101; no HTTP goes in here."""

from __future__ import annotations

import asyncio
import base64
import binascii

from wsproto.connection import ConnectionType

from meshwright.asgi.channel import Channel
from meshwright.asgi.framing import ABNORMAL, Close, Framing, accept_key
from meshwright_sdk.asgi import App, Message, Receive, Scope, Send
from meshwright_sdk.errors import DownstreamError, ResetError
from meshwright_sdk.headers import RawHeaders
from meshwright_sdk.request import Request

CLOSE_WAIT_S = 5.0
"""How long a client may take to answer the application's close."""
LINGER_S = 30.0
"""How long an application may go on when its client has left."""

_HANDSHAKE = frozenset((b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol"))


def websocket_key(request: Request) -> bytes:
    """Return the key of a WebSocket handshake; raises DownstreamError (RFC 6455, section 4.2.1)."""
    version = request.headers.get_bytes(b"sec-websocket-version")
    if request.method != "GET" or version != b"13":
        error = DownstreamError("websocket: expected GET and version 13", status=426, code="websocket_version")
        error.headers["sec-websocket-version"] = "13"
        raise error
    key = request.headers.get_bytes(b"sec-websocket-key") or b""
    try:
        valid = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        valid = False
    if not valid:
        raise DownstreamError("sec-websocket-key: expected 16 bytes in base64")
    return key


class AppSocket:
    """Both sides of one WebSocket to an application: frames for the tunnel, messages for the application.

    It is run as an HTTP application (`run`) whose answer is the 101, or whatever refuses the handshake; the
    101's tunnel is this object. Both directions are bounded: `write` waits for the application, its `send`
    for the client.
    """

    def __init__(self, app: App, scope: Scope, key: bytes) -> None:
        self._app = app
        self._scope = scope
        self._key = key
        self._framing = Framing(ConnectionType.SERVER)
        self._inwards: Channel[Message] = Channel()
        self._outwards: Channel[bytes] = Channel()
        self._refuse_by: Send | None = None
        self._connected = False
        self._accepted = False
        self._refused = False
        self._finished = False
        self._left: Close | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    # The application's side

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; `send` takes its answer to the handshake as HTTP messages."""
        self._refuse_by = send
        self._task = asyncio.current_task()
        try:
            await self._app(self._scope, self._receive, self._send)
        except BaseException as error:
            self._finish(1001 if isinstance(error, asyncio.CancelledError) else 1011)
            raise
        finally:
            self._task = None
        self._finish(1000)

    async def _receive(self) -> Message:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        message = await self._inwards.pop()
        if message is not None:
            return message
        left = self._left or Close(ABNORMAL)
        return {"type": "websocket.disconnect", "code": left.code, "reason": left.reason}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if not self._accepted:
            await self._answer_handshake(kind, message)
        elif self._left is not None or self._outwards.ended:
            raise BrokenPipeError("asgi: the client is gone")
        elif self._finished:
            raise RuntimeError(f"asgi: expected nothing after websocket.close; got {kind!r}")
        elif kind == "websocket.send":
            data = message.get("text")
            self._push(self._framing.send(message["bytes"] if data is None else data))
            await self._outwards.room()
        elif kind == "websocket.close":
            self._finish(message.get("code", 1000), message.get("reason") or "")
        else:
            raise RuntimeError(f"asgi: expected websocket.send or websocket.close; got {kind!r}")

    async def _answer_handshake(self, kind: str, message: Message) -> None:
        send = self._refuse_by
        assert send is not None
        if kind == "websocket.accept" and not self._refused:
            self._accepted = True
            await _respond(send, 101, self._accept_fields(message))
        elif kind == "websocket.close" and not self._refused:
            self._refused = True
            await _respond(send, 403, [])
        elif kind.startswith("websocket.http.response."):
            self._refused = True
            await send({**message, "type": kind.removeprefix("websocket.")})
        else:
            raise RuntimeError(f"asgi: expected an answer to the handshake; got {kind!r}")

    def _accept_fields(self, message: Message) -> RawHeaders:
        given = [(name.lower(), value) for name, value in message.get("headers") or ()]
        fields = [field for field in given if field[0] not in _HANDSHAKE]
        fields.append((b"sec-websocket-accept", accept_key(self._key)))
        if subprotocol := message.get("subprotocol"):
            fields.append((b"sec-websocket-protocol", subprotocol.encode("latin-1")))
        return fields

    def _finish(self, code: int, reason: str = "") -> None:
        """Close towards the client, and give it a while to answer."""
        if not self._accepted or self._finished or self._outwards.ended:
            return
        self._finished = True
        self._push(self._framing.close(code, reason))
        self._timer = asyncio.get_running_loop().call_later(CLOSE_WAIT_S, self._end, Close(ABNORMAL))

    def _push(self, data: bytes) -> None:
        if data:
            self._outwards.push(data, len(data))

    def _end(self, left: Close) -> None:
        """End both directions: the client has left, or said that it will."""
        if self._left is not None:
            return
        self._left = left
        if self._timer is not None:
            self._timer.cancel()
        self._inwards.end()
        self._outwards.end()
        if self._task is not None:
            self._timer = asyncio.get_running_loop().call_later(LINGER_S, self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    # The tunnel's side

    async def read(self) -> bytes:
        """Return the next bytes for the client, or b"" at the end."""
        return await self._outwards.pop() or b""

    async def write(self, data: bytes) -> None:
        """Take bytes from the client; waits while the application is behind. Raises ResetError after the end."""
        if self._outwards.ended:
            raise ResetError("websocket: the application has closed it")
        messages, reply = self._framing.receive(data)
        for message in messages:
            kind = "text" if isinstance(message, str) else "bytes"
            self._inwards.push({"type": "websocket.receive", kind: message}, len(message))
        self._push(reply)
        if self._framing.closed is not None:
            self._end(self._framing.closed)
            return
        await self._inwards.room()
        await self._outwards.room()

    def close(self) -> None:
        """Take note that the client is gone; the application is told by a disconnect."""
        self._end(Close(ABNORMAL))


async def _respond(send: Send, status: int, fields: RawHeaders) -> None:
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
