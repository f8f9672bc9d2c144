from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from meshwright.http1.stream import BodyStream
from meshwright_sdk import Body, ClientGoneError, Request, Response
from tests.core.http1.harness import serving
from tests.core.http1.ways import DIRECT, every_way_in
from tests.core.http1.wire import Wire, pour, push, still, turns, until

HEAD = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n"
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


class Ends:
    """Takes note of how responses end."""

    def __init__(self) -> None:
        self.errors: list[BaseException | None] = []

    def watch(self, response: Response) -> Response:
        response.on_close(self.errors.append)
        return response

    async def all(self, count: int = 1) -> list[BaseException | None]:
        await until(lambda: len(self.errors) >= count)
        await turns()
        return self.errors


async def whole(request: Request) -> Response:
    return Response(200, None, await request.body.read(2**24))


# Requests


@every_way_in
async def test_content_is_handed_on_as_it_comes() -> None:
    seen: list[bytes] = []

    async def handle(request: Request) -> Response:
        async for data in request.body:
            seen.append(data)  # noqa: PERF401 - one by one, for the test to see
        return Response(204)

    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(HEAD, b"\r\n")
        await wire.send(b"0123")
        await until(lambda: seen == [b"0123"])
        await wire.send(b"456")
        await until(lambda: seen == [b"0123", b"456"])
        await wire.send(b"789")
        assert (await wire.message()).status == 204
    assert seen == [b"0123", b"456", b"789"]


@every_way_in
async def test_content_that_comes_with_its_head_is_known_whole() -> None:
    async def handle(request: Request) -> Response:
        return Response.text(f"{request.body.replayable} {request.body.length}")

    async with serving(handle) as server:
        assert (await server.ask(HEAD, b"\r\n0123456789")).body == b"True 10"


@every_way_in
async def test_a_client_that_waits_is_told_to_go_on_only_when_its_body_is_wanted(bytewise: bool) -> None:
    async with serving(whole, bytewise=bytewise) as server:
        wire = await server.client()
        for _ in range(2):
            await wire.send(HEAD, b"expect: 100-continue\r\n\r\n")
            assert await wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await wire.send(b"0123456789")
            assert (await wire.message()).body == b"0123456789"


async def test_a_client_that_waits_is_not_told_to_go_on_when_nobody_reads(bytewise: bool) -> None:
    async def handle(request: Request) -> Response:
        return Response.text("no", status=403)

    async with serving(handle, bytewise=bytewise) as server:
        wire = await server.client()
        await wire.send(HEAD, b"expect: 100-continue\r\n\r\n")
        answer = await wire.message()
        assert (answer.status, answer.headers["connection"]) == (403, "close")
        assert await wire.ended()


async def test_a_client_that_did_not_wait_for_it_gets_no_permission() -> None:
    async with serving(whole) as server:
        answer = await server.ask(HEAD, b"expect: 100-continue\r\n\r\n0123456789")
    assert (answer.status, answer.body) == (200, b"0123456789")


@every_way_in
async def test_permission_is_never_given_in_the_middle_of_the_answer() -> None:
    async def handle(request: Request) -> Response:
        async def echo() -> AsyncIterator[bytes]:
            yield b"begin "
            async for data in request.body:
                yield data

        return Response(200, None, echo())

    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(HEAD, b"expect: 100-continue\r\n\r\n")
        head = await wire.head()
        assert head.status == 200
        chunks = wire.chunks()
        assert await anext(chunks) == b"begin "
        await wire.send(b"0123456789")
        assert b"".join([chunk async for chunk in chunks]) == b"0123456789"


async def test_a_client_of_http_1_0_gets_no_permission() -> None:
    async with serving(whole) as server:
        wire = await server.client()
        await wire.send(b"POST / HTTP/1.0\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n")
        await until(lambda: bool(server.connections) and server.connection._current is not None)
        await turns()
        await wire.send(b"0123456789")
        assert (await wire.message()).body == b"0123456789"


async def test_an_answer_may_come_before_the_request_is_complete(bytewise: bool) -> None:
    async def handle(request: Request) -> Response:
        return Response.text("too much", status=413)

    async with serving(handle, bytewise=bytewise) as server:
        wire = await server.client()
        await wire.send(HEAD, b"\r\n0123")
        answer = await wire.message()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        await wire.send(b"456789", GET)
        assert await wire.ended()


async def test_an_answer_survives_a_client_that_goes_on_sending_for_a_while() -> None:
    async def handle(request: Request) -> Response:
        begun.set()
        return Response.text("too much", status=413)

    begun = asyncio.Event()
    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n")
        await begun.wait()
        for _ in range(10):
            await wire.send(bytes(10_000))
            await turns()
        assert (await wire.message()).status == 413
        assert await wire.ended()
        wire.close()
        await until(lambda: not server.connections)


