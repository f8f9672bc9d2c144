"""`Listener`: one connection that messages come over; who gets them goes elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from hiredis import ProtocolError, Reader

from meshwright_plugins.stores.redis.resp import Refusal, pack

OnMessage = Callable[[bytes, bytes], None]
"""Takes a channel and a message."""

_MORE = object()


class Listener(asyncio.Protocol):
    """Hands each message to `on_message` until the connection is lost; `lost` says why.

    Its replies need no order: what it asks for is confirmed or refused, and a refusal ends it.
    """

    def __init__(self, on_message: OnMessage) -> None:
        self._on_message = on_message
        self._reader = Reader(replyError=Refusal, notEnoughData=_MORE)
        self._transport: asyncio.Transport | None = None
        self._was_heard = True
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def write(self, payload: bytes) -> None:
        """Send a command; its reply is passed over."""
        if self._transport is not None:
            self._transport.write(payload)

    def probe(self) -> None:
        """Ask whether the server is there; gives it up when it has been silent since the last time."""
        if not self._was_heard:
            self.drop("it does not answer")
        self._was_heard = False
        self.write(pack(b"PING"))

    def drop(self, reason: str) -> None:
        """Close the connection; does nothing the second time."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        if not self.lost.done():
            self.lost.set_result(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.drop(f"the connection broke: {exc}" if exc else "it closed the connection")

    def data_received(self, data: bytes) -> None:
        self._was_heard = True
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _MORE:
                if isinstance(reply, Refusal):
                    self.drop(str(reply))
                    return
                if isinstance(reply, list) and len(reply) == 3 and reply[0] == b"message":
                    self._on_message(reply[1], reply[2])
        except ProtocolError as error:
            self.drop(f"it does not speak RESP: {error}")
