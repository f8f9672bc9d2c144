"""Content in very many very small chunks, which must neither hold up other requests nor get lost."""

from __future__ import annotations

import asyncio

import pytest

from meshwright.http1.framing import CHUNKS_AT_ONCE, ChunkedReader
from meshwright.http1.grammar import GrammarError
from tests.core.http1.harness import gateway_to
from tests.core.http1.wire import Wire, still, until

COUNT = 40 * CHUNKS_AT_ONCE
CHUNKS = b"1\r\na\r\n" * COUNT
END = b"0\r\nx-last: 1\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED_OK = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def test_a_reader_takes_so_many_chunks_in_one_go_and_the_rest_later() -> None:
    reader = ChunkedReader()
    sizes, rest = [], b""
    piece, _ = reader.feed(CHUNKS + END + b"GET")
    sizes.append(len(piece))
    while reader.behind:
        piece, rest = reader.feed(b"")
        sizes.append(len(piece))

    assert (max(sizes), sum(sizes), rest) == (CHUNKS_AT_ONCE, COUNT, b"GET")
    assert reader.complete


def test_what_comes_while_a_reader_is_behind_is_read_after_what_came_before() -> None:
    reader = ChunkedReader()
    content = reader.feed(CHUNKS + b"3\r\nx")[0]
    content += reader.feed(b"yz\r\n")[0]
    while reader.behind:
        content += reader.feed(b"")[0]

    assert content == b"a" * COUNT + b"xyz"


def test_a_mistake_in_what_waits_is_found() -> None:
    reader = ChunkedReader()
    reader.feed(b"1\r\na\r\n" * CHUNKS_AT_ONCE + b"1\r\nab\r\n")
    assert reader.behind
    with pytest.raises(GrammarError):
        reader.feed(b"")


class Turns:
    """Counts how often the event loop goes round."""

    def __init__(self) -> None:
        self.count = 0
        self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self.count += 1
        self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def stop(self) -> None:
        self._handle.cancel()


async def test_others_have_their_turns_while_an_upload_of_tiny_chunks_is_read() -> None:
    async def script(wire: Wire) -> None:
        for _ in range(2):
            bodies.append((await wire.message()).body)
            await wire.send(OK)
        await wire.rest()

    bodies: list[bytes] = []
    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(POST, b"1\r\na\r\n")
        await until(lambda: rig.endpoint.in_flight == 1)
        turns = Turns()
        rig.server.connection.data_received(CHUNKS + END)
        at_once = rig.server.connection._current
        assert at_once is not None
        assert at_once.received <= CHUNKS_AT_ONCE + 1
        assert (await wire.message()).status == 200
        turns.stop()
        assert turns.count > 30

        await wire.send(POST, CHUNKS, END)
        assert (await wire.message()).status == 200
    assert bodies == [b"a" * (COUNT + 1), b"a" * COUNT]


@pytest.mark.parametrize("then", ["next", "close"])
async def test_others_have_their_turns_while_an_answer_of_tiny_chunks_is_read(then: str) -> None:
    async def script(wire: Wire) -> None:
        for _ in range(2):
            await wire.message()
            await wire.send(CHUNKED_OK, CHUNKS, END)
            if then == "close":
                return
        await wire.rest()

    async with gateway_to(script) as rig:
        wire = await rig.client()
        for _ in range(2):
            await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            turns = Turns()
            answer = await wire.message()
            turns.stop()
            assert answer.body == b"a" * COUNT
            assert turns.count > 30
            assert answer.chunks is not None
            assert max(map(len, answer.chunks)) <= 3 * CHUNKS_AT_ONCE  # what came before the client was joined is one
        assert rig.pool["connects"] == (1 if then == "next" else 2)


async def test_a_client_that_leaves_while_its_upload_is_read_takes_it_with_it() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        raise AssertionError("a request came whole")

    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(POST, b"1\r\na\r\n")
        await until(lambda: rig.endpoint.in_flight == 1)
        rig.server.connection.data_received(CHUNKS + END)
        rig.server.connection.abort()
        await rig.settled()


async def test_a_slow_client_stops_an_answer_of_tiny_chunks_too() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(CHUNKED_OK)
        for _ in range(times):
            await wire.send(b"8\r\naaaaaaaa\r\n" * COUNT)
        await wire.send(END)
        await wire.rest()

    times = 15  # 2.4 MB, of which sockets and the client's reader take 0.8 MB before there is a standstill
    async with gateway_to(script, small_buffers=True) as rig:
        wire = await rig.client()
        await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await wire.head()
        await still(rig.server.connection._transport.get_write_buffer_size)
        assert rig.server.connection._transport.get_write_buffer_size() < 2**19
        assert sum([len(chunk) async for chunk in wire.chunks()]) == times * 8 * COUNT
