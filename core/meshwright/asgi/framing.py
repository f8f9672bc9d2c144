"""`Framing`: one end of a WebSocket as a function from bytes to messages and back; no I/O goes in here."""

from __future__ import annotations

import base64
import hashlib
from typing import NamedTuple

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

MAX_MESSAGE_BYTES = 16 * 1024 * 1024

NO_STATUS = 1005
ABNORMAL = 1006
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: bytes) -> bytes:
    """Return the Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455, section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


class Close(NamedTuple):
    """How a WebSocket ended; 1005 stands for a close without a code, 1006 for none at all (RFC 6455, 7.1.5)."""

    code: int
    reason: str = ""


class Framing:
    """One end of a WebSocket without extensions: whole messages, at most `max_message_bytes` long.

    Pings are answered and a close is echoed in what `receive` returns. `closed` tells how the peer closed, or
    why its bytes could not be read; nothing is received after that.
    """

    __slots__ = ("_connection", "_max_message_bytes", "_parts", "_reply", "_size", "closed")

    def __init__(self, kind: ConnectionType, *, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._connection = Connection(kind)
        self._max_message_bytes = max_message_bytes
        self._parts: list[str | bytes] = []
        self._size = 0
        self._reply = bytearray()
        self.closed: Close | None = None

    def receive(self, data: bytes) -> tuple[list[str | bytes], bytes]:
        """Take bytes from the peer; return the messages that are complete now, and what is to be sent in answer."""
        messages: list[str | bytes] = []
        if self.closed is None:
            self._connection.receive_data(data)
            for event in self._connection.events():
                self._take(event, messages)
                if self.closed is not None:
                    break
        reply = bytes(self._reply)
        self._reply.clear()
        return messages, reply

    def _take(self, event: Event, messages: list[str | bytes]) -> None:
        if isinstance(event, TextMessage | BytesMessage):
            self._collect(event, messages)
        elif isinstance(event, Ping):
            if self._connection.state is ConnectionState.OPEN:
                self._reply += self._connection.send(event.response())
        elif isinstance(event, CloseConnection):
            self._end(event.code, event.reason or "")

    def _collect(self, event: TextMessage | BytesMessage, messages: list[str | bytes]) -> None:
        part = event.data
        self._size += len(part) if not isinstance(part, str) or part.isascii() else len(part.encode())
        if self._size > self._max_message_bytes:
            self._end(CloseReason.MESSAGE_TOO_BIG, f"at most {self._max_message_bytes} bytes")
            return
        self._parts.append(part if isinstance(part, str) else bytes(part))
        if event.message_finished:
            whole = self._parts[0] if len(self._parts) == 1 else _joined(self._parts)
            self._parts, self._size = [], 0
            messages.append(whole)

    def _end(self, code: int, reason: str) -> None:
        self.closed = Close(int(code), reason)
        self._reply += self.close(code, reason)

    def send(self, message: str | bytes) -> bytes:
        """Return a message as bytes; nothing once a close was sent or received."""
        if self._connection.state is not ConnectionState.OPEN:
            return b""
        event = TextMessage(message) if isinstance(message, str) else BytesMessage(message)
        return bytes(self._connection.send(event))

    def close(self, code: int, reason: str = "") -> bytes:
        """Return the frame that closes this end, or answers the peer's close; nothing when that was done before."""
        if self._connection.state not in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            return b""
        if code == NO_STATUS:
            return bytes(self._connection.send(CloseConnection(CloseReason.NO_STATUS_RCVD)))
        return bytes(self._connection.send(CloseConnection(code, reason or None)))


def _joined(parts: list[str | bytes]) -> str | bytes:
    """Return the parts of one message, which are all text or all bytes."""
    if isinstance(parts[0], str):
        return "".join(part for part in parts if isinstance(part, str))
    return b"".join(part for part in parts if isinstance(part, bytes))