@every_way_in
async def test_whoever_still_reads_a_body_after_the_answer_is_told_that_it_ends() -> None:
    failures: list[BaseException] = []

    async def handle(request: Request) -> Response:
        async def read_on() -> None:
            try:
                await request.body.read(100)
            except ClientGoneError as error:
                failures.append(error)

        tasks.append(asyncio.get_running_loop().create_task(read_on()))
        return Response(204)

    tasks: list[asyncio.Task[None]] = []
    async with serving(handle) as server:
        assert (await server.ask(HEAD, b"\r\n0123")).status == 204
        await until(lambda: bool(failures))


@every_way_in
async def test_a_body_that_nobody_wanted_but_came_whole_keeps_the_connection() -> None:
    async def handle(request: Request) -> Response:
        return Response(204)

    async with serving(handle) as server:
        wire = await server.client()
        for _ in range(2):
            await wire.send(HEAD, b"\r\n0123456789")
            assert (await wire.message()).status == 204


@every_way_in
async def test_a_client_can_send_no_more_than_the_handler_takes() -> None:
    go = asyncio.Event()
    size = 32 * 2**20
    taken = 0

    async def handle(request: Request) -> Response:
        nonlocal taken
        await go.wait()
        async for data in request.body:
            taken += len(data)
        return Response(204)

    async with serving(handle, small_buffers=True) as server:
        wire = await server.client()
        await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)
        sent = await push(wire, size)
        assert sent < 2 * 2**20
        go.set()
        await pour(wire, size - sent)
        assert (await wire.message()).status == 204
        assert taken == size


@every_way_in
@pytest.mark.parametrize("wait", ["body", "other"])
async def test_a_client_that_leaves_during_its_upload_cancels_the_request(wait: str, way_in: str) -> None:
    begun, seen = asyncio.Event(), list[BaseException]()

    async def handle(request: Request) -> Response:
        begun.set()
        try:
            if wait == "body":
                await request.body.read(100)
            await asyncio.Event().wait()
        except BaseException as error:
            seen.append(error)
            raise
        raise AssertionError

    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(HEAD, b"\r\n0123")
        await begun.wait()
        await turns()
        wire.close()
        await until(lambda: bool(seen))
    by_the_body = wait == "body" and way_in != DIRECT  # it reads what tells that the client is gone
    assert [type(error) for error in seen] == [ClientGoneError if by_the_body else asyncio.CancelledError]


# Responses


@every_way_in
async def test_a_chunk_leaves_when_it_is_made() -> None:
    turn = asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"data: %d\n\n" % number
            await turn.wait()
            turn.clear()

    async def handle(request: Request) -> Response:
        return Response(200, {"content-type": "text/event-stream"}, events())

    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(GET)
        assert (await wire.head()).status == 200
        chunks = wire.chunks()
        for number in range(3):
            assert await anext(chunks) == b"data: %d\n\n" % number
            turn.set()
        assert await anext(chunks, None) is None


@every_way_in
async def test_a_head_leaves_before_the_first_chunk_is_made() -> None:
    go = asyncio.Event()

    async def late() -> AsyncIterator[bytes]:
        await go.wait()
        yield b"late"

    async def handle(request: Request) -> Response:
        return Response(200, None, late())

    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(GET)
        assert (await wire.head()).status == 200
        go.set()
        assert [chunk async for chunk in wire.chunks()] == [b"late"]


async def test_a_slow_client_stops_what_makes_the_body() -> None:
    made = 0
    size = 32 * 2**20

    async def body() -> AsyncIterator[bytes]:
        nonlocal made
        while made < size:
            made += 65536
            yield bytes(65536)

    async def handle(request: Request) -> Response:
        return Response(200, None, body())

    async with serving(handle, small_buffers=True) as server:
        wire = await server.client()
        await wire.send(GET)
        await wire.head()
        await until(lambda: server.connection._writable is not None)
        await turns(200)
        assert made < 8 * 2**20
        assert server.connection._transport.get_write_buffer_size() < 2**18
        assert sum([len(chunk) async for chunk in wire.chunks()]) == size


async def test_a_client_that_takes_no_answers_gets_none_made(bytewise: bool) -> None:
    size, made = 2 * 2**20, 0

    async def handle(request: Request) -> Response:
        nonlocal made
        made += 1
        return Response(200, None, bytes(size))

    async with serving(handle, small_buffers=True) as server:
        wire = await server.client()
        sending = asyncio.gather(*([wire.send(GET) for _ in range(40)] if bytewise else [wire.send(GET * 40)]))
        await until(lambda: bool(server.connections) and server.connection._writable is not None)
        await turns(300)
        assert made < 6
        for _ in range(40):
            assert len((await wire.message()).body) == size
        await sending
    assert made == 40


async def test_a_client_that_asks_for_more_and_takes_nothing_is_dropped_after_a_time() -> None:
    async def handle(request: Request) -> Response:
        return Response(200, None, bytes(2**24))

    async with serving(handle, small_buffers=True) as server:
        wire = await server.client()
        await wire.send(GET * 3)
        await until(lambda: bool(server.connections) and server.connection._writable is not None)
        await still(server.connection._transport.get_write_buffer_size)
        for late_s in (76.0, 152.0):
            server.connection.sweep(asyncio.get_running_loop().time() + late_s)
        await until(lambda: not server.connections)


