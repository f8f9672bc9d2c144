from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from meshwright_sdk import CallNext, Request, Response
from tests.core.http1.harness import gateway_to
from tests.core.http1.wire import Message, Script, Wire, turns

POST = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
CONTENT = b"3\r\nabc\r\n"
SUMS = b"0\r\nX-Sum: 1\r\nserver-timing: a;dur=2\r\nx-sum: 2\r\n\r\n"
FIELDS = [b"x-sum: 1\r\n", b"server-timing: a;dur=2\r\n", b"x-sum: 2\r\n"]


class Seen:
    """What an upstream saw of each request, its trailers too."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.trailers: list[list[bytes]] = []

    async def script(self, wire: Wire) -> None:
        while True:
            self.messages.append(await wire.message())
            self.trailers.append(wire.trailers)
            wire.trailers = []
            await wire.send(OK)


def answering_with(*parts: bytes, bytewise: bool = False) -> Script:
    """Answer each request with these parts, which leave one after the other."""

    async def script(wire: Wire) -> None:
        while True:
            await wire.message()
            for part in parts:
                await Wire(wire.reader, wire.writer, bytewise=bytewise).send(part)
                await turns()

    return script


def ending_with(end: bytes, go: asyncio.Event, *parts: bytes) -> Script:
    """Answer one request with these parts, and with the end when `go` says so."""

    async def script(wire: Wire) -> None:
        await wire.message()
        for part in parts:
            await wire.send(part)
            await turns()
        await go.wait()
        await wire.send(end)
        await wire.rest()

    return script


@pytest.mark.parametrize("whole", [True, False], ids=["at once", "in pieces"])
async def test_the_trailers_of_a_request_go_on(whole: bool, bytewise: bool) -> None:
    seen = Seen()
    async with gateway_to(seen.script, bytewise=bytewise) as rig:
        wire = await rig.client()
        for part in [POST + CONTENT + SUMS] if whole else [POST, CONTENT, SUMS]:
            await wire.send(part)
            await turns()
        assert (await wire.message()).body == b"ok"
        await wire.send(POST, CONTENT, b"0\r\n\r\n")
        assert (await wire.message()).body == b"ok"
    assert seen.trailers == [FIELDS, []]
    assert [each.body for each in seen.messages] == [b"abc", b"abc"]


@pytest.mark.parametrize("parts", [[CHUNKED + CONTENT + SUMS], [CHUNKED, CONTENT, SUMS], [CHUNKED + SUMS]])
async def test_the_trailers_of_a_response_go_on(parts: list[bytes], bytewise: bool) -> None:
    async with gateway_to(answering_with(*parts, bytewise=bytewise)) as rig:
        wire = await rig.client()
        for _ in range(2):
            await wire.send(GET)
            answer = await wire.message()
            assert (answer.chunks is not None, answer.body) == (True, b"abc" if CONTENT in b"".join(parts) else b"")
            assert wire.trailers == FIELDS
            wire.trailers = []
        assert rig.endpoint.pool.connects == 1


LATE = [
    b"authorization: x",
    b"connection: close",
    b"content-encoding: gzip",
    b"content-type: text/html",
    b"cookie: a=b",
    b"set-cookie: a=b",
    b"cache-control: public",
    b"expect: 100-continue",
    b"forwarded: for=1.2.3.4",
    b"keep-alive: 5",
    b"proxy-authorization: x",
    b"proxy-connection: close",
    b"te: trailers",
    b"trailer: x",
    b"upgrade: websocket",
    b"vary: *",
    b"via: 1.1 x",
    b"www-authenticate: Basic",
    b"x-forwarded-for: 1.2.3.4",
    b"x_forwarded_for: 1.2.3.4",
    b"X-Forwarded-Anything: x",
    b"x-real-ip: 1.2.3.4",
]


async def test_what_comes_too_late_in_a_trailer_is_dropped_both_ways(bytewise: bool) -> None:
    end = b"0\r\nfirst: 1\r\n" + b"".join(line + b"\r\n" for line in LATE) + b"last: 1\r\n\r\n"
    seen: list[list[bytes]] = []

    async def script(wire: Wire) -> None:
        await wire.message()
        seen.append(wire.trailers)
        await wire.send(CHUNKED, CONTENT, end)
        await wire.rest()

    async with gateway_to(script, bytewise=bytewise) as rig:
        wire = await rig.client()
        await wire.send(POST, CONTENT, end)
        assert (await wire.message()).body == b"abc"
        assert seen == [wire.trailers] == [[b"first: 1\r\n", b"last: 1\r\n"]]


async def test_what_connection_names_ends_here_in_a_trailer_too(bytewise: bool) -> None:
    named = b"connection: keep-alive, X-Own\r\n"
    end = b"0\r\nfirst: 1\r\nx-own: 1\r\n\r\n"
    seen: list[list[bytes]] = []

    async def script(wire: Wire) -> None:
        while True:
            wire.trailers = []
            await wire.message()
            seen.append(wire.trailers)
            await wire.send(CHUNKED.replace(b"\r\n\r\n", b"\r\n" + named + b"\r\n"), CONTENT, end)

    async with gateway_to(script, bytewise=bytewise) as rig:
        wire = await rig.client()
        await wire.send(POST.replace(b"\r\n\r\n", b"\r\n" + named + b"\r\n"), CONTENT, end)
        assert (await wire.message()).body == b"abc"
        assert seen == [wire.trailers] == [[b"first: 1\r\n"]]


FRAMING = [b"content-length: 3", b"Transfer-Encoding: chunked", b"host: b"]


@pytest.mark.parametrize("line", FRAMING)
async def test_framing_in_the_trailers_of_a_request_is_refused_and_no_whole_request_goes_on(
    line: bytes, bytewise: bool
) -> None:
    whole: list[Message] = []

    async def script(wire: Wire) -> None:
        whole.append(await wire.message())

    async with gateway_to(script, bytewise=bytewise) as rig:
        wire = await rig.client()
        await wire.send(POST, CONTENT, b"0\r\n", line, b"\r\n\r\n")
        answer = await wire.message()
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        assert await wire.ended()
        assert rig.server.refused == {"400": 1}
        await rig.settled()
    assert whole == []


@pytest.mark.parametrize("line", FRAMING)
async def test_framing_in_the_trailers_of_a_response_never_ends_it_cleanly(line: bytes) -> None:
    bad = b"0\r\n" + line + b"\r\n\r\n"
    async with gateway_to(answering_with(CHUNKED + CONTENT + bad)) as rig:
        assert (await rig.ask(GET)).status == 502
        await rig.settled()
    go = asyncio.Event()
    async with gateway_to(ending_with(bad, go, CHUNKED, CONTENT)) as rig:
        wire = await rig.client()
        await wire.send(GET)
        await wire.head()
        go.set()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            async for _ in wire.chunks():
                pass
        await rig.settled()
        assert rig.endpoint.pool.open == 0


async def test_a_filter_that_reads_a_request_whole_sees_its_trailers_and_they_end_there(bytewise: bool) -> None:
    seen = Seen()
    told: list[list[tuple[bytes, bytes]]] = []

    async def reading(request: Request, call_next: CallNext) -> Response:
        await request.body.read(100)
        told.append(request.body.trailers.raw)
        return await call_next(request)

    async with gateway_to(seen.script, reading, bytewise=bytewise) as rig:
        assert (await rig.ask(POST, CONTENT, SUMS)).body == b"ok"
    assert told == [[(b"x-sum", b"1"), (b"server-timing", b"a;dur=2"), (b"x-sum", b"2")]]
    assert seen.messages[0].headers["content-length"] == "3"
    assert (seen.messages[0].body, seen.trailers) == (b"abc", [[]])


@pytest.mark.parametrize("parts", [[CHUNKED, CONTENT], [CHUNKED + CONTENT]])
async def test_a_filter_that_reads_a_response_whole_sees_its_trailers_and_they_end_there(parts: list[bytes]) -> None:
    async def reading_whole(request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        assert not response.body.trailers.raw
        go.set()
        await response.body.read(100)
        response.headers["x-sums"] = ",".join(response.body.trailers.getlist("x-sum"))
        return response

    go = asyncio.Event()
    async with gateway_to(ending_with(SUMS, go, *parts), reading_whole) as rig:
        wire = await rig.client()
        await wire.send(GET)
        answer = await wire.message()
        assert (answer.body, answer.headers["content-length"], answer.headers["x-sums"]) == (b"abc", "3", "1,2")
        assert (answer.chunks, wire.trailers) == (None, [])


async def replacing_both(request: Request, call_next: CallNext) -> Response:
    await request.body.aclose()
    request.body = type(request.body)(b"other")
    response = await call_next(request)
    response.body = b"another"
    return response


async def test_a_body_in_the_place_of_another_has_no_trailers() -> None:
    seen = Seen()

    async def script(wire: Wire) -> None:
        seen.messages.append(await wire.message())
        seen.trailers.append(wire.trailers)
        await wire.send(CHUNKED, CONTENT, SUMS)

    async with gateway_to(script, replacing_both) as rig:
        wire = await rig.client()
        await wire.send(POST, CONTENT, SUMS)
        assert (await wire.message()).body == b"another"
        assert wire.trailers == []
        await rig.settled()
    assert (seen.messages[0].body, seen.trailers) == (b"other", [[]])


async def test_a_filter_that_passes_a_body_on_itself_sees_the_trailers_at_its_end() -> None:
    told: list[list[tuple[bytes, bytes]]] = []

    async def counting(request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        before = response.body

        async def passed_on() -> AsyncIterator[bytes]:
            async for data in before:
                yield data
            told.append(before.trailers.raw)

        response.body = passed_on()
        return response

    async with gateway_to(answering_with(CHUNKED, CONTENT, SUMS), counting) as rig:
        wire = await rig.client()
        await wire.send(GET)
        assert (await wire.message()).body == b"abc"
        assert wire.trailers == []
    assert [len(each) for each in told] == [3]


class Summed:
    """A body of a filter's own, with trailers of its own."""

    trailers = ((b"x-sum", b"9"), (b"content-length", b"1"), (b"connection", b"close"))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"abc"


