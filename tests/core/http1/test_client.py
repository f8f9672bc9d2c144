from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from meshwright.http1.stream import BodyStream
from meshwright_sdk import (
    Body,
    ClientGoneError,
    PluginError,
)
from meshwright_sdk.testing import make_request
from tests.core.http1.line import OK, answering, content, keeping, line_to, pieces
from tests.core.http1.wire import Message, Wire, until


@pytest.fixture
def seen() -> list[Message]:
    return []


async def test_a_request_is_written_with_its_fields_in_their_order(seen: list[Message]) -> None:
    async with line_to(keeping(seen)) as line:
        await line.ask(make_request("GET", "http://shop/a?b=c", headers=[("x-b", "1"), ("x-a", "2"), ("x-b", "3")]))

    (request,) = seen
    assert request.start == "GET /a?b=c HTTP/1.1"
    assert request.headers.multi_items() == [("host", "shop"), ("x-b", "1"), ("x-a", "2"), ("x-b", "3")]


@pytest.mark.parametrize(
    ("method", "body", "length", "framing"),
    [
        ("GET", b"", None, None),
        ("DELETE", b"", None, None),
        ("POST", b"", None, ("content-length", "0")),
        ("PUT", b"hello", None, ("content-length", "5")),
        ("POST", [b"he", b"", b"llo"], 5, ("content-length", "5")),
        ("POST", [b"he", b"", b"llo"], None, ("transfer-encoding", "chunked")),
        ("GET", [], None, ("transfer-encoding", "chunked")),
    ],
)
async def test_the_framing_is_that_of_the_body_whatever_the_fields_say(
    method: str, body: bytes | list[bytes], length: int | None, framing: tuple[str, str] | None, seen: list[Message]
) -> None:
    request = make_request(method, headers=[("host", "a"), ("content-length", "77"), ("connection", "close")])
    request.headers.add("transfer-encoding", "gzip")
    request.body = Body(body) if isinstance(body, bytes) else Body.stream(pieces(*body), length=length)
    async with line_to(keeping(seen)) as line:
        await line.ask(request)

    assert seen[0].headers.multi_items() == [("host", "a"), *([framing] if framing else [])]
    assert seen[0].body == b"".join(body if isinstance(body, list) else [body])


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/a b", ""),
        ("GET", "/a\r\nx: y", ""),
        ("GET", "/é", ""),
        ("GET", "a", ""),
        ("GET", "", ""),
        ("GET", "/", "a b"),
        ("GET", "/", "\x00"),
        ("G T", "/", ""),
        ("GET / HTTP/1.1\r\nx:", "/", ""),
        ("", "/", ""),
    ],
)
async def test_a_filter_cannot_break_the_request_line(method: str, path: str, query: str, seen: list[Message]) -> None:
    async with line_to(keeping(seen)) as line:
        request = make_request(method)
        request.path, request.query = path, query
        with pytest.raises(PluginError, match="expected"):
            await line.ask(request)
    assert seen == []


async def test_a_body_that_was_read_before_is_a_mistake_and_nothing_is_sent(seen: list[Message]) -> None:
    request = make_request("POST", body=pieces(b"once"))
    assert [data async for data in request.body] == [b"once"]
    async with line_to(keeping(seen)) as line:
        with pytest.raises(RuntimeError, match="already read"):
            await line.ask(request)
    assert seen == []


@pytest.mark.parametrize("length", [3, 7])
async def test_a_body_that_breaks_its_promise_is_a_plugins_fault_and_never_a_whole_request(length: int) -> None:
    request = make_request("POST")
    request.body = Body.stream(pieces(b"hel", b"lo"), length=length)
    whole: list[Message] = []
    async with line_to(keeping(whole)) as line:
        with pytest.raises(PluginError, match="content-length"):
            await line.ask(request)
    assert whole == [] or length == 3


