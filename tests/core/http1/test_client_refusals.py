from __future__ import annotations

import pytest

from meshwright_sdk import (
    ProtocolError,
    ResetError,
)
from meshwright_sdk.testing import make_request
from tests.core.http1.line import OK, answering, content, line_to
from tests.core.http1.wire import Wire, turns, until

MALFORMED = [
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\rx\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\x00\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 103 Early\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\n\r\n",
    b"SSH-2.0-OpenSSH\r\n",
]


@pytest.mark.asyncio(loop_factories=["asyncio"])  # what the parser says is the same everywhere
@pytest.mark.parametrize("answer", MALFORMED)
async def test_an_answer_that_could_be_read_in_two_ways_is_no_answer(answer: bytes, bytewise: bool) -> None:
    async with line_to(answering(answer, bytewise=bytewise)) as line:
        with pytest.raises(ProtocolError) as raised:
            await content(await line.ask(make_request()))
        assert (raised.value.status, raised.value.retryable) == (502, False)
        await until(lambda: not line.pool.open)


BEFORE_THE_HEAD = [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n"]
WITHIN_THE_BODY = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
]


@pytest.mark.parametrize("answer", BEFORE_THE_HEAD + WITHIN_THE_BODY)
async def test_a_connection_that_closes_too_early_fails_what_it_carried(answer: bytes, bytewise: bool) -> None:
    async with line_to(answering(answer, bytewise=bytewise, then_close=True)) as line:
        with pytest.raises(ResetError):
            await content(await line.ask(make_request()))
        assert not line.pool.open


async def test_a_reset_is_not_the_end_of_a_response_without_length() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await wire.read(1)
        wire.reset()

    async with line_to(script) as line:
        response = await line.ask(make_request())
        chunks = aiter(response.body)
        assert await anext(chunks) == b"half"
        line.connections[0].write(b"x")
        with pytest.raises(ResetError):
            await anext(chunks)


@pytest.mark.parametrize(
    "extra", [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"HTTP/1.1 200 OK\r\nx-evil: ", b"?"]
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_bytes_after_a_response_never_become_the_next_one(extra: bytes, streamed: bool) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        if streamed:
            await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            await wire.read(1)
            await wire.send(b"2\r\nok\r\n0\r\n\r\n", extra)
        else:
            await wire.send(OK, extra)
        await wire.rest()

    async with line_to(script) as line:
        response = await line.ask(make_request())
        if streamed:
            line.connections[0].write(b"x")
        assert await content(response) == b"ok"
        await until(lambda: not line.pool.open)


async def test_bytes_on_an_idle_connection_close_it() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(OK)
        await wire.read(1)
        await wire.send(OK)
        await wire.rest()

    async with line_to(script) as line:
        await line.ask(make_request())
        line.connections[0].write(b"x")
        await until(lambda: not line.pool.open)


@pytest.mark.parametrize("step", [2**20, 30_000])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: %b\r\n\r\n" % bytes(b"a" * 66_000),
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n%b\r\n" % (b"x-field: value\r\n" * 4400),
    ],
    ids=["long", "many"],
)
async def test_a_head_of_more_than_64_kib_is_refused_however_it_comes(answer: bytes, step: int) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        for place in range(0, len(answer), step):
            await wire.send(answer[place : place + step])
            await turns(5)
        await wire.rest()

    async with line_to(script) as line:
        with pytest.raises(ProtocolError):
            await line.ask(make_request())


async def test_interim_responses_without_end_are_refused() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        while True:
            await wire.send(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n" * 20)

    async with line_to(script) as line:
        with pytest.raises(ProtocolError):
            await line.ask(make_request())


@pytest.mark.parametrize("start", [b"0\r\nx-trailer: ", b"1;extension="])
async def test_what_stands_between_two_chunks_is_bounded(start: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n", start)
        while True:
            await wire.send(b"a" * 1000)

    async with line_to(script) as line:
        with pytest.raises(ProtocolError):
            await content(await line.ask(make_request()))
