from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from meshwright.http1.settings import ServerLimits
from meshwright_sdk import DownstreamError, Request, Response
from meshwright_sdk.problems import problem
from tests.core.http1.harness import Server, gateway_to, serving
from tests.core.http1.wire import Wire, push, turns, until

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


def now() -> float:
    return asyncio.get_running_loop().time()


async def echo(request: Request) -> Response:
    try:
        return Response(200, None, await request.body.read(2**24))
    except DownstreamError as error:
        return problem(error, request)


def head_of(size: int) -> bytes:
    start = b"GET / HTTP/1.1\r\nhost: a\r\nx: "
    return start + b"a" * (size - len(start)) + b"\r\n\r\n"


def target_of(size: int) -> bytes:
    return b"GET /" + b"a" * (size - 1) + b" HTTP/1.1\r\nhost: a\r\n\r\n"


def method_of(size: int) -> bytes:
    return b"A" * size + b" / HTTP/1.1\r\nhost: a\r\n\r\n"


def fields_of(count: int) -> bytes:
    return b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: a\r\n" * (count - 1) + b"\r\n"


def counted(size: int) -> bytes:
    return POST + b"content-length: %d\r\n\r\n" % size + b"a" * size


def chunks_of(size: int) -> bytes:
    return CHUNKED + b"1\r\na\r\n" * size + b"0\r\n\r\n"


SMALL = ServerLimits(header_bytes=1024, headers=5, target_bytes=64, body_bytes=10, half_close_s=0.0)
BOUNDS = {
    "header_size": (head_of, 1024, 431),
    "headers": (fields_of, 5, 431),
    "target_length": (target_of, 64, 414),
    "method": (method_of, 48, 400),
    "body_size": (counted, 10, 413),
    "body_size in chunks": (chunks_of, 10, 413),
}


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("before", [b"", GET], ids=["first", "later"])
async def test_what_is_within_a_bound_is_served_and_what_is_above_it_refused(
    name: str, before: bytes, bytewise: bool
) -> None:
    made, bound, status = BOUNDS[name]
    async with serving(echo, bytewise=bytewise, limits=SMALL) as server:
        wire = await server.client()
        sending = asyncio.gather(wire.send(before, made(bound), made(bound + 1)), return_exceptions=True)
        if before:
            assert (await wire.message()).status == 200
        assert (await wire.message()).status == 200
        answer = await wire.message()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert answer.headers["content-type"] == "application/problem+json"
        await sending
        wire.close()
        assert await wire.ended()
        assert server.refused == {str(status): 1}


@pytest.mark.parametrize("last", range(5))
async def test_where_a_head_at_its_bound_is_cut_changes_nothing(last: int) -> None:
    async with serving(echo, limits=SMALL) as server:
        for size, status in ((1024, 200), (1025, 431)):
            wire = await server.client()
            sent = head_of(size)
            await wire.send(sent[: len(sent) - last])
            await turns()
            await wire.send(sent[len(sent) - last :])
            assert (await wire.message()).status == status


@pytest.mark.parametrize(
    ("begun", "status"), [(b"GET /" + b"a" * 200, 414), (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 1100, 431)]
)
async def test_the_end_of_a_head_that_is_too_large_is_not_waited_for(begun: bytes, status: int) -> None:
    async with serving(echo, limits=SMALL) as server:
        assert (await server.ask(begun)).status == status


async def test_a_body_that_says_that_it_is_too_large_is_not_asked_for() -> None:
    async with serving(echo, limits=SMALL) as server:
        wire = await server.client()
        await wire.send(POST, b"expect: 100-continue\r\ncontent-length: 11\r\n\r\n")
        assert (await wire.message()).status == 413
        assert await wire.ended()


async def test_a_body_that_grows_too_large_never_reaches_the_upstream_whole(bytewise: bool) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        raise AssertionError("a request came whole")

    async with gateway_to(script, bytewise=bytewise, client_limits=SMALL) as rig:
        assert (await rig.ask(CHUNKED, b"8\r\n12345678\r\n", b"3\r\nabc\r\n0\r\n\r\n")).status == 413
        await rig.settled()
        assert rig.endpoint.pool.open == 0
        assert rig.server.refused == {"413": 1}


