"""Peers that take nothing of what they are sent; what a slow one is spared stands here too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from meshwright.http1.backlog import Backlog
from meshwright.http1.settings import ServerLimits
from meshwright.traffic.pool import PoolLimits
from meshwright_sdk import Body, Request, Response, Tunnel, UpstreamTimeoutError
from meshwright_sdk.testing import make_request
from tests.core.http1.harness import Rig, gateway_to, serving
from tests.core.http1.line import OK, line_to
from tests.core.http1.test_upgrade import ASK, SWITCH, upgrade_request
from tests.core.http1.wire import Wire, push, still, turns, until

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
SIZE = 32 * 2**20
CLIENT_LIMITS = ServerLimits(idle_timeout_s=75.0, body_timeout_s=1e6, body_grace_s=1e6, half_close_s=0.0)
LIMITS = PoolLimits(first_byte_timeout_s=1e6, body_idle_timeout_s=60.0)


def now() -> float:
    return asyncio.get_running_loop().time()


async def client_is_stuck(rig: Rig) -> None:
    await until(lambda: bool(rig.server.connections) and rig.server.connection._transport is not None)
    await still(rig.server.connection._transport.get_write_buffer_size)


async def let_go(rig: Rig) -> None:
    """Sweep the client's connection up to and beyond its time, and see it go then."""
    start = now()
    for late_s in (0.0, 40.0, 74.0):
        rig.server.connection.sweep(start + late_s)
        rig.endpoint.pool.sweep(start + late_s)
    await turns()
    assert rig.server.connections
    rig.server.connection.sweep(start + 76.0)
    await until(lambda: not rig.server.connections)
    await rig.settled()


def test_only_what_leaves_is_a_sign_of_life() -> None:
    backlog = Backlog(100, 0.0)
    looks = ((100, 1.0), (78, 2.0), (79, 3.0), (79, 4.0), (57, 5.0))
    waits = [backlog.stuck_s(*look) for look in looks]

    assert waits == [1.0, 2.0, 0.0, 1.0, 2.0]


HEADS = {
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE,
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n" % SIZE,
    "end": b"HTTP/1.1 200 OK\r\n\r\n",
    "tunnel": SWITCH,
}


@pytest.mark.parametrize("head", HEADS)
async def test_a_client_that_takes_nothing_of_a_stream_is_let_go_after_its_time(head: str) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(HEADS[head])
        await push(wire, SIZE)
        await wire.rest()

    async with gateway_to(script, small_buffers=True, limits=LIMITS, client_limits=CLIENT_LIMITS) as rig:
        wire = await rig.client()
        await wire.send(ASK if head == "tunnel" else GET)
        await wire.head()
        await client_is_stuck(rig)
        await let_go(rig)


