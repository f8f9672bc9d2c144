"""A pool of connections to a scripted upstream, for tests of the client's side alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from meshwright.http1.client import UpstreamConnection
from meshwright.traffic.pool import Pool, PoolLimits
from meshwright_sdk import Request, Response, parse_origin
from tests.core.http1.wire import Message, Script, ScriptedUpstream, Wire, scripted_upstream, until

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def take(pool: Pool) -> UpstreamConnection:
    """Return a connection of the pool, as a service takes it."""
    return pool.take_idle() or await pool.take_new()


@dataclass(slots=True)
class Line:
    """A pool of connections to a scripted upstream."""

    pool: Pool
    upstream: ScriptedUpstream
    connections: list[UpstreamConnection] = field(default_factory=list)

    async def ask(self, request: Request) -> Response:
        connection = await take(self.pool)
        if connection not in self.connections:
            self.connections.append(connection)
        return await connection.exchange(request)

    @property
    def idle(self) -> int:
        return self.pool.status()["idle"]


@asynccontextmanager
async def line_to(
    script: Script, limits: PoolLimits | None = None, *, small_buffers: bool = False
) -> AsyncIterator[Line]:
    """Run an upstream and a pool to it; at the end no connection is in use."""
    async with scripted_upstream(script, small_buffers=small_buffers) as upstream:
        pool = Pool(parse_origin(upstream.url), limits or PoolLimits())
        yield Line(pool, upstream)
        await until(lambda: not pool.status()["active"])
        pool.close()
        await until(lambda: not pool.open)


def answering(*answers: bytes, bytewise: bool = False, then_close: bool = False) -> Script:
    """Answer one request after the other; then wait for the end, or close."""

    async def play(wire: Wire) -> None:
        wire = Wire(wire.reader, wire.writer, bytewise=bytewise)
        for answer in answers:
            await wire.message()
            await wire.send(answer)
        if not then_close:
            await wire.rest()

    return play


async def content(response: Response) -> bytes:
    return await response.body.read(2**24)


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each


def keeping(seen: list[Message], answer: bytes = OK) -> Script:
    """Keep each request and give the one answer."""

    async def play(wire: Wire) -> None:
        while True:
            seen.append(await wire.message())
            await wire.send(answer)

    return play
