from __future__ import annotations

import asyncio
import json

import pytest

from meshwright.http1.settings import ServerLimits
from meshwright_sdk import Request, Response
from tests.core.http1.harness import serving
from tests.core.http1.wire import still, turns, until

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"


async def echo(request: Request) -> Response:
    return Response.text(f"{request.method} {request.target} " + (await request.body.read(2**24)).decode("latin-1"))


AMBIGUOUS = {
    "length and coding": (POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "coding and length": (POST + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (POST + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd", 400),
    "equal lengths": (POST + b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc", 400),
    "list of lengths": (POST + b"content-length: 3, 3\r\n\r\nabc", 400),
    "signed length": (POST + b"content-length: +3\r\n\r\nabc", 400),
    "negative length": (POST + b"content-length: -3\r\n\r\nabc", 400),
    "hexadecimal length": (POST + b"content-length: 0x3\r\n\r\nabc", 400),
    "empty length": (POST + b"content-length: \r\n\r\nabc", 400),
    "length in two words": (POST + b"content-length: 3 3\r\n\r\nabc", 400),
    "huge length": (POST + b"content-length: 99999999999999999999\r\n\r\nabc", 400),
    "gzip": (POST + b"transfer-encoding: gzip\r\n\r\nabc", 400),
    "gzip, chunked": (POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked, gzip": (POST + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "identity and chunked": (POST + b"transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "comma before chunked": (POST + b"transfer-encoding: ,chunked\r\n\r\n0\r\n\r\n", 400),
    "xchunked": (POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "chunked in 1.0": (b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "folded field": (b"GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n", 400),
    "folded first field": (b"GET / HTTP/1.1\r\n host: a\r\n\r\n", 400),
    "bare line feeds": (b"GET / HTTP/1.1\nhost: a\n\n", 400),
    "one bare line feed": (b"GET / HTTP/1.1\r\nhost: a\r\nx: a\ny: b\r\n\r\n", 400),
    "bare carriage return": (b"GET / HTTP/1.1\r\nhost: a\r\nx: a\ry: b\r\n\r\n", 400),
    "space before colon": (b"GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400),
    "nul": (b"GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n", 400),
    "control": (b"GET / HTTP/1.1\r\nhost: a\r\nx: a\x01b\r\n\r\n", 400),
    "no colon": (b"GET / HTTP/1.1\r\nhost: a\r\nxyz\r\n\r\n", 400),
    "no name": (b"GET / HTTP/1.1\r\nhost: a\r\n: a\r\n\r\n", 400),
    "odd name": (b"GET / HTTP/1.1\r\nhost: a\r\nx(y): a\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\nx: a\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
    "equal hosts": (b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400),
    "odd host": (b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
    "host with user": (b"GET / HTTP/1.1\r\nhost: user@a\r\n\r\n", 400),
    "host with path": (b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
    "absolute target without host": (b"GET http://a/ HTTP/1.1\r\n\r\n", 400),
    "absolute target of another scheme": (b"GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "absolute target with user": (b"GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "absolute target without name": (b"GET http:///a HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "absolute target with half an address": (b"GET http://[::1 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "absolute target with a fragment": (b"GET http://a/b#c HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "fragment": (b"GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "target without slash": (b"GET a HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "star for GET": (b"GET * HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "leaving the root": (b"GET /../a HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "nul in the path": (b"GET /%00 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "broken escape": (b"GET /%g HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "control in the path": (b"GET /\x01 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "byte above 127 in the path": (b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "odd method": (b"B(EW / HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "small method": (b"get / HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    "CONNECT": (b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n", 405),
    "TRACE": (b"TRACE / HTTP/1.1\r\nhost: a\r\n\r\n", 405),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nhost: a\r\n\r\n", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nhost: a\r\n\r\n", 505),
    "h2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "unknown expectation": (POST + b"expect: a miracle\r\ncontent-length: 1\r\n\r\na", 417),
}


@pytest.mark.asyncio(loop_factories=["asyncio"])  # what the parser says is the same everywhere
@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_what_could_be_read_in_two_ways_is_refused_and_the_connection_closed(name: str, bytewise: bool) -> None:
    async def handle(request: Request) -> Response:
        raise AssertionError(f"{request} was handed on")

    sent, status = AMBIGUOUS[name]
    async with serving(handle, bytewise=bytewise) as server:
        wire = await server.client()
        await wire.send(sent)
        answer = await wire.message()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert answer.headers["content-type"] == "application/problem+json"
        assert json.loads(answer.body)["status"] == status
        wire.close()
        assert await wire.ended()


BAD_CHUNKS = {
    "no number": b"x\r\nabc\r\n0\r\n\r\n",
    "prefixed number": b"0x3\r\nabc\r\n0\r\n\r\n",
    "signed number": b"+3\r\nabc\r\n0\r\n\r\n",
    "space after the number": b"3 \r\nabc\r\n0\r\n\r\n",
    "too large": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "line feed alone": b"3\nabc\r\n0\r\n\r\n",
    "line feed alone in an extension": b"3;a\nabc\r\n0\r\n\r\n",
    "longer than it says": b"3\r\nabcd\r\n0\r\n\r\n",
    "line feed alone after the data": b"3\r\nabc\n0\r\n\r\n",
    "framing in the trailers": b"3\r\nabc\r\n0\r\ntransfer-encoding: chunked\r\n\r\n",
    "folded trailer": b"3\r\nabc\r\n0\r\nx: a\r\n b\r\n\r\n",
}


@pytest.mark.asyncio(loop_factories=["asyncio"])  # what the parser says is the same everywhere
@pytest.mark.parametrize("name", BAD_CHUNKS)
async def test_a_bad_chunk_fails_the_request_and_closes_the_connection(name: str, bytewise: bool) -> None:
    async def handle(request: Request) -> Response:
        try:
            return await echo(request)
        except Exception as error:
            return Response.text(type(error).__name__, status=400)

    async with serving(handle, bytewise=bytewise) as server:
        wire = await server.client()
        await wire.send(POST + b"transfer-encoding: chunked\r\n\r\n", BAD_CHUNKS[name])
        answer = await wire.message()
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        wire.close()
        assert await wire.ended()


HIDDEN = b"GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"h2c, websocket", b"websocket, h2c"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_the_body_of_an_upgrade_request_never_becomes_a_request(
    protocol: bytes, chunked: bool, bytewise: bool
) -> None:
    paths: list[str] = []

    async def handle(request: Request) -> Response:
        paths.append(request.path)
        assert request.upgrade == ""
        return await echo(request)

    framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(HIDDEN)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN) if chunked else HIDDEN
    head = b"POST /open HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: " + protocol + b"\r\n" + framing
    async with serving(handle, bytewise=bytewise) as server:
        wire = await server.client()
        await wire.send(head, b"\r\n\r\n", body, head, b"\r\n\r\n", body, GET)
        for _ in range(2):
            assert (await wire.message()).body == b"POST /open " + HIDDEN
        assert (await wire.message()).body == b"GET / "
    assert paths == ["/open", "/open", "/"]


async def test_what_cannot_be_read_is_answered_after_the_requests_before_it(bytewise: bool) -> None:
    async with serving(echo, bytewise=bytewise) as server:
        wire = await server.client()
        sending = asyncio.gather(wire.send(GET, GET, b"GET / HTTP/1.1\r\n\r\n"), return_exceptions=True)
        statuses = [(await wire.message()).status for _ in range(3)]
        await sending
        assert statuses == [200, 200, 400]
        wire.close()
        assert await wire.ended()


async def test_nothing_is_read_after_what_cannot_be_read(bytewise: bool) -> None:
    async with serving(echo, bytewise=bytewise) as server:
        wire = await server.client()
        sending = asyncio.gather(wire.send(GET, b"GET / HTTP/1.1\r\nx\r\n\r\n", GET), return_exceptions=True)
        assert [(await wire.message()).status for _ in range(2)] == [200, 400]
        assert await wire.ended()
        await sending


async def test_data_after_the_last_request_changes_nothing_about_its_answer(bytewise: bool) -> None:
    async with serving(echo, bytewise=bytewise) as server:
        wire = await server.client()
        sending = asyncio.gather(
            wire.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", HIDDEN), return_exceptions=True
        )
        answer = await wire.message()
        assert (answer.body, answer.headers["connection"]) == (b"GET / ", "close")
        await sending
        wire.close()


@pytest.mark.parametrize(
    "refused",
    [
        b"HEAD /%00 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nhost: a\r\nx : a\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nhost: a\r\nx: \n",
        b"HEAD /" + b"a" * 10_000,
    ],
)
@pytest.mark.parametrize("before", [b"", b"\r\n", GET])
async def test_a_refusal_of_head_has_no_content(refused: bytes, before: bytes, bytewise: bool) -> None:
    async with serving(echo, bytewise=bytewise) as server:
        wire = await server.client()
        await wire.send(before, refused)
        if before == GET:
            assert (await wire.message()).status == 200
        answer = await wire.message(bodiless=True)
        assert answer.status >= 400
        assert int(answer.headers["content-length"]) > 0
        assert await wire.ended()


HEADS = {
    "long value": b"GET / HTTP/1.1\r\nhost: a\r\nx: %b\r\n\r\n" % (b"a" * 66_000),
    "long name": b"GET / HTTP/1.1\r\nhost: a\r\n%b: x\r\n\r\n" % (b"a" * 66_000),
    "long target": b"GET /%b HTTP/1.1\r\nhost: a\r\n\r\n" % (b"a" * 66_000),
    "many fields": b"GET / HTTP/1.1\r\nhost: a\r\n%b\r\n" % (b"x-field: value\r\n" * 4400),
}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("step", [2**20, 10_000])
@pytest.mark.parametrize("before", [b"", GET])
async def test_a_head_of_more_than_64_kib_is_refused_however_it_comes(name: str, step: int, before: bytes) -> None:
    async with serving(echo) as server:
        wire = await server.client()
        await until(lambda: bool(server.connections))
        sent = before + HEADS[name]
        for place in range(0, len(sent), step):
            server.connection.data_received(sent[place : place + step])
            await turns()
        statuses = [(await wire.message()).status for _ in range(2 if before else 1)]
        assert statuses == [200, 414 if name == "long target" else 431][0 if before else 1 :]
        assert await wire.ended()


async def test_a_large_head_within_the_bound_is_served() -> None:
    async with serving(echo) as server:
        assert (await server.ask(b"GET / HTTP/1.1\r\nhost: a\r\nx: %b\r\n\r\n" % (b"a" * 60_000))).status == 200


@pytest.mark.parametrize("start", [b"0\r\nx-trailer: ", b"1;extension="])
async def test_what_stands_between_two_chunks_is_bounded(start: bytes) -> None:
    begun, failures = asyncio.Event(), list[BaseException]()

    async def handle(request: Request) -> Response:
        begun.set()
        try:
            return await echo(request)
        except Exception as error:
            failures.append(error)
            raise asyncio.CancelledError from error

    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(POST, b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n", start)
        await begun.wait()
        sent = 0
        try:
            while not failures:
                await wire.send(b"a" * 1000)
                await turns(5)
                sent += 1000
        except ConnectionError:
            pass
        assert sent < 2**20
    assert getattr(failures[0], "status", 0) == 400


# Time


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\nhost: a\r\n", GET[:-1]])
async def test_a_head_that_is_not_complete_in_time_is_answered_408(begun: bytes) -> None:
    async with serving(echo, limits=ServerLimits(header_timeout_s=300.0)) as server:
        wire = await server.client()
        await wire.send(begun)
        await until(lambda: bool(server.connections) and server.connection._waiting != b"")
        server.connection.sweep(now() + 290.0)
        await turns()
        assert server.connections

        server.connection.sweep(now() + 301.0)
        answer = await wire.message()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert await wire.ended()


async def test_a_silent_connection_is_closed_without_a_word() -> None:
    async with serving(echo) as server:
        wire = await server.client()
        await until(lambda: bool(server.connections))
        server.connection.sweep(now() + 31.0)
        assert await wire.ended()


async def test_an_idle_connection_is_kept_for_its_time_and_a_busy_one_for_ever() -> None:
    go = asyncio.Event()

    async def handle(request: Request) -> Response:
        await go.wait()
        return Response(204)

    async with serving(handle, limits=ServerLimits(idle_timeout_s=750.0)) as server:
        wire = await server.client()
        await wire.send(GET)
        await until(lambda: bool(server.connections) and server.connection._current is not None)
        server.connection.sweep(now() + 100_000.0)
        go.set()
        assert (await wire.message()).status == 204

        server.connection.sweep(now() + 740.0)
        await wire.send(GET)
        assert (await wire.message()).status == 204
        server.connection.sweep(now() + 751.0)
        assert await wire.ended()


async def test_a_head_begun_during_the_request_before_has_its_time_from_then_on() -> None:
    async with serving(echo) as server:
        wire = await server.client()
        await wire.send(GET + b"GET /")
        assert (await wire.message()).status == 200
        server.connection.sweep(now() + 31.0)
        assert (await wire.message()).status == 408


async def test_a_response_that_nobody_takes_ends_after_a_time_without_progress() -> None:
    async def handle(request: Request) -> Response:
        return Response(200, None, bytes(2**24))

    async with serving(handle, small_buffers=True) as server:
        wire = await server.client()
        await wire.send(GET)
        await wire.head()
        await until(lambda: server.connection._current is None)
        await turns(100)
        start = now()
        server.connection.sweep(start)
        server.connection.sweep(start + 74.0)
        await wire.read(2**20)
        await turns(100)
        server.connection.sweep(start + 76.0)
        server.connection.sweep(start + 150.0)
        await turns()
        assert server.connections
        await still(server.connection._transport.get_write_buffer_size)
        for late_s in (151.0, 227.0):
            server.connection.sweep(start + late_s)
        await until(lambda: not server.connections)


async def test_a_refused_client_that_goes_on_sending_is_cut_off() -> None:
    async with serving(echo) as server:
        wire = await server.client()
        await wire.send(b"nonsense\r\n\r\n")
        assert (await wire.message()).status == 400
        sending = asyncio.gather(*(wire.send(bytes(64 * 1024)) for _ in range(1000)))
        with pytest.raises(ConnectionError):
            await sending
        await until(lambda: not server.connections)


async def test_draining_ends_an_idle_connection_now_and_a_busy_one_after_its_response() -> None:
    go = asyncio.Event()

    async def handle(request: Request) -> Response:
        await go.wait()
        return Response.text(request.path)

    async with serving(handle) as server:
        idle, busy = await server.client(), await server.client()
        await busy.send(GET, GET)
        await until(lambda: any(each._current is not None for each in server.connections))
        await until(lambda: len(server.connections) == 2)
        for connection in server.connections:
            connection.shutdown()
        assert await idle.ended()
        go.set()
        answer = await busy.message()
        assert (answer.body, answer.headers["connection"]) == (b"/", "close")
        assert await busy.ended()
