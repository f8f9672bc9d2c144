from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from meshwright_sdk import Body, Request, Response
from tests.core.http1.harness import Handle, serving
from tests.core.http1.ways import NO_DATE, NO_LENGTH_IN_304, every_way_in
from tests.core.http1.wire import FIELD, Message, turns, until

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


async def echo(request: Request) -> Response:
    """Answer with the target and the content."""
    return Response.text(f"{request.method} {request.target} " + (await request.body.read(2**24)).decode("latin-1"))


class Keeping:
    """A handler that keeps the requests it gets."""

    def __init__(self, answer: Handle = echo) -> None:
        self.requests: list[Request] = []
        self._answer = answer

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        return await self._answer(request)

    @property
    def request(self) -> Request:
        (request,) = self.requests
        return request


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nhost: a\r\n\r\n".encode()


# One request


@every_way_in
async def test_a_request_arrives_as_it_was_sent_and_is_answered(bytewise: bool, way_in: str) -> None:
    handle = Keeping()
    async with serving(handle, bytewise=bytewise) as server:
        answer: Message = await server.ask(
            b"GET /a/../b%7e?c=%20d HTTP/1.1\r\nHost: Shop.Example:8080\r\nX-B: 1 \t\r\nx-a:2\r\nX-B:\r\n\r\n"
        )

    request = handle.request
    assert (request.method, request.path, request.query) == ("GET", "/b~", "c=%20d")
    assert (request.host, request.scheme, request.http_version) == ("shop.example", "http", "1.1")
    assert request.client is not None
    assert request.client.host == "127.0.0.1"
    assert request.headers.multi_items() == [
        ("host", "Shop.Example:8080"),
        ("x-b", "1"),
        ("x-a", "2"),
        ("x-b", ""),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "Shop.Example:8080"),
        ("x-forwarded-port", "8080"),
    ]
    assert (answer.start, answer.body) == ("HTTP/1.1 200 OK", b"GET /b~?c=%20d ")
    assert answer.headers["content-length"] == "15"
    assert ("date" in answer.headers) is (way_in not in NO_DATE)
    assert "connection" not in answer.headers


@every_way_in
async def test_hop_by_hop_fields_and_claims_about_the_way_do_not_go_on(bytewise: bool) -> None:
    handle = Keeping()
    async with serving(handle, bytewise=bytewise) as server:
        await server.ask(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Secret\r\nX-Secret: 1\r\nTE: trailers\r\n"
            b"Keep-Alive: 5\r\nProxy-Connection: x\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"
            b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Kept: 1\r\n\r\n"
        )
    assert [name for name in handle.request.headers.multi_items() if "6.6.6.6" in name[1] or "evil" in name[1]] == []
    assert list(handle.request.headers) == [
        "host",
        "x-kept",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
    ]


@every_way_in
@pytest.mark.parametrize(
    ("head", "framing", "body"),
    [
        (b"content-length: 5\r\n", b"", b"hello"),
        (b"transfer-encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", b""),
        (b"transfer-encoding: Chunked\r\n", b"3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nx-trailer: 1\r\n\r\n", b""),
    ],
)
async def test_content_arrives_however_it_is_framed(head: bytes, framing: bytes, body: bytes, bytewise: bool) -> None:
    async with serving(echo, bytewise=bytewise) as server:
        wire = await server.client()
        for _ in range(2):
            await wire.send(b"POST /a HTTP/1.1\r\nhost: a\r\n", head, b"\r\n", framing, body)
            assert (await wire.message()).body == b"POST /a hello"


async def test_an_absolute_target_names_the_host(bytewise: bool) -> None:
    handle = Keeping()
    async with serving(handle, bytewise=bytewise) as server:
        await server.ask(b"GET HTTP://Shop:81/a?b HTTP/1.1\r\nhost: evil\r\nx: 1\r\n\r\n")
        await server.ask(b"GET http://shop?b HTTP/1.1\r\nhost: evil\r\n\r\n")

    first, second = handle.requests
    assert (first.host, first.target, first.headers.getlist("host")) == ("shop", "/a?b", ["Shop:81"])
    assert first.headers["x-forwarded-host"] == "Shop:81"
    assert (second.host, second.target) == ("shop", "/?b")


