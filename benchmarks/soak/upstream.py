"""The service behind the gateway in a soak: it answers as agreed, and breaks off at random."""

from __future__ import annotations

import asyncio
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

from benchmarks.load.streams import SWITCHED
from benchmarks.soak.contents import EVENT, Message, chunk, content, read_message

BREAK_SHARE = 0.03
"""How likely it is to break off at each of the points where it may."""

PIECE = 1 << 15


class BrokenOff(Exception):
    """This end has broken off on purpose."""


class Upstream:
    """Serves connections; `broken` counts those that it has broken off."""

    def __init__(self, random: Random) -> None:
        self.broken = 0
        self._random = random

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Serve on a free port, which is given, until the block ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        async with server:
            port: int = server.sockets[0].getsockname()[1]
            yield port

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            with suppress(IncompleteReadError, ConnectionError, BrokenOff):
                while True:
                    await self._answer(await read_message(reader), reader, writer)
        finally:
            writer.close()

    async def _answer(self, request: Message, reader: StreamReader, writer: StreamWriter) -> None:
        self._perhaps_break(writer, b"HTTP/1.1 200 OK\r\nContent-Le")
        kind, _, size = request.path.strip("/").partition("/")
        if kind == "websocket":
            await self._echo(reader, writer)
        elif kind == "events":
            await self._send_chunks(writer, [EVENT] * int(size), b"text/event-stream")
        elif kind == "chunked":
            await self._send_chunks(writer, _pieces(int(size)), b"application/octet-stream")
        else:
            await self._send(writer, request.body if kind == "echo" else content(int(size)))

    async def _send(self, writer: StreamWriter, body: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), PIECE):
            self._perhaps_break(writer)
            writer.write(body[start : start + PIECE])
            await writer.drain()

    async def _send_chunks(self, writer: StreamWriter, pieces: list[bytes], kind: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % kind)
        for piece in pieces:
            self._perhaps_break(writer, b"ff\r\nhalf of a ch")
            writer.write(chunk(piece))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")

    async def _echo(self, reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(SWITCHED)
        while data := await reader.read(PIECE):
            self._perhaps_break(writer)
            writer.write(data)
            await writer.drain()

    def _perhaps_break(self, writer: StreamWriter, last_words: bytes = b"") -> None:
        """Now and then, end the connection in order or with a reset, after a piece of a message or nothing."""
        if self._random.random() > BREAK_SHARE:
            return
        self.broken += 1
        if self._random.random() < 0.5:
            writer.write(last_words)
        if self._random.random() < 0.5:
            writer.transport.abort()
        raise BrokenOff


def _pieces(size: int) -> list[bytes]:
    body = content(size)
    return [body[start : start + PIECE] for start in range(0, size, PIECE)]