async def test_a_body_may_be_sent_back_as_it_comes_and_is_the_last_answer() -> None:
    paths: list[str] = []

    async def handle(request: Request) -> Response:
        paths.append(request.path)
        return Response(200, None, request.body)

    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n0123")
        head = await wire.head()
        assert (head.headers["content-length"], head.headers["connection"]) == ("10", "close")
        assert await wire.read(4) == b"0123"
        server.connection.data_received(b"456789" + GET)
        assert await wire.rest() == b"456789"
    assert paths == ["/echo"]


class Origin:
    """A connection that feeds a stream; the test does the feeding."""

    def demand(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def abandon(self) -> None: ...


async def test_no_request_is_handled_after_the_last_response() -> None:
    """The next request is here already when a response ends with the connection, and leaves slowly."""
    streams: list[BodyStream] = []

    async def handle(request: Request) -> Response:
        streams.append(BodyStream(Origin()))
        return Response(200, None, streams[-1])

    async with serving(handle, small_buffers=True) as server:
        wire = await server.client()
        await wire.send(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n" * 2)
        await wire.head()
        streams[0].feed(bytes(2**22))
        streams[0].end()
        assert len(await wire.rest()) == 2**22
    assert len(streams) == 1


@every_way_in
async def test_an_endless_body_that_breaks_its_promise_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            closed.append(True)

    async def handle(request: Request) -> Response:
        return Response(200, None, Body.stream(endless(), length=10))

    closed: list[bool] = []
    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(GET)
        await wire.head()
        await until(lambda: bool(closed))
    caplog.clear()


# The end of each response, once


async def answer_whole(wire: Wire) -> None:
    assert (await wire.message()).body == b"ok"


async def leave(wire: Wire) -> None:
    await wire.head()
    wire.close()


async def break_off(wire: Wire) -> None:
    await wire.head()
    wire.reset()


async def chunks() -> AsyncIterator[bytes]:
    yield b"o"
    yield b"k"


async def stuck() -> AsyncIterator[bytes]:
    yield b"o"
    await asyncio.Event().wait()


async def flood() -> AsyncIterator[bytes]:
    while True:
        yield bytes(65536)


@every_way_in
@pytest.mark.parametrize("client", [leave, break_off])
@pytest.mark.parametrize("body", [stuck, flood])
async def test_a_response_whose_client_leaves_ends_once_and_its_body_is_closed(client: object, body: object) -> None:
    ends, closed = Ends(), []

    async def closing() -> AsyncIterator[bytes]:
        try:
            async for data in body():  # type: ignore[operator]
                yield data
        finally:
            closed.append(True)

    async def handle(request: Request) -> Response:
        return ends.watch(Response(200, None, closing()))

    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(GET)
        await client(wire)  # type: ignore[operator]
        (error,) = await ends.all()
        assert isinstance(error, ClientGoneError)
        assert closed == [True]


@every_way_in
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_response_that_is_taken_ends_once_without_an_error(streamed: bool) -> None:
    ends = Ends()

    async def handle(request: Request) -> Response:
        return ends.watch(Response(200, None, chunks() if streamed else b"ok"))

    async with serving(handle) as server:
        wire = await server.client()
        for count in (1, 2):
            await wire.send(GET)
            await answer_whole(wire)
            assert await ends.all(count) == [None] * count


@every_way_in
async def test_a_response_with_a_replaced_body_closes_both_and_ends_once() -> None:
    ends, closed = Ends(), []

    async def first() -> AsyncIterator[bytes]:
        try:
            yield b"never"
        finally:
            closed.append("first")

    async def handle(request: Request) -> Response:
        source = first()
        await anext(source)
        response = ends.watch(Response(200, None, source))
        response.body = b"ok" if request.path == "/whole" else chunks()
        return response

    async with serving(handle) as server:
        wire = await server.client()
        for count, path in enumerate((b"/whole", b"/streamed"), 1):
            await wire.send(b"GET ", path, b" HTTP/1.1\r\nhost: a\r\n\r\n")
            await answer_whole(wire)
            assert await ends.all(count) == [None] * count
            assert closed == ["first"] * count


@every_way_in
async def test_a_client_that_leaves_before_the_answer_cancels_the_request() -> None:
    begun, cancelled = asyncio.Event(), list[bool]()

    async def handle(request: Request) -> Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        raise AssertionError

    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(GET)
        await begun.wait()
        await turns()
        wire.reset()
        await until(lambda: bool(cancelled))


@every_way_in
async def test_a_handler_that_survives_its_cancellation_still_ends_its_response() -> None:
    begun, ends = asyncio.Event(), Ends()

    async def handle(request: Request) -> Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await turns(3)
        return ends.watch(Response.text("too late"))

    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(GET)
        await begun.wait()
        await turns()
        wire.close()
        await ends.all()


async def test_a_cancelled_handler_closes_the_connection() -> None:
    async def handle(request: Request) -> Response:
        raise asyncio.CancelledError

    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(GET)
        assert await wire.ended()
