from __future__ import annotations

import asyncio
import gc
from itertools import product
from pathlib import Path

from meshwright.http1.client import UpstreamConnection
from meshwright.http1.exchange import Exchange
from meshwright.http1.server import HttpServerProtocol
from meshwright.http1.stream import BodyStream
from meshwright_sdk import Request, Response
from tests.core.http1.harness import gateway_to
from tests.core.http1.wire import Wire, pour, turns, until

SIZE = 64 * 2**20
ALLOWED = 16 * 2**20
PAUSE_EVERY = 4 * 2**20


def resident_bytes() -> int:
    """Return the memory that this process holds, by the kernel's account."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Peak:
    """The most memory a process held since it began to watch."""

    def __init__(self) -> None:
        gc.collect()
        self._before = self._most = resident_bytes()

    def look(self) -> None:
        self._most = max(self._most, resident_bytes())

    @property
    def grown(self) -> int:
        return self._most - self._before


async def take_slowly(wire: Wire, size: int, peak: Peak) -> None:
    """Read `size` bytes; now and then leave the other side alone, so that it fills whatever it can fill."""
    got = paused = 0
    while got < size:
        got += len(data := await wire.reader.read(64 * 1024))
        assert data
        if got - paused >= PAUSE_EVERY:
            paused = got
            peak.look()
            await asyncio.sleep(0.01)
    peak.look()


async def test_a_long_download_to_a_slow_client_takes_little_memory() -> None:
    async def script(wire: Wire) -> None:
        while True:
            await wire.message()
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE)
            await pour(wire, SIZE)

    async with gateway_to(script) as rig:
        wire = await rig.client()
        peak = Peak()
        await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await wire.head()
        await take_slowly(wire, SIZE, peak)
    assert peak.grown < ALLOWED


async def test_a_long_upload_to_a_slow_upstream_takes_little_memory() -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await take_slowly(wire, SIZE, peak)
        await wire.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        await wire.rest()

    async with gateway_to(script) as rig:
        wire = await rig.client()
        peak = Peak()
        await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % SIZE)
        await pour(wire, SIZE)
        assert (await wire.message()).status == 204
    assert peak.grown < ALLOWED


def alive(*kinds: type) -> int:
    return sum(isinstance(each, kinds) for each in gc.get_objects())


async def test_connections_and_requests_are_freed_without_the_garbage_collector() -> None:
    kinds = (HttpServerProtocol, UpstreamConnection, Exchange, Request, Response, BodyStream)

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
        await turns(5)
        await wire.send(b"0\r\n\r\n")

    gc.collect()
    gc.disable()
    try:
        async with gateway_to(script) as rig:
            before = alive(*kinds)
            for whole, leave in product((True, False), (Wire.close, Wire.reset)):
                wire = await rig.client()
                await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nh")
                await turns()
                await wire.send(b"i")
                if whole:
                    assert (await wire.message()).body == b"ok"
                else:
                    await wire.head()
                leave(wire)
                await until(lambda: not rig.server.connections and not rig.endpoint.pool.open)
            await turns()
            rig.begun.clear()
            assert alive(*kinds) == before
    finally:
        gc.enable()
