from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random

import pytest

from meshwright.http1.settings import ServerLimits
from meshwright.traffic.pool import PoolLimits
from meshwright_sdk import CallNext, OverloadError, Request, Response
from tests.core.http1.harness import Rig, gateway_to
from tests.core.http1.wire import Wire, turns, until

CLIENTS = 24
ROUNDS = 25
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"
SUMS = b"0\r\nx-sum: 1\r\ncookie: a=b\r\n\r\n"


class Chaos:
    """Clients and upstreams that do at random what clients and upstreams do at their worst."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.served = self.hints = 0

    async def upstream(self, wire: Wire) -> None:
        while True:
            request = await wire.head() if self.random.random() < 0.1 else await wire.message()
            await turns(self.random.randrange(10))
            if "upgrade" in request.headers and self.random.random() < 0.7:
                await self.tunnel(wire)
                return
            if not await self.random.choice(self.ANSWERS)(self, wire):
                return

    async def tunnel(self, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello")
        for _ in range(self.random.randrange(4)):
            await wire.send(await wire.read(3))
        if self.random.random() < 0.5:
            wire.reset()

    async def whole(self, wire: Wire) -> bool:
        await wire.send(OK)
        return True

    async def in_pieces(self, wire: Wire) -> bool:
        await wire.send(CHUNKED)
        for _ in range(self.random.randrange(6)):
            await wire.send(b"400\r\n%b\r\n" % bytes(1024))
            await turns(self.random.randrange(8))
        await wire.send(self.random.choice([b"0\r\n\r\n", SUMS]))
        return True

    async def hinted(self, wire: Wire) -> bool:
        await wire.send(HINTS * self.random.choice([1, 1, 3, 20]))
        await turns(self.random.randrange(20))
        return await self.random.choice(self.ANSWERS)(self, wire)

    async def bad_trailers(self, wire: Wire) -> bool:
        await wire.send(CHUNKED, b"3\r\nabc\r\n")
        await turns(self.random.randrange(8))
        await wire.send(b"0\r\ncontent-length: 3\r\n\r\n")
        return True

    async def huge(self, wire: Wire) -> bool:
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n", bytes(300_000))
        return True

    async def until_the_end(self, wire: Wire) -> bool:
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\nall")
        return False

    async def cut_off(self, wire: Wire) -> bool:
        await wire.send(CHUNKED, b"400\r\n", bytes(self.random.randrange(1024)))
        await turns(self.random.randrange(8))
        if self.random.random() < 0.5:
            wire.reset()
        return False

    async def nothing(self, wire: Wire) -> bool:
        if self.random.random() < 0.5:
            wire.reset()
        return False

    async def nonsense(self, wire: Wire) -> bool:
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n")
        return False

    async def too_much(self, wire: Wire) -> bool:
        await wire.send(OK, OK)
        return True

    async def silence(self, wire: Wire) -> bool:
        await wire.rest()
        return False

    ANSWERS = (
        whole,
        whole,
        whole,
        in_pieces,
        in_pieces,
        hinted,
        hinted,
        bad_trailers,
        huge,
        until_the_end,
        cut_off,
        nothing,
        nonsense,
        too_much,
        silence,
    )

    async def client(self, rig: Rig) -> None:
        rounds = 0
        while rounds < ROUNDS or (not self.seen_enough(rig) and rounds < 10 * ROUNDS):
            rounds += 1
            wire = await rig.client()
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                for _ in range(self.random.randrange(1, 4)):
                    await self.random.choice(self.QUESTIONS)(self, wire)
            if self.random.random() < 0.3:
                wire.reset()
            else:
                wire.close()

    def seen_enough(self, rig: Rig) -> bool:
        """Whether all that is claimed in the end has happened: on a slow machine less of it happens in a round."""
        return self.served > 200 and self.hints > 20 and {101, 200, 400, 429, 502, 503} <= set(rig.statuses)

    async def get(self, wire: Wire) -> None:
        await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await self.take(wire)

    async def pipeline(self, wire: Wire) -> None:
        await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 4)
        for _ in range(self.random.randrange(5)):
            await self.take(wire)

    async def post(self, wire: Wire) -> None:
        await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\n\r\n")
        for _ in range(self.random.choice([5, 5, 5, 2])):
            await wire.send(bytes(1000))
            await turns(self.random.randrange(6))
        if self.random.random() < 0.8:
            await self.take(wire)

    async def post_chunked(self, wire: Wire) -> None:
        await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(self.random.randrange(5)):
            await wire.send(b"400\r\n%b\r\n" % bytes(1024))
            await turns(self.random.randrange(6))
        await wire.send(self.random.choice([b"0\r\n\r\n", SUMS, SUMS, b"0\r\nhost: a\r\n\r\n", b"x\r\n", b""]))
        if self.random.random() < 0.8:
            await self.take(wire)

    async def leave(self, wire: Wire) -> None:
        await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await turns(self.random.randrange(30))
        raise ConnectionResetError

    async def finish(self, wire: Wire) -> None:
        """End this half of the connection, within a request now and then; then wait for answers, or leave."""
        more = [b"", b"", b"GET", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\na"]
        await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * self.random.randrange(1, 4), self.random.choice(more))
        await turns(self.random.randrange(10))
        with suppress(OSError):
            if not wire.writer.transport.is_closing():  # for uvloop one that the gateway has closed is no transport
                wire.writer.write_eof()
        while self.random.random() < 0.7:
            await self.take(wire)
        raise ConnectionResetError

    async def switch(self, wire: Wire) -> None:
        await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\none")
        await self.take(wire)
        for _ in range(self.random.randrange(3)):
            await wire.send(b"two")
            await turns(self.random.randrange(20))

    async def babble(self, wire: Wire) -> None:
        await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n")
        await self.take(wire)

    QUESTIONS = (get, get, get, pipeline, post, post_chunked, leave, babble, switch, finish)

    async def filter(self, request: Request, call_next: CallNext) -> Response:
        """Do with an answer what filters do, and what they should not."""
        chance = self.random.random()
        if chance < 0.05 and request.body.replayable:
            await call_next(request)
        response = await call_next(request)
        if response.tunnel is not None or chance > 0.5:
            return response
        if chance < 0.1:
            raise OverloadError("not this one", status=429)
        if chance < 0.2:
            return Response.text("another one")
        if chance < 0.3:
            await response.body.read(400_000)
        elif chance < 0.4:
            response.body = copied(aiter(response.body))
        return response

    async def take(self, wire: Wire) -> None:
        """Take one answer, unless it does not come: then leave."""
        try:
            async with asyncio.timeout(0.2):
                while (await wire.message()).status == 103:
                    self.hints += 1
        except TimeoutError:
            raise ConnectionResetError from None
        self.served += 1


async def copied(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for data in body:
        yield data


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_both_sides_do_everything_is_given_back(seed: int) -> None:
    chaos = Chaos(seed)
    limits = PoolLimits(max_connections=8, max_pending=4, max_idle=3)
    hasty = ServerLimits(half_close_s=0.02)

    def none_is_open() -> bool:
        for connection in rig.server.connections:
            connection.sweep(asyncio.get_running_loop().time())
        return not rig.server.connections

    async with gateway_to(chaos.upstream, chaos.filter, limits=limits, client_limits=hasty) as rig:
        clients = asyncio.gather(*(chaos.client(rig) for _ in range(CLIENTS)))
        while not clients.done():
            await turns(50)
            none_is_open()
            assert rig.endpoint.pool.open <= 8
            assert rig.pool["waiting"] <= 4
        await clients
        await until(none_is_open)
        await rig.settled()
        assert chaos.seen_enough(rig), (chaos.served, chaos.hints, set(rig.statuses))
        await until(lambda: not rig.server.state.tasks)
        leftover = [task for task in asyncio.all_tasks() if task.get_name() in ("request body", "tunnel inwards")]
        assert leftover == []