async def echo_as_it_comes(request: Request) -> Response:
    async def content() -> AsyncIterator[bytes]:
        async for data in request.body:
            yield data

    return Response(200, None, content())


async def test_an_answer_that_has_begun_is_cut_off_when_the_body_grows_too_large() -> None:
    async with serving(echo_as_it_comes, limits=SMALL) as server:
        wire = await server.client()
        await wire.send(CHUNKED, b"8\r\n12345678\r\n")
        assert (await wire.head()).status == 200
        assert await wire.read(13) == b"8\r\n12345678\r\n"
        await wire.send(b"3\r\nabc\r\n")
        assert not (await rest_of(wire)).endswith(b"0\r\n\r\n")
        await until(lambda: not server.connections)
        assert server.refused == {"413": 1}


async def rest_of(wire: Wire) -> bytes:
    try:
        return await wire.rest()
    except ConnectionError:
        return b""


# Time


class Held:
    """A handler that reads the body when it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def handle(self, request: Request) -> Response:
        await self.go.wait()
        return await echo(request)


async def reading(server: Server) -> None:
    """Wait until a request's body is being read."""
    await until(lambda: bool(server.connections) and server.connection._current is not None)
    await turns()


async def test_blank_lines_do_not_prolong_the_time_of_a_head(bytewise: bool) -> None:
    async with serving(echo, bytewise=bytewise) as server:
        wire = await server.client()
        await until(lambda: bool(server.connections))
        deadline = server.connection.deadline
        for _ in range(3):
            await wire.send(b"\r\n\r\n")
            await turns(10)
        assert server.connection.deadline == deadline
        await wire.send(b"G")
        await until(lambda: server.connection._waiting == b"G")
        server.connection.sweep(now() + 31.0)
        assert (await wire.message()).status == 408
        assert server.refused == {"408": 1}


@pytest.mark.parametrize("framing", [b"content-length: 9\r\n\r\nhalf", b"transfer-encoding: chunked\r\n\r\n4\r\nhalf"])
async def test_a_body_that_stops_coming_is_refused_after_its_time(framing: bytes) -> None:
    limits = ServerLimits(body_timeout_s=600.0, body_grace_s=1000.0)
    async with serving(echo, limits=limits) as server:
        wire = await server.client()
        await wire.send(POST, framing)
        await reading(server)
        start = now()
        server.connection.sweep(start)
        server.connection.sweep(start + 590.0)
        await turns()
        assert server.refused == {}
        server.connection.sweep(start + 601.0)
        answer = await wire.message()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        server.connection.sweep(start + 601.5)
        assert server.refused == {"408": 1}
        assert await wire.ended()


async def test_each_piece_of_a_body_gives_it_its_time_anew() -> None:
    got: list[bytes] = []

    async def handle(request: Request) -> Response:
        async for data in request.body:
            got.append(data)  # noqa: PERF401 - each when it comes
        return Response(204)

    async with serving(handle, limits=ServerLimits(body_timeout_s=60.0, body_grace_s=1000.0)) as server:
        wire = await server.client()
        await wire.send(POST, b"content-length: 4\r\n\r\n")
        await reading(server)
        start = now()
        for number in range(1, 4):
            await wire.send(b"a")
            await until(lambda: len(got) == number)  # noqa: B023 - it waits here
            server.connection.sweep(start + 50.0 * number)
        await wire.send(b"a")
        assert (await wire.message()).status == 204


async def test_a_body_that_comes_too_slowly_is_refused_after_its_grace() -> None:
    limits = ServerLimits(body_timeout_s=1000.0, body_rate_per_s=10.0, body_grace_s=200.0)
    async with serving(echo, limits=limits) as server:
        wire = await server.client()
        await wire.send(POST, b"content-length: 2000\r\n\r\n", b"a" * 1000)
        await reading(server)
        start = now()
        server.connection.sweep(start + 290.0)
        await turns()
        assert server.refused == {}
        server.connection.sweep(start + 301.0)
        assert (await wire.message()).status == 408
        assert server.refused == {"408": 1}
        assert await wire.ended()


async def test_a_slow_body_gives_its_upstream_connection_back() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        raise AssertionError("a request came whole")

    async with gateway_to(script, client_limits=ServerLimits()) as rig:
        wire = await rig.client()
        await wire.send(POST, b"content-length: 10\r\n\r\nhalf")
        await until(lambda: rig.pool["active"] == 1)
        await turns()
        rig.server.connection.sweep(now() + 61.0)
        assert (await wire.message()).status == 408
        await rig.settled()
        assert (rig.endpoint.pool.open, rig.server.refused) == (0, {"408": 1})


