"""Both ends of the wire as tests hold them: a client of raw bytes and an upstream that plays a script."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from meshwright_sdk import Headers

WAIT_S = 45.0
"""How long a test waits for what has to come; only a failing test waits that long."""

_LOOKS = 30
_LOOK_S = 0.01

_SMALL_BUFFER_BYTES = 128 * 1024  # less than two packets of the loopback make it stall
_PIECE_BYTES = 16 * 1024


async def until(true: Callable[[], bool]) -> None:
    """Return when `true` says so."""
    async with asyncio.timeout(WAIT_S):
        while not true():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0)


class Quiet:
    """Tells from looks, each some time after the one before, when a number has come to rest.

    Looks are counted, and not the time alone: a process that was stopped for a while has seen nothing meanwhile.
    """

    def __init__(self) -> None:
        self._last = -1
        self._looks = 0

    def after(self, number: int) -> bool:
        """Take the number at this look; return whether it has been the same for long enough."""
        self._looks = self._looks + 1 if number == self._last else 0
        self._last = number
        return self._looks >= _LOOKS


async def still(number: Callable[[], int]) -> None:
    """Return when `number` is not 0 and has come to rest, as a buffer's size has when nothing of it leaves any more."""
    quiet = Quiet()
    async with asyncio.timeout(WAIT_S):
        while not quiet.after(number()) or not number():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(_LOOK_S)


async def turns(count: int = 20) -> None:
    """Let the loop go round: whatever needs no more than a few steps has happened then."""
    for _ in range(count):
        await asyncio.sleep(0)


@dataclass(slots=True)
class Message:
    """One message as it came: its first line, its fields, its content, and how that was framed."""

    start: str
    headers: Headers
    body: bytes = b""
    chunks: list[bytes] | None = None

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1])

    @property
    def method(self) -> str:
        return self.start.split(" ")[0]

    @property
    def target(self) -> str:
        return self.start.split(" ")[1]