@pytest.mark.parametrize("switch", [False, True], ids=["events", "tunnel"])
async def test_events_that_trickle_into_a_full_socket_give_it_no_more_time(switch: bool) -> None:
    """They fill no buffer for hours, so that nothing is ever stopped."""
    more = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(SWITCH if switch else b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await more.wait()
            more.clear()
            await wire.send(b"data: event\n\n")

    async with gateway_to(script, small_buffers=True, limits=LIMITS, client_limits=CLIENT_LIMITS) as rig:
        wire = await rig.client()
        await wire.send(ASK if switch else GET)
        await wire.head()
        await until(lambda: rig.server.connection._body_source is not None)
        filled = rig.server.connection
        while filled._transport.get_write_buffer_size() < 1000:
            filled.write(bytes(8000))
            await asyncio.sleep(0.01)
        await client_is_stuck(rig)
        start = now()
        for late_s in (0.0, 40.0, 74.0, 76.0):
            unsent = filled._transport.get_write_buffer_size()
            more.set()
            await until(lambda: filled._transport.get_write_buffer_size() > unsent)  # noqa: B023 - it waits here
            assert filled._writable is None
            assert rig.server.connections
            filled.sweep(start + late_s)
        await until(lambda: not rig.server.connections)
        await rig.settled()


async def zeros() -> AsyncIterator[bytes]:
    for _ in range(SIZE // 2**16):
        yield bytes(2**16)


class Source(Tunnel):
    """A tunnel that is no connection of ours, as an ASGI application's is; it gives without end."""

    closed = False

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        return bytes(2**16)

    async def write(self, data: bytes) -> None: ...

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("kind", ["body", "tunnel"])
async def test_what_a_filter_makes_is_given_up_with_a_client_that_takes_nothing(kind: str) -> None:
    ended: list[BaseException | None] = []

    async def handle(request: Request) -> Response:
        response = Response(200, None, zeros()) if kind == "body" else Response(101)
        if kind == "tunnel":
            response.tunnel = Source()
        response.on_close(ended.append)
        return response

    async with serving(handle, small_buffers=True, limits=CLIENT_LIMITS) as server:
        wire = await server.client()
        await wire.send(GET if kind == "body" else ASK)
        await wire.head()
        await still(server.connection._transport.get_write_buffer_size)
        start = now()
        for late_s in (0.0, 74.0):
            server.connection.sweep(start + late_s)
        await turns()
        assert (server.connections, ended) != ([], [])
        server.connection.sweep(start + 76.0)
        await until(lambda: not server.connections and bool(ended))


async def test_a_client_that_takes_a_stream_slowly_is_served_to_its_end() -> None:
    async with gateway_to(
        lambda wire: stream(wire, 6 * 2**20), small_buffers=True, limits=LIMITS, client_limits=CLIENT_LIMITS
    ) as rig:
        wire = await rig.client()
        await wire.send(GET)
        await wire.head()
        left, later = 6 * 2**20, now()
        while left:
            if rig.server.connections:
                rig.server.connection.sweep(later)
            await wire.read(min(2**19, left))
            left -= min(2**19, left)
            await turns(50)
            later += 10.0


async def stream(wire: Wire, size: int) -> None:
    await wire.message()
    await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
    for _ in range(size // 2**16):
        await wire.send(bytes(2**16))
    await wire.rest()


# An endpoint that takes nothing


FRAMINGS = {
    "length": b"content-length: %d\r\n\r\n" % SIZE,
    "chunked": b"transfer-encoding: chunked\r\n\r\n%x\r\n" % SIZE,
}


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_an_endpoint_that_takes_nothing_of_an_upload_is_given_up_with_504(framing: str) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await go.wait()

    go = asyncio.Event()
    async with gateway_to(script, small_buffers=True, limits=LIMITS, client_limits=CLIENT_LIMITS) as rig:
        wire = await rig.client()
        await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\n", FRAMINGS[framing])
        assert await push(wire, SIZE) < SIZE
        start = now()
        for late_s in (0.0, 59.0):
            rig.endpoint.pool.sweep(start + late_s)
        await turns()
        assert rig.pool["active"] == 1
        rig.endpoint.pool.sweep(start + 61.0)
        assert (await wire.head()).status == 504
        await rig.settled()


async def test_an_endpoint_that_answers_and_takes_nothing_is_given_up_too() -> None:
    """Each piece of its answer gives the answer more time, and the upload none."""

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await more.wait()
            more.clear()
            await wire.send(b"piece")

    more = asyncio.Event()
    async with gateway_to(script, small_buffers=True, limits=LIMITS, client_limits=CLIENT_LIMITS) as rig:
        wire = await rig.client()
        await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\n", FRAMINGS["length"])
        await wire.head()
        assert await push(wire, SIZE) < SIZE
        start = now()
        for late_s in (0.0, 30.0, 59.0, 61.0):
            assert rig.pool["active"] == 1
            more.set()
            await wire.read(5)
            rig.endpoint.pool.sweep(start + late_s)
        await until(lambda: not rig.server.connections)
        await rig.settled()


async def test_an_endpoint_that_takes_nothing_of_a_tunnel_is_given_up() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(SWITCH)
        await go.wait()

    go = asyncio.Event()
    async with gateway_to(script, small_buffers=True, limits=LIMITS, client_limits=CLIENT_LIMITS) as rig:
        wire = await rig.client()
        await wire.send(ASK)
        await wire.head()
        assert await push(wire, SIZE) < SIZE
        start = now()
        for late_s in (0.0, 59.0):
            rig.endpoint.pool.sweep(start + late_s)
        await turns()
        assert rig.server.connections
        rig.endpoint.pool.sweep(start + 61.0)
        await until(lambda: not rig.server.connections)
        await rig.settled()


async def test_a_tunnel_that_a_filter_writes_to_ends_with_an_endpoint_that_takes_nothing() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(SWITCH)
        await go.wait()

    async def write(tunnel: Tunnel) -> None:
        while True:
            await tunnel.write(bytes(2**16))

    go = asyncio.Event()
    async with line_to(script, LIMITS, small_buffers=True) as line:
        response = await line.ask(upgrade_request())
        assert response.tunnel is not None
        writing = asyncio.gather(write(response.tunnel), return_exceptions=True)
        await still(line.connections[0]._transport.get_write_buffer_size)
        start = now()
        for late_s in (0.0, 61.0):
            line.pool.sweep(start + late_s)
        with pytest.raises(UpstreamTimeoutError):
            await response.tunnel.read()
        await writing
        await response.aclose()


async def test_an_endpoint_that_takes_an_upload_slowly_is_not_given_up() -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        while sum(taken) < size:
            await more.acquire()
            taken.append(len(await wire.read(2**19)))
        await wire.send(OK)
        await wire.rest()

    async def content() -> AsyncIterator[bytes]:
        yield bytes(size)

    more, size = asyncio.Semaphore(0), 6 * 2**20
    taken: list[int] = []
    async with line_to(script, LIMITS, small_buffers=True) as line:
        request = make_request("PUT", body=Body.stream(content(), length=size))
        asking = asyncio.gather(line.ask(request))
        await until(lambda: bool(line.connections))
        for step in range(size // 2**19):
            line.pool.sweep(now() + step * 10.0)
            more.release()
            await until(lambda: len(taken) > step)  # noqa: B023 - it waits here
            await turns(50)
        assert (await asking)[0].status == 200
