from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from meshwright.http1.settings import ServerLimits
from meshwright_sdk import CallNext, Request, Response
from tests.certificates import trusting, write_certificate
from tests.core.http1.harness import Server, gateway_to, serving
from tests.core.http1.wire import WAIT_S, Script, Wire, turns, until

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
PATIENT = ServerLimits(half_close_s=100.0)


def now() -> float:
    return asyncio.get_running_loop().time()


async def finish(wire: Wire, *parts: bytes) -> None:
    """Send the parts and end this half of the connection."""
    await wire.send(*parts)
    wire.writer.write_eof()


async def half_closed(server: Server) -> None:
    """Wait until the server knows that the client has ended its half."""
    await until(lambda: bool(server.connections) and server.connection._half_closed)


async def echo(request: Request) -> Response:
    return Response.text(f"{request.path} {(await request.body.read(100)).decode()}")


@pytest.mark.parametrize(
    ("sent", "bodies"),
    [
        ([GET], [b"/ "]),
        ([b"GET / HTTP/1.0\r\n\r\n"], [b"/ "]),
        ([POST + b"content-length: 2\r\n\r\nhi"], [b"/ hi"]),
        ([POST + b"transfer-encoding: chunked\r\n\r\n", b"2\r\nhi\r\n0\r\n\r\n"], [b"/ hi"]),
        ([GET, GET, GET], [b"/ ", b"/ ", b"/ "]),
        ([GET, b"GET / HTTP/1.1\r\nho"], [b"/ "]),
        ([GET, b"\r\n"], [b"/ "]),
        ([b"GET / HTTP/1.1\r\nho"], []),
        ([], []),
    ],
)
async def test_what_was_sent_whole_is_answered_and_then_the_connection_ends(
    sent: list[bytes], bodies: list[bytes], bytewise: bool
) -> None:
    async with serving(echo, bytewise=bytewise, limits=PATIENT) as server:
        wire = await server.client()
        await finish(wire, *sent)
        assert [(await wire.message()).body for _ in bodies] == bodies
        assert await wire.ended()
        assert server.refused == {}


async def test_what_cannot_be_read_is_refused_all_the_same() -> None:
    async with serving(echo, limits=PATIENT) as server:
        wire = await server.client()
        await finish(wire, GET, b"GET / HTTP/1.1\r\n\r\n", GET)
        assert [(await wire.message()).status for _ in range(2)] == [200, 400]
        assert await wire.ended()


async def test_a_request_that_waits_and_is_not_whole_fails_as_soon_as_it_is_its_turn() -> None:
    whole: list[str] = []

    async def handle(request: Request) -> Response:
        if request.method == "GET":
            await half_closed(server)
        response = await echo(request)
        whole.append(request.method)
        return response

    async with serving(handle, limits=PATIENT) as server:
        wire = await server.client()
        await finish(wire, GET, POST, b"content-length: 9\r\n\r\nhalf")
        assert (await wire.message()).status == 200
        assert await wire.ended()
        await until(lambda: not server.connections)
    assert whole == ["GET"]


