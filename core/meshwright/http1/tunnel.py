"""The bytes of a tunnel between a client's connection and what switched protocols; no HTTP goes in here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from meshwright.http1.stream import BodyStream, Flow, Sink
from meshwright_sdk.errors import MeshwrightError
from meshwright_sdk.response import Tunnel


async def carry(source: BodyStream, tunnel: Tunnel, write: Callable[[bytes], Awaitable[None]]) -> None:
    """Carry bytes both ways until one end closes; raises ResetError when the far end breaks off.

    `write` sends to the client and returns when there is room for more.
    """
    inwards = asyncio.get_running_loop().create_task(_carry_inwards(source, tunnel), name="tunnel inwards")
    try:
        while data := await tunnel.read():
            await write(data)
    finally:
        inwards.cancel()


async def _carry_inwards(source: BodyStream, tunnel: Tunnel) -> None:
    try:
        async for data in source:
            await tunnel.write(data)
    except MeshwrightError:
        tunnel.close()


class Line(Flow, Protocol):
    """The connection to an endpoint, as its tunnel sees it."""

    def write(self, data: bytes) -> None:
        """Send raw bytes."""

    async def drain(self) -> None:
        """Return when there is room for more; raises ResetError when the connection is gone."""

    def take_tunnel_input(self, source: BodyStream) -> None:
        """Send everything that comes from `source`, no faster than the endpoint takes it."""

    def close(self) -> None:
        """Close the connection once what was written is sent."""


class UpstreamTunnel:
    """The connection to an endpoint as a byte stream both ways, after a 101.

    It is read and written, or joined to the stream of a client, and then nothing is awaited for its bytes.
    """

    __slots__ = ("_line", "incoming")

    def __init__(self, line: Line) -> None:
        self._line = line
        self.incoming = BodyStream(line)

    async def read(self) -> bytes:
        """Return the next bytes, or b"" at the end; raises ResetError."""
        return await anext(self.incoming, b"")

    async def write(self, data: bytes) -> None:
        """Send `data` and wait for room; raises ResetError."""
        await self._line.drain()
        self._line.write(data)

    def join(self, source: BodyStream, sink: Sink) -> None:
        """Pass on what comes from `source`, and what comes from the endpoint to `sink`, until one of them ends."""
        self._line.take_tunnel_input(source)
        self.incoming.pipe(sink)

    def close(self) -> None:
        """Close the connection once what was written is sent."""
        self._line.close()


class TunnelInput:
    """Writes what a client sends into a tunnel to the connection that it leads to."""

    __slots__ = ("_line",)

    def __init__(self, line: Line) -> None:
        self._line = line

    def write(self, data: bytes) -> None:
        self._line.write(data)

    def end(self) -> None:
        self._line.close()

    def fail(self, error: BaseException) -> None:
        self._line.close()
