from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from meshwright.http1.stream import BodyStream
from meshwright_sdk import ResetError, Response
from meshwright_sdk.testing import make_request
from tests.core.http1.line import OK, answering, content, line_to
from tests.core.http1.wire import Wire, still, turns, until


async def endless(closed: list[bool]) -> AsyncIterator[bytes]:
    try:
        while True:
            yield bytes(1024)
            await asyncio.sleep(0)
    finally:
        closed.append(True)


async def test_an_answer_before_the_request_is_all_sent_ends_the_sending() -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await wire.rest()

    closed: list[bool] = []
    async with line_to(script) as line:
        response = await line.ask(make_request("POST", body=endless(closed)))
        assert (response.status, await content(response)) == (413, b"no")
        await until(lambda: bool(closed))
        assert not line.pool.open


class Stuck:
    """A source that gives one piece and then nothing, and is no generator."""

    def __init__(self) -> None:
        self.closed = 0
        self._given = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._given:
            await asyncio.Event().wait()
        self._given = True
        return b"half"

    async def aclose(self) -> None:
        self.closed += 1


async def test_an_answer_ends_a_sending_that_waits_for_its_source() -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(OK)
        await wire.rest()

    source = Stuck()
    async with line_to(script) as line:
        assert await content(await line.ask(make_request("POST", body=source))) == b"ok"
        await until(lambda: source.closed == 1)


class Origin:
    """The connection that feeds a stream; it takes note of being told that nobody reads on."""

    def __init__(self) -> None:
        self.abandoned = 0

    def demand(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abandon(self) -> None:
        self.abandoned += 1


@pytest.mark.parametrize("answer", [OK, b""])
async def test_the_origin_of_a_request_is_told_when_nobody_takes_the_rest(answer: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(answer)

    origin = Origin()
    stream = BodyStream(origin)
    stream.feed(b"half")
    async with line_to(script) as line:
        outcome = await asyncio.gather(line.ask(make_request("POST", body=stream)), return_exceptions=True)
        assert isinstance(outcome[0], Response if answer else ResetError)
        await until(lambda: origin.abandoned == 1)
        stream.feed(b"more")


async def test_request_and_response_may_stream_at_the_same_time() -> None:
    turn = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"one"
        await turn.wait()
        yield b"two"

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        async for chunk in wire.chunks():
            await wire.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        await wire.send(b"0\r\n\r\n")
        await wire.rest()

    async with line_to(script) as line:
        response = await line.ask(make_request("POST", body=slowly()))
        chunks = aiter(response.body)
        assert await anext(chunks) == b"one"
        turn.set()
        assert await anext(chunks) == b"two"
        assert await anext(chunks, None) is None
        await until(lambda: line.idle == 1)


async def test_a_cancelled_exchange_closes_its_connection_and_its_body() -> None:
    closed: list[bool] = []

    async def script(wire: Wire) -> None:
        await wire.rest()

    async with line_to(script) as line:
        asking = asyncio.gather(line.ask(make_request("POST", body=endless(closed))))
        await until(lambda: bool(line.connections))
        await turns()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await until(lambda: not line.pool.open and bool(closed))


async def test_a_call_that_is_cancelled_in_the_turn_of_its_answer_leaves_the_connection_to_the_next() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.message()
        await wire.send(OK)
        await wire.rest()

    async with line_to(script) as line:
        asking = asyncio.gather(line.ask(make_request()))
        await until(lambda: bool(line.connections))
        await turns()
        line.connections[0].data_received(OK)
        asking.cancel()
        next_one = asyncio.gather(line.ask(make_request()))
        (outcome,) = await asyncio.gather(asking, return_exceptions=True)

        assert isinstance(outcome, asyncio.CancelledError)
        assert await content((await next_one)[0]) == b"ok"
        assert line.pool.connects == 1


@pytest.mark.parametrize("rest", [b"", b"lo"])
async def test_a_call_that_is_cancelled_in_the_turn_of_its_head_closes_the_connection(rest: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.rest()

    async with line_to(script) as line:
        asking = asyncio.gather(line.ask(make_request()))
        await until(lambda: bool(line.connections))
        await turns()
        line.connections[0].data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")
        asking.cancel()
        if rest:
            line.connections[0].data_received(rest)
        await asyncio.gather(asking, return_exceptions=True)
        await until(lambda: not line.pool.status()["active"])
        await turns()
        assert line.idle == (1 if rest else 0)


@pytest.mark.parametrize("answer", [OK, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"])
async def test_an_answer_that_comes_in_the_turn_of_the_cancellation_is_dropped(answer: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.rest()

    async with line_to(script) as line:
        asking = asyncio.gather(line.ask(make_request()))
        await until(lambda: bool(line.connections))
        await turns()
        asking.cancel()
        line.connections[0].data_received(answer)
        (outcome,) = await asyncio.gather(asking, return_exceptions=True)
        assert isinstance(outcome, asyncio.CancelledError)
        await until(lambda: not line.pool.open)


async def test_an_answer_that_nobody_reads_to_its_end_closes_the_connection() -> None:
    async with line_to(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")) as line:
        response = await line.ask(make_request())
        await response.aclose()
        await until(lambda: not line.pool.open)


async def test_a_slow_reader_stops_the_upstream_and_the_connection_is_as_good_as_new_afterwards() -> None:
    size = 16 * 2**20

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            await wire.send(bytes(65536))
            sent.append(65536)
        await wire.message()
        await wire.send(OK)
        await wire.rest()

    sent: list[int] = []
    async with line_to(script, small_buffers=True) as line:
        response = await line.ask(make_request())
        await still(lambda: sum(sent))
        assert sum(sent) < 8 * 2**20
        assert sum([len(data) async for data in response.body]) == size

        assert await content(await line.ask(make_request())) == b"ok"
        assert len(line.connections) == 1


async def test_a_response_that_ends_while_its_reader_is_behind_leaves_a_connection_that_reads() -> None:
    """The last bytes may be what stops the reading; nobody would start it again for the next request."""
    size = 200_000

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        await wire.message()
        await wire.send(OK)
        await wire.rest()

    async with line_to(script) as line:
        response = await line.ask(make_request())
        line.connections[0].data_received(bytes(size))

        assert await content(await asyncio.wait_for(line.ask(make_request()), 5)) == b"ok"
        assert len(line.connections) == 1
        assert len(await content(response)) == size


async def test_a_slow_upstream_stops_the_source_of_the_request() -> None:
    go = asyncio.Event()
    size = 16 * 2**20
    given: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        for _ in range(size // 65536):
            given.append(65536)
            yield bytes(65536)

    async def script(wire: Wire) -> None:
        await go.wait()
        assert len((await wire.message()).body) == size
        await wire.send(OK)
        await wire.rest()

    async with line_to(script, small_buffers=True) as line:
        asking = asyncio.gather(line.ask(make_request("POST", body=source())))
        await still(lambda: sum(given))
        assert sum(given) < 8 * 2**20
        go.set()
        assert (await asking)[0].status == 200