async def test_a_filter_may_give_a_body_trailers_of_its_own() -> None:
    async def summing(request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        response.body = Summed()
        return response

    async with gateway_to(answering_with(OK), summing) as rig:
        wire = await rig.client()
        for _ in range(2):
            await wire.send(GET)
            assert (await wire.message()).body == b"abc"
            assert wire.trailers == [b"x-sum: 9\r\n"]
            wire.trailers = []


async def test_a_client_of_http_1_0_gets_the_content_without_the_trailers() -> None:
    async with gateway_to(answering_with(CHUNKED, CONTENT, SUMS)) as rig:
        wire = await rig.client()
        await wire.send(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n")
        head = await wire.head()
        assert "transfer-encoding" not in head.headers
        assert await wire.rest() == b"abc"


async def test_an_answer_to_head_has_neither_content_nor_trailers() -> None:
    async with gateway_to(answering_with(CHUNKED)) as rig:
        wire = await rig.client()
        for _ in range(2):
            await wire.send(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert (await wire.message(bodiless=True)).status == 200
        assert rig.endpoint.pool.connects == 1


async def test_more_trailers_than_are_read_are_refused() -> None:
    seen = Seen()
    async with gateway_to(seen.script) as rig:
        answer = await rig.ask(POST, CONTENT, b"0\r\n", b"x: a\r\n" * 65, b"\r\n")
        assert (answer.status, seen.messages) == (400, [])
        assert rig.server.refused == {"400": 1}
        assert (await rig.ask(POST, CONTENT, b"0\r\n", b"x: a\r\n" * 64, b"\r\n")).status == 200
    assert seen.trailers == [[b"x: a\r\n"] * 64]