class Waiting:
    """A handler whose answers wait for `go`; it counts how many it began and how many were cancelled."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = self.cancelled = 0

    async def handle(self, request: Request) -> Response:
        self.begun += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Response.text(request.path)


async def test_a_request_goes_on_for_a_client_that_has_ended_its_half() -> None:
    waiting = Waiting()
    async with serving(waiting.handle, limits=PATIENT) as server:
        wire = await server.client()
        await finish(wire, b"GET /a HTTP/1.1\r\nhost: a\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n")
        await half_closed(server)
        server.connection.sweep(now() + 90.0)
        await turns()
        waiting.go.set()
        assert [(await wire.message()).body for _ in range(2)] == [b"/a", b"/b"]
        assert await wire.ended()
    assert (waiting.begun, waiting.cancelled) == (2, 0)


async def test_a_client_that_has_left_is_given_up_when_its_time_is_over() -> None:
    waiting = Waiting()
    async with serving(waiting.handle, limits=PATIENT) as server:
        wire = await server.client()
        await finish(wire, GET, GET)
        await half_closed(server)
        server.connection.sweep(now() + 90.0)
        await turns()
        assert (waiting.begun, waiting.cancelled) == (1, 0)
        server.connection.sweep(now() + 101.0)
        await until(lambda: waiting.cancelled == 1)
        assert not server.connections
    assert waiting.begun == 1


async def test_each_of_several_requests_has_the_time_anew() -> None:
    begun, go = 0, asyncio.Semaphore(0)

    async def handle(request: Request) -> Response:
        nonlocal begun
        begun += 1
        await go.acquire()
        return Response(204)

    async with serving(handle, limits=PATIENT) as server:
        wire = await server.client()
        await finish(wire, GET, GET)
        await half_closed(server)
        began = server.connection.deadline
        await until(lambda: now() + PATIENT.half_close_s > began)
        go.release()
        await wire.message()
        await until(lambda: begun == 2)
        assert server.connection.deadline > began
        go.release()
        await wire.message()
        assert await wire.ended()


async def test_no_time_at_all_cancels_at_once() -> None:
    waiting = Waiting()
    async with serving(waiting.handle, limits=ServerLimits(half_close_s=0.0)) as server:
        wire = await server.client()
        await finish(wire, GET)
        assert await wire.ended()
        await until(lambda: waiting.cancelled == 1)
    assert waiting.begun == 1


@pytest.mark.parametrize("framing", [b"content-length: 10\r\n\r\nhalf", b"transfer-encoding: chunked\r\n\r\n4\r\nhalf"])
async def test_a_request_that_is_not_whole_fails_at_once_and_never_reaches_the_upstream_whole(framing: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        raise AssertionError("a request came whole")

    async with gateway_to(script, client_limits=PATIENT) as rig:
        wire = await rig.client()
        await wire.send(POST, framing)
        await until(lambda: rig.pool["active"] == 1)
        wire.writer.write_eof()
        assert await wire.ended()
        await rig.settled()
        assert [counter.value for counter in rig.snapshot.routes[0].counts.classes] == [0, 0, 0, 1, 0]
        assert rig.endpoint.pool.open == 0


async def test_whoever_reads_a_body_that_is_not_whole_learns_that_the_client_is_gone() -> None:
    failures: list[BaseException] = []

    async def handle(request: Request) -> Response:
        try:
            await request.body.read(100)
        except asyncio.CancelledError:
            try:
                await anext(request.body.source.__aiter__())  # type: ignore[union-attr]
            except Exception as error:
                failures.append(error)
            raise
        raise AssertionError("the body came whole")

    async with serving(handle, limits=PATIENT) as server:
        wire = await server.client()
        await finish(wire, POST, b"content-length: 10\r\n\r\nhalf")
        assert await wire.ended()
        await until(lambda: bool(failures))
    assert [(type(each).__name__, getattr(each, "status", 0)) for each in failures] == [("ClientGoneError", 499)]


def in_steps(go: asyncio.Queue[bytes]) -> Script:
    """Answer with the pieces that the test puts; the empty one is the last."""

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while data := await go.get():
            await wire.send(b"%x\r\n%b\r\n" % (len(data), data))
        await wire.send(b"0\r\n\r\n")
        await wire.rest()

    return script


async def until_after(moment: float) -> None:
    await until(lambda: now() > moment)


async def test_a_streamed_answer_goes_on_as_long_as_it_makes_progress() -> None:
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    async with gateway_to(in_steps(pieces), client_limits=PATIENT) as rig:
        wire = await rig.client()
        await finish(wire, GET)
        await wire.head()
        await half_closed(rig.server)
        for _ in range(3):
            before = rig.server.connection.deadline
            await until_after(before - PATIENT.half_close_s)
            pieces.put_nowait(b"abc")
            assert await wire.read(8) == b"3\r\nabc\r\n"
            assert rig.server.connection.deadline > before
            rig.server.connection.sweep(now() + 90.0)
            await turns()
        pieces.put_nowait(b"")
        assert await wire.rest() == b"0\r\n\r\n"
        assert rig.endpoint.pool.open == 1


async def test_a_streamed_answer_that_makes_none_is_given_up() -> None:
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    async with gateway_to(in_steps(pieces), client_limits=PATIENT) as rig:
        wire = await rig.client()
        await finish(wire, GET)
        await wire.head()
        await half_closed(rig.server)
        pieces.put_nowait(b"abc")
        assert await wire.read(8) == b"3\r\nabc\r\n"
        rig.server.connection.sweep(now() + 101.0)
        assert not await wire.ended() or not rig.server.connections
        await rig.settled()
        assert [type(each).__name__ for each in rig.ended] == ["ClientGoneError"]
        assert rig.endpoint.pool.open == 0


@pytest.mark.parametrize("whole", [False, True], ids=["streamed", "whole"])
async def test_a_slow_download_survives(whole: bool) -> None:
    """The client takes little by little, and never anything within the time that one who has left is given."""
    size = 2**20

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size, bytes(size))
        await wire.rest()

    async def reading(request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        if whole:
            await response.body.read(size)
        return response

    def it_waits_for_the_client() -> bool:
        return all(each._transport.get_write_buffer_size() for each in rig.server.connections)

    hasty = ServerLimits(half_close_s=1.0)
    async with gateway_to(script, reading, small_buffers=True, client_limits=hasty) as rig:
        wire = await rig.client()
        await finish(wire, GET)
        await wire.head()
        later = now()
        for _ in range(size // 2**17):
            await until(it_waits_for_the_client)
            later += 2 * hasty.half_close_s
            for connection in rig.server.connections:
                connection.sweep(later)
            await wire.skip(2**17)
        assert await wire.ended()


async def test_waiting_requests_are_answered_when_a_slow_client_takes_their_answers() -> None:
    """The end of its half comes while nothing is being answered: the client has to take what it has got first."""

    async def handle(request: Request) -> Response:
        return Response(200, None, bytes(2**21))

    async with serving(handle, small_buffers=True, limits=PATIENT) as server:
        wire = await server.client()
        await finish(wire, GET * 4)
        await until(lambda: bool(server.connections) and server.connection._writable is not None)
        await turns(200)
        for _ in range(4):
            assert len((await wire.message()).body) == 2**21
        assert await wire.ended()


async def test_a_client_that_closes_both_halves_is_found_out_by_writing() -> None:
    made = 0
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        nonlocal made
        try:
            while True:
                made += 1
                yield b"x" * 1000
                await turns(3)
        finally:
            closed.set()

    async def handle(request: Request) -> Response:
        return Response(200, None, endless())

    async with serving(handle, limits=PATIENT) as server:
        wire = await server.client()
        await wire.send(GET)
        await wire.head()
        wire.close()
        await asyncio.wait_for(closed.wait(), WAIT_S)
        await until(lambda: not server.connections)
    assert made < 10_000


async def test_the_end_of_a_tunnels_half_ends_the_tunnel() -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        assert await wire.rest() == b"hi"

    async with gateway_to(script, client_limits=PATIENT) as rig:
        wire = await rig.client()
        await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        await wire.head()
        await finish(wire, b"hi")
        assert await wire.ended()
        await rig.settled()


async def test_a_last_request_is_answered_and_the_linger_ends_when_the_client_ends() -> None:
    async with serving(echo, limits=PATIENT) as server:
        wire = await server.client()
        await finish(wire, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert (await wire.message()).headers["connection"] == "close"
        assert await wire.ended()
        await until(lambda: not server.connections)


@pytest.mark.parametrize("how", ["close_notify", "abort"])
async def test_over_tls_the_end_of_a_half_is_the_end(how: str, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_certificate(tmp_path))
    waiting = Waiting()
    async with serving(waiting.handle, limits=PATIENT, tls=context) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting())
        wire = Wire(reader, writer)
        await wire.send(GET)
        await until(lambda: waiting.begun == 1)
        if how == "abort":
            writer.transport.abort()
        else:
            writer.close()
        await until(lambda: waiting.cancelled == 1)
        writer.transport.abort()
    assert (waiting.begun, waiting.cancelled) == (1, 1)