@every_way_in
async def test_options_may_ask_about_the_server_as_a_whole(bytewise: bool) -> None:
    async with serving(echo, bytewise=bytewise) as server:
        answer = await server.ask(b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n")
    assert answer.body == b"OPTIONS * "


async def test_a_request_of_http_1_0_without_host_is_for_the_address_it_came_to(bytewise: bool) -> None:
    handle = Keeping()
    async with serving(handle, bytewise=bytewise) as server:
        answer = await server.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert answer.status == 200
    assert (handle.request.host, handle.request.headers["host"]) == ("127.0.0.1", f"127.0.0.1:{server.port}")


# Responses


@every_way_in
async def test_a_stream_without_length_is_chunked(bytewise: bool) -> None:
    async def handle(request: Request) -> Response:
        return Response(200, {"content-length": "99", "transfer-encoding": "gzip"}, pieces(b"one", b"", b"two"))

    async with serving(handle, bytewise=bytewise) as server:
        wire = await server.client()
        for _ in range(2):
            await wire.send(GET)
            answer = await wire.message()
            assert answer.headers.getlist("transfer-encoding") == ["chunked"]
            assert "content-length" not in answer.headers
            assert answer.chunks == [b"one", b"two"]


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each


@every_way_in
async def test_a_stream_of_known_length_is_not_chunked() -> None:
    async def handle(request: Request) -> Response:
        return Response(200, None, Body.stream(pieces(b"one", b"two"), length=6))

    async with serving(handle) as server:
        answer = await server.ask(GET)
    assert (answer.headers["content-length"], answer.body) == ("6", b"onetwo")


@every_way_in
@pytest.mark.parametrize("length", [5, 7])
async def test_a_stream_that_breaks_its_promise_is_cut_off(length: int, caplog: pytest.LogCaptureFixture) -> None:
    async def handle(request: Request) -> Response:
        response = Response(200, None, Body.stream(pieces(b"one", b"two"), length=length))
        response.on_close(ends.append)
        return response

    ends: list[BaseException | None] = []
    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(GET)
        answer = await wire.head()
        assert answer.headers["content-length"] == str(length)
        assert len(await wire.rest()) < length or length == 5
        await until(lambda: bool(ends))
    assert len(ends) == 1
    assert "content-length" in str(ends[0])
    caplog.clear()


@every_way_in
async def test_a_head_response_has_the_fields_and_no_content(bytewise: bool) -> None:
    async def handle(request: Request) -> Response:
        response = Response.text("hello")
        response.headers["content-length"] = "5"
        return response

    async with serving(handle, bytewise=bytewise) as server:
        wire = await server.client()
        for _ in range(2):
            await wire.send(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n")
            answer = await wire.message(bodiless=True)
            assert (answer.status, answer.headers["content-length"]) == (200, "5")
        assert wire.reader._buffer == b""  # type: ignore[attr-defined]


@every_way_in
@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_content_sends_none_and_closes_a_body_that_it_has(status: int, way_in: str) -> None:
    closed: list[bool] = []

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"never sent"
        finally:
            closed.append(True)

    async def handle(request: Request) -> Response:
        source = body()
        await anext(source)
        return Response(status, {"content-length": "10"}, source)

    async with serving(handle) as server:
        wire = await server.client()
        for _ in range(2):
            await wire.send(GET)
            answer = await wire.message()
            assert answer.status == status
            assert "transfer-encoding" not in answer.headers
            assert ("content-length" in answer.headers) is (status == 304 and way_in not in NO_LENGTH_IN_304)
        assert closed == [True, True]


@every_way_in
async def test_a_field_cannot_start_another_line() -> None:
    for value in ("a\r\nset-cookie: b", "a\nb", "a\0"):
        with pytest.raises(ValueError, match="control"):
            Response(200, {"x-a": value})

    async def handle(request: Request) -> Response:
        return Response(200, {"x-a": request.query_params["a"].replace("\r", "").replace("\n", "")})

    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(get("/?a=b%0d%0aset-cookie:%20c"))
        head = await wire.read_until(b"\r\n\r\n")
    assert all(FIELD.fullmatch(line) for line in head[:-4].split(b"\r\n")[1:])
    assert b"\r\nset-cookie" not in head


@every_way_in
@pytest.mark.parametrize("status", [99, 100, 101, 199, 1000])
async def test_a_status_that_is_none_becomes_a_500_and_the_connection_goes_on(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(request: Request) -> Response:
        response = Response(status if request.path == "/bad" else 200)
        response.on_close(ends.append)
        return response

    ends: list[BaseException | None] = []
    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(get("/bad"))
        assert (await wire.message()).status == 500
        await wire.send(GET)
        assert (await wire.message()).status == 200
    assert len(ends) == 2
    assert "expected a final status" in caplog.text
    caplog.clear()


@every_way_in
async def test_a_response_whose_body_was_read_already_becomes_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(request: Request) -> Response:
        response = Response(200, None, pieces(b"a"))
        async for _ in response.body:
            pass
        return response

    async with serving(handle) as server:
        assert (await server.ask(GET)).status == 500
    caplog.clear()


async def test_a_body_that_raises_is_cut_off_logged_and_closed_once(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("no more")

    async def handle(request: Request) -> Response:
        response = Response(200, None, body())
        response.on_close(ends.append)
        return response

    ends: list[BaseException | None] = []
    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(GET)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await wire.message()
        await until(lambda: bool(ends))
    assert [str(end) for end in ends] == ["no more"]
    assert "the body of its response failed" in caplog.text
    caplog.clear()


@every_way_in
async def test_a_body_without_end_that_never_waits_leaves_room_for_others_and_ends_with_its_client() -> None:
    async def body() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1000)
        finally:
            closed.append(True)

    async def handle(request: Request) -> Response:
        return Response(200, None, body()) if request.path == "/endless" else Response.text("ok")

    closed: list[bool] = []
    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(get("/endless"))
        await wire.head()
        assert (await server.ask(GET)).body == b"ok"
        wire.reset()
        await until(lambda: bool(closed))


# Keeping the connection


@pytest.mark.parametrize(
    ("request_head", "kept", "says"),
    [
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", True, None),
        (b"GET / HTTP/1.1\r\nhost: a\r\nconnection: Close\r\n\r\n", False, "close"),
        (b"GET / HTTP/1.0\r\n\r\n", False, "close"),
        (b"GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n", True, "keep-alive"),
        (b"GET / HTTP/1.0\r\nconnection: keep-alive, close\r\n\r\n", False, "close"),
    ],
)
async def test_the_connection_stays_when_the_client_wants_it(
    request_head: bytes, kept: bool, says: str | None, bytewise: bool
) -> None:
    async with serving(echo, bytewise=bytewise) as server:
        wire = await server.client()
        await wire.send(request_head)
        answer = await wire.message()
        assert (answer.body, answer.headers.get("connection")) == (b"GET / ", says)
        if kept:
            await wire.send(request_head)
            assert (await wire.message()).status == 200
        else:
            assert await wire.ended()


async def test_a_client_of_http_1_0_gets_a_stream_up_to_the_end_of_the_connection() -> None:
    async def handle(request: Request) -> Response:
        return Response(200, None, pieces(b"one", b"two"))

    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        answer = await wire.message()
    assert (answer.body, answer.headers["connection"]) == (b"onetwo", "close")
    assert "transfer-encoding" not in answer.headers


async def test_a_client_of_http_1_0_sees_that_a_stream_broke_off(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"half"
        await turns()
        raise RuntimeError("no more")

    async def handle(request: Request) -> Response:
        return Response(200, None, body())

    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(b"GET / HTTP/1.0\r\n\r\n")
        await wire.head()
        with pytest.raises(ConnectionError):
            await wire.rest()
    caplog.clear()


async def test_blank_lines_before_a_request_are_passed_over(bytewise: bool) -> None:
    async with serving(echo, bytewise=bytewise) as server:
        assert (await server.ask(b"\r\n\r\n" + GET)).status == 200


# Pipelining


@every_way_in
async def test_pipelined_requests_are_answered_in_their_order_one_at_a_time(bytewise: bool) -> None:
    running = 0

    async def handle(request: Request) -> Response:
        nonlocal running
        running += 1
        assert running == 1
        await turns(20 - int(request.path[1:]))
        running -= 1
        return await echo(request)

    post = b"POST /3 HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody"
    async with serving(handle, bytewise=bytewise) as server:
        wire = await server.client()
        sending = asyncio.gather(wire.send(get("/1"), get("/2"), post, get("/4")))
        bodies = [(await wire.message()).body for _ in range(4)]
        await sending
    assert bodies == [b"GET /1 ", b"GET /2 ", b"POST /3 body", b"GET /4 "]


async def test_a_connection_with_many_waiting_requests_is_not_read_and_none_is_lost() -> None:
    go = asyncio.Event()

    async def handle(request: Request) -> Response:
        await go.wait()
        return await echo(request)

    async with serving(handle, small_buffers=True) as server:
        wire = await server.client()
        count = 2000
        padding = "x" * 4000

        async def send() -> None:
            for number in range(count):
                await wire.send(get(f"/{number}/{padding}"))

        sending = asyncio.gather(send())
        await until(lambda: bool(server.connections) and server.connection._read_paused)
        await turns(200)
        assert not sending.done()
        assert len(server.connection._waiting) < 2**20

        go.set()
        for number in range(count):
            assert (await wire.message()).body == f"GET /{number}/{padding} ".encode()
        await sending