async def test_the_time_in_which_nobody_reads_does_not_count() -> None:
    held = Held()
    limits = ServerLimits(body_timeout_s=1000.0, body_grace_s=1000.0, half_close_s=0.0)
    async with serving(held.handle, small_buffers=True, limits=limits) as server:
        wire = await server.client()
        await wire.send(POST, b"content-length: %d\r\n\r\n" % 2**21)
        sent = await push(wire, 2**21)
        assert sent < 2**21
        assert server.connection._read_paused
        server.connection.sweep(now() + 10_000.0)
        held.go.set()
        await until(lambda: not server.connection._read_paused)
        server.connection.sweep(now() + 970.0)
        assert server.refused == {}
        await wire.send(bytes(2**21 - sent))
        assert len((await wire.message()).body) == 2**21


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_a_client_that_waits_to_be_asked_has_its_time_from_then_on(version: bytes) -> None:
    held = Held()
    async with serving(held.handle) as server:
        wire = await server.client()
        await wire.send(b"POST / HTTP/", version, b"\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        await reading(server)
        later = now() + 10_000.0
        server.connection.sweep(later)
        held.go.set()
        if version == b"1.1":
            assert (await wire.message()).status == 100
        await turns()
        server.connection.sweep(later + 19.0)
        await turns()
        assert server.refused == {}
        server.connection.sweep(later + 21.0)
        assert (await wire.message()).status == 408
        assert server.refused == {"408": 1}


async def test_a_body_whose_answer_is_being_made_is_read_no_faster_and_no_longer() -> None:
    """Its answer has begun: there is none to give in its place."""
    async with serving(echo_as_it_comes) as server:
        wire = await server.client()
        await wire.send(CHUNKED, b"4\r\nhalf\r\n")
        assert (await wire.head()).status == 200
        assert await wire.read(9) == b"4\r\nhalf\r\n"
        server.connection.sweep(now() + 61.0)
        assert await rest_of(wire) == b""
        await until(lambda: not server.connections)
        assert server.refused == {"408": 1}


async def test_a_silent_client_counts_for_nothing() -> None:
    limits = ServerLimits(header_timeout_s=30.0, idle_timeout_s=70.0)
    async with serving(echo, limits=limits) as server:
        wire = await server.client()
        await wire.send(GET)
        assert (await wire.message()).status == 200
        server.connection.sweep(now() + 60.0)
        await turns()
        assert server.connections
        server.connection.sweep(now() + 71.0)
        assert await wire.ended()
        wire = await server.client()
        await until(lambda: bool(server.connections))
        server.connection.sweep(now() + 31.0)
        assert await wire.ended()
        assert server.refused == {}


async def test_every_kind_of_refusal_is_counted_once() -> None:
    refusals = {
        400: b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n" + GET,
        405: b"TRACE / HTTP/1.1\r\nhost: a\r\n\r\n" + GET,
        413: counted(11),
        414: target_of(65),
        417: POST + b"expect: x\r\ncontent-length: 1\r\n\r\na",
        431: head_of(2000),
        505: b"GET / HTTP/2.0\r\n\r\n" + GET,
    }
    async with serving(echo, limits=SMALL) as server:
        for status, sent in refusals.items():
            assert (await server.ask(GET)).status == 200
            assert (await server.ask(sent)).status == status
        assert server.refused == {str(status): 1 for status in refusals}


# A client that is gone already


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", counted(11), POST + b"content-length: 9\r\n\r\nhalf"])
async def test_a_last_answer_to_a_client_that_has_left_is_nobodys_error(sent: bytes) -> None:
    """What is written to it comes back as a reset, so that not even the end can be written."""
    near = socket.socket()

    async def handle(request: Request) -> Response:
        near.close()
        return Response(204)

    async with serving(handle, limits=SMALL) as server:
        near.connect(("127.0.0.1", server.port))
        near.sendall(sent)
        if b"half" not in sent:
            near.close()
        await until(lambda: near.fileno() < 0)
        await turns()
        await until(lambda: not server.connections)