async def test_what_the_requests_body_raises_is_raised_and_the_upstream_sees_no_whole_request(
    seen: list[Message],
) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"half"
        raise ClientGoneError("gone")

    async with line_to(keeping(seen)) as line:
        with pytest.raises(ClientGoneError):
            await line.ask(make_request("POST", body=failing()))
    assert seen == []


async def test_a_stream_that_has_failed_before_it_is_sent_fails_the_exchange(seen: list[Message]) -> None:
    class Nobody:
        def demand(self) -> None: ...
        def pause(self) -> None: ...
        def resume(self) -> None: ...
        def abandon(self) -> None: ...

    stream = BodyStream(Nobody())
    stream.fail(ClientGoneError("gone"))
    async with line_to(keeping(seen)) as line:
        with pytest.raises(ClientGoneError):
            await line.ask(make_request("POST", body=stream))
    assert seen == []


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200\r\nContent-Length: 5 \r\n\r\nhello", b"hello"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nx-sum: 1\r\n\r\n",
            b"hello",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (
            b"HTTP/1.1 103 Early\r\nlink: a\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"",
        ),
    ],
)
async def test_a_response_is_read_to_its_end_and_its_connection_used_again(
    answer: bytes, body: bytes, bytewise: bool
) -> None:
    async with line_to(answering(answer, OK, bytewise=bytewise)) as line:
        response = await line.ask(make_request())
        assert await content(response) == body
        assert "link" not in response.headers
        await until(lambda: line.idle == 1)

        assert await content(await line.ask(make_request())) == b"ok"
        assert len(line.connections) == 1


@pytest.mark.parametrize("length", [b"", b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n"])
async def test_a_response_to_head_has_no_content_whatever_it_says(length: bytes, bytewise: bool) -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + length + b"\r\n"
    async with line_to(answering(answer, OK, bytewise=bytewise)) as line:
        assert await content(await line.ask(make_request("HEAD"))) == b""
        if length:
            await until(lambda: line.idle == 1)
            assert await content(await line.ask(make_request())) == b"ok"
            assert len(line.connections) == 1


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_response_without_length_ends_with_its_connection(version: bytes, bytewise: bool) -> None:
    script = answering(b"HTTP/" + version + b" 200 OK\r\nx: y\r\n\r\nall of it", bytewise=bytewise, then_close=True)
    async with line_to(script) as line:
        response = await line.ask(make_request())
        assert response.body.length is None
        assert await content(response) == b"all of it"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_that_will_not_stay_is_not_used_again(answer: bytes, bytewise: bool) -> None:
    async with line_to(answering(answer, bytewise=bytewise)) as line:
        assert await content(await line.ask(make_request())) == b"ok"
        await until(lambda: not line.pool.open)


async def test_an_http_1_0_upstream_may_keep_its_connection() -> None:
    answer = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"
    async with line_to(answering(answer, answer)) as line:
        for _ in range(2):
            assert await content(await line.ask(make_request())) == b"ok"
        assert line.pool.connects == 1


async def test_hop_by_hop_fields_of_a_response_end_here_and_its_values_have_no_outer_space() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nConnection: x-secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nX-Kept: a\t \r\n"
        b"Upgrade: h2c\r\nTrailer: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    async with line_to(answering(answer)) as line:
        response = await line.ask(make_request())
    assert [name for name, _ in response.headers.multi_items()] == ["x-kept", "date"]
    assert response.headers["x-kept"] == "a"


async def test_content_that_comes_with_the_head_and_is_not_all_is_streamed() -> None:
    more = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none")
        await more.wait()
        await wire.send(b"two")
        await wire.rest()

    async with line_to(script) as line:
        response = await line.ask(make_request())
        assert (response.body.replayable, response.body.length) == (False, 6)
        chunks = aiter(response.body)
        assert await anext(chunks) == b"one"
        assert line.pool.status()["active"] == 1
        more.set()
        assert await anext(chunks) == b"two"
        assert await anext(chunks, None) is None
        await until(lambda: line.idle == 1)