class Wire:
    """One connection; raises asyncio.IncompleteReadError or ConnectionError when the other end breaks off."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, bytewise: bool = False) -> None:
        self.reader = reader
        self.writer = writer
        self._bytewise = bytewise
        self.trailers: list[bytes] = []

    async def send(self, *parts: bytes) -> None:
        """Send the parts in one piece, or byte by byte where the test wants it so."""
        data = b"".join(parts)
        if self.writer.transport.is_closing():
            raise ConnectionResetError
        if not self._bytewise:
            self.writer.write(data)
        else:
            for place in range(len(data)):
                self.writer.write(data[place : place + 1])
                await turns(3)
        async with asyncio.timeout(WAIT_S):
            await self.writer.drain()

    async def read(self, size: int) -> bytes:
        async with asyncio.timeout(WAIT_S):
            return await self.reader.readexactly(size)

    async def skip(self, size: int) -> None:
        """Read so many bytes and throw them away."""
        while size:
            async with asyncio.timeout(WAIT_S):
                data = await self.reader.read(min(size, 2**20))
            if not data:
                raise asyncio.IncompleteReadError(b"", size)
            size -= len(data)

    async def read_until(self, end: bytes) -> bytes:
        async with asyncio.timeout(WAIT_S):
            return await self.reader.readuntil(end)

    async def rest(self) -> bytes:
        """Return everything up to the end of the connection; raises ConnectionError when it was cut off."""
        async with asyncio.timeout(WAIT_S):
            return await self.reader.read()

    async def head(self) -> Message:
        start, *lines = (await self.read_until(b"\r\n\r\n"))[:-4].split(b"\r\n")
        fields = [line.partition(b": ") for line in lines]
        return Message(start.decode(), Headers.from_raw([(name.lower(), value) for name, _, value in fields]))

    async def message(self, *, bodiless: bool = False) -> Message:
        """Return the next request or response, whole."""
        message = await self.head()
        answer = message.start.startswith("HTTP/")
        if bodiless or (answer and (message.status < 200 or message.status in (204, 304))):
            return message
        if "transfer-encoding" in message.headers:
            message.chunks = [chunk async for chunk in self.chunks()]
            message.body = b"".join(message.chunks)
        elif "content-length" in message.headers:
            message.body = await self.read(int(message.headers["content-length"]))
        elif answer:
            message.body = await self.rest()
        return message

    async def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the chunks up to the last one, which is taken too."""
        while size := int(await self.read_until(b"\r\n"), 16):
            yield await self.read(size)
            assert await self.read(2) == b"\r\n"
        while (line := await self.read_until(b"\r\n")) != b"\r\n":
            self.trailers.append(line)

    async def ended(self) -> bool:
        """Wait for the other end to close; return whether it ended cleanly, with nothing more to read."""
        try:
            return await self.rest() == b""
        except ConnectionError:
            return False

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Break off as a crash does: the other end gets a reset."""
        if self.writer.transport.is_closing():
            return
        bound: socket.socket = self.writer.get_extra_info("socket")
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Wire], Awaitable[None]]
"""What an upstream does with each connection it gets; the connection closes when it returns."""


@dataclass(slots=True)
class ScriptedUpstream:
    """A server that plays a script on each connection, and what it saw."""

    script: Script
    port: int = 0
    wires: list[Wire] = field(default_factory=list)
    requests: list[Message] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    running: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer)
        self.wires.append(wire)
        task = asyncio.current_task()
        assert task is not None
        self.running.add(task)
        try:
            await self.script(wire)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the other end has left, or the test has
        except Exception as error:
            self.failures.append(error)
        finally:
            writer.close()
            self.running.discard(task)


def listening_socket(*, small_buffers: bool = False) -> socket.socket:
    """Return a socket on a free port; with small buffers the kernel hides little of the back-pressure."""
    bound = socket.create_server(("127.0.0.1", 0), backlog=256)
    if small_buffers:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_BUFFER_BYTES)
    bound.setblocking(False)
    return bound


@asynccontextmanager
async def scripted_upstream(
    script: Script, *, small_buffers: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedUpstream]:
    """Run an upstream; a script that failed fails the test."""
    upstream = ScriptedUpstream(script)
    bound = listening_socket(small_buffers=small_buffers)
    upstream.port = bound.getsockname()[1]
    limit = _SMALL_BUFFER_BYTES if small_buffers else 2**16
    server = await asyncio.start_server(upstream.serve, sock=bound, limit=limit, ssl=tls)
    try:
        yield upstream
    finally:
        await turns()  # a connection that was just accepted has no task yet
        server.close()
        await turns()
        for task in tuple(upstream.running):
            task.cancel()
        await until(lambda: not upstream.running)
        for wire in upstream.wires:
            wire.writer.transport.abort()
        await turns()
    for failure in upstream.failures:
        raise failure


async def connect(port: int, *, bytewise: bool = False, small_buffers: bool = False) -> Wire:
    """Return a client's connection to `port`."""
    near = socket.socket()
    if small_buffers:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_BUFFER_BYTES)
    near.setblocking(False)
    await asyncio.get_running_loop().sock_connect(near, ("127.0.0.1", port))
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    limit = _SMALL_BUFFER_BYTES if small_buffers else 2**20
    reader, writer = await asyncio.open_connection(sock=near, limit=limit)
    return Wire(reader, writer, bytewise=bytewise)


async def push(wire: Wire, size: int) -> int:
    """Send zeros until nothing more is taken, or `size` are gone; return how many went."""
    wire.writer.transport.set_write_buffer_limits(high=_PIECE_BYTES)
    sent = 0
    while sent < size:
        wire.writer.write(bytes(_PIECE_BYTES))
        sent += _PIECE_BYTES
        if not await _drains(wire.writer):
            break
    return sent


async def _drains(writer: asyncio.StreamWriter) -> bool:
    """Wait until there is room again; return False when nothing leaves any more."""
    draining = asyncio.get_running_loop().create_task(writer.drain())
    quiet = Quiet()
    try:
        while not quiet.after(writer.transport.get_write_buffer_size()):
            if (await asyncio.wait([draining], timeout=_LOOK_S))[0]:
                await draining
                return True
        return False
    finally:
        draining.cancel()


async def pour(wire: Wire, size: int) -> None:
    """Send so many zeros, as fast as they are taken."""
    for place in range(0, size, _PIECE_BYTES):
        await wire.send(bytes(min(_PIECE_BYTES, size - place)))


FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+: [\t -~\x80-\xff]*")
