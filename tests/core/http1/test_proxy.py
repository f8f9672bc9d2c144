from __future__ import annotations

import asyncio
import json
from email.utils import parsedate_to_datetime
from time import time

import pytest

from meshwright.traffic.pool import PoolLimits
from meshwright_sdk import Instance
from tests.core.http1.harness import gateway_to
from tests.core.http1.ways import (
    CHUNKS_FOR_HTTP_1_0,
    ENDS_HTTP_1_0_CLEANLY,
    KEEPS_AFTER_EARLY_ANSWER,
    NO_LENGTH_IN_304,
    every_way_in,
)
from tests.core.http1.wire import Message, Script, Wire, pour, push, turns, until
from tests.ports import free_port

GET = b"GET /a?b=c HTTP/1.1\r\nhost: shop\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nhost: shop\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Keeping:
    """A script that answers every request alike and keeps what it was asked."""

    def __init__(self, answer: bytes = OK) -> None:
        self.requests: list[Message] = []
        self._answer = answer

    async def __call__(self, wire: Wire) -> None:
        while True:
            self.requests.append(await wire.message())
            await wire.send(self._answer)


def code(answer: Message) -> str:
    """Return the code of a problem document."""
    value: str = json.loads(answer.body)["code"]
    return value


# There and back


@every_way_in
async def test_requests_go_through_and_answers_come_back(bytewise: bool) -> None:
    script = Keeping(b"HTTP/1.1 201 Made\r\nContent-Length: 2\r\nX-A: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nok")
    async with gateway_to(script, bytewise=bytewise) as rig:
        wire = await rig.client()
        for _ in range(2):
            await wire.send(GET)
            answer = await wire.message()
            assert (answer.start, answer.body) == ("HTTP/1.1 201 Created", b"ok")
            assert [field for field in answer.headers.multi_items() if field[0] != "date"] == [
                ("x-a", "1"),
                ("set-cookie", "a"),
                ("set-cookie", "b"),
                ("content-length", "2"),
            ]
        await rig.settled()
        assert rig.ended == [None, None]
        assert rig.pool["connects"] == 1
    assert [request.start for request in script.requests] == ["GET /a?b=c HTTP/1.1"] * 2
    assert script.requests[0].headers["x-forwarded-host"] == "shop"


DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize("framing", [b"content-length: 2\r\n\r\nok", b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n"])
@pytest.mark.parametrize("date", [DATE, ""])
async def test_an_answer_has_one_date_its_own_where_it_came_with_one(date: str, framing: bytes) -> None:
    own = f"date: {date}\r\n".encode() if date else b""
    async with gateway_to(Keeping(b"HTTP/1.1 200 OK\r\n" + own + framing)) as rig:
        wire = await rig.client()
        await wire.send(GET)
        (told,) = (value for name, value in (await wire.head()).headers.multi_items() if name == "date")
    assert told == date or (not date and abs(parsedate_to_datetime(told).timestamp() - time()) < 60)


@every_way_in
@pytest.mark.parametrize("length", [None, 200_000])
async def test_a_long_upload_goes_through_as_it_was_framed(length: int | None, bytewise: bool) -> None:
    script, size = Keeping(), length or 200_000
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    async with gateway_to(script) as rig:
        wire = await rig.client()
        if length is None:
            await wire.send(POST, b"transfer-encoding: chunked\r\n\r\n")
            for place in range(0, size, 7919):
                part = content[place : place + 7919]
                await wire.send(b"%x\r\n%b\r\n" % (len(part), part))
            await wire.send(b"0\r\n\r\n")
        else:
            await wire.send(POST, b"content-length: %d\r\n\r\n" % length)
            for place in range(0, size, 7919):
                await wire.send(content[place : place + 7919])
                await turns(3)
        assert (await wire.message()).body == b"ok"
    (request,) = script.requests
    assert request.body == content
    assert ("transfer-encoding" in request.headers) is (length is None)
    assert ("content-length" in request.headers) is (length is not None)


@every_way_in
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_a_long_download_comes_through_however_it_is_framed(framing: str, version: bytes, way_in: str) -> None:
    content = bytes(range(256)) * 4000

    async def script(wire: Wire) -> None:
        await wire.message()
        head = {"length": b"content-length: %d\r\n" % len(content), "chunked": b"transfer-encoding: chunked\r\n"}
        await wire.send(b"HTTP/1.1 200 OK\r\n", head.get(framing, b""), b"\r\n")
        for place in range(0, len(content), 7919):
            part = content[place : place + 7919]
            await wire.send(b"%x\r\n%b\r\n" % (len(part), part) if framing == "chunked" else part)
            await turns(2)
        if framing == "close":
            return
        await wire.send(b"0\r\n\r\n" if framing == "chunked" else b"")
        await wire.rest()

    async with gateway_to(script) as rig:
        answer = await rig.ask(b"GET / HTTP/" + version + b"\r\nhost: a\r\n\r\n")
        assert answer.body == content
        assert ("content-length" in answer.headers) is (framing == "length")
        chunked = version == b"1.1" or way_in in CHUNKS_FOR_HTTP_1_0
        assert ("transfer-encoding" in answer.headers) is (framing != "length" and chunked)
        await rig.settled()
        assert rig.ended == [None]


@every_way_in
@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
)
async def test_responses_without_content_keep_both_connections(
    method: bytes, answer: bytes, bytewise: bool, way_in: str
) -> None:
    async with gateway_to(Keeping(answer), bytewise=bytewise) as rig:
        wire = await rig.client()
        for _ in range(2):
            await wire.send(method + b" / HTTP/1.1\r\nhost: a\r\n\r\n")
            got = await wire.message(bodiless=True)
            without = got.status == 204 or (got.status == 304 and way_in in NO_LENGTH_IN_304)
            assert got.headers.get("content-length") == (None if without else "5")
        assert rig.pool["connects"] == 1


@every_way_in
async def test_an_event_of_the_upstream_reaches_the_client_at_once() -> None:
    turn = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(3):
            await turn.wait()
            turn.clear()
            await wire.send(b"9\r\ndata: a\n\n\r\n")
        await wire.send(b"0\r\n\r\n")
        await wire.rest()

    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(GET)
        assert (await wire.head()).status == 200
        chunks = wire.chunks()
        for _ in range(3):
            turn.set()
            assert await anext(chunks) == b"data: a\n\n"
        assert await anext(chunks, None) is None


@every_way_in
async def test_the_permission_to_send_comes_when_the_upstream_has_the_request() -> None:
    script = Keeping()
    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(POST, b"content-length: 5\r\nexpect: 100-continue\r\n\r\n")
        assert await wire.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.send(b"hello")
        assert (await wire.message()).body == b"ok"
    assert script.requests[0].body == b"hello"
    assert "expect" not in script.requests[0].headers


@every_way_in
async def test_an_early_answer_ends_the_upload_on_both_sides(way_in: str) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await wire.rest()

    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(POST, b"content-length: 100000\r\n\r\n", bytes(1000))
        answer = await wire.message()
        assert (answer.status, answer.body) == (413, b"no")
        if way_in in KEEPS_AFTER_EARLY_ANSWER:
            await wire.send(bytes(99_000), GET)
            assert (await wire.message()).status == 413
            assert rig.pool["connects"] == 2
        else:
            assert answer.headers["connection"] == "close"
            await wire.send(bytes(1000))
            assert await wire.ended()
            await rig.settled()
            assert rig.pool["idle"] == 0


# Whoever leaves


async def silence(wire: Wire) -> None:
    await wire.rest()


def begun(answer: bytes, *, then: str = "wait") -> Script:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(answer)
        if then == "wait":
            await wire.rest()
        elif then == "reset":
            await turns(50)
            wire.reset()

    return script


HALVES = {
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    "close": b"HTTP/1.1 200 OK\r\n\r\nhalf",
}


@every_way_in
@pytest.mark.parametrize("way", ["close", "reset"])
@pytest.mark.parametrize("when", ["before the head", "during the body", "during the upload"])
async def test_a_client_that_leaves_takes_its_upstream_connection_along(way: str, when: str) -> None:
    script = begun(HALVES["chunked"]) if when == "during the body" else silence
    async with gateway_to(script) as rig:
        wire = await rig.client()
        upload = when == "during the upload"
        await wire.send(POST, b"content-length: 10\r\n\r\nhalf") if upload else await wire.send(GET)
        await until(lambda: rig.pool["active"] == 1 and bool(rig.upstream.wires))
        if when == "during the body":
            await wire.head()
        await turns(50)
        getattr(wire, way)()
        await rig.settled()
        assert rig.endpoint.pool.open == 0
        classes = [counter.value for counter in rig.snapshot.routes[0].counts.classes]
        assert classes == ([0, 1, 0, 0, 0] if when == "during the body" else [0, 0, 0, 1, 0])
        await until(
            lambda: rig.upstream.wires[0].reader.at_eof() or rig.upstream.wires[0].reader.exception() is not None
        )


@every_way_in
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_an_upstream_that_dies_before_its_answer_is_a_502(then: str) -> None:
    async with gateway_to(begun(b"HTTP/1.1 20", then=then)) as rig:
        wire = await rig.client()
        await wire.send(GET)
        answer = await wire.message()
        assert (answer.status, code(answer)) == (502, "upstream_reset")
        assert "connection" not in answer.headers
        await rig.settled()
        assert rig.ended == [None]


@every_way_in
@pytest.mark.parametrize(
    ("then", "framing"),
    [("close", "length"), ("close", "chunked"), ("reset", "length"), ("reset", "chunked"), ("reset", "close")],
)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_an_upstream_that_dies_within_its_answer_never_looks_like_a_clean_end(
    then: str, framing: str, version: bytes, way_in: str
) -> None:
    if version == b"1.0" and framing != "length" and way_in in ENDS_HTTP_1_0_CLEANLY:
        pytest.skip("the server ends it like any other")
    async with gateway_to(begun(HALVES[framing], then=then)) as rig:
        wire = await rig.client()
        await wire.send(b"GET / HTTP/" + version + b"\r\nhost: a\r\n\r\n")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await wire.message()
        await until(lambda: bool(rig.ended))
        assert [type(error).__name__ for error in rig.ended] == ["ResetError"]
        await rig.settled()


@every_way_in
async def test_an_upstream_that_dies_during_the_upload_is_a_502(way_in: str) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.read(4)
        wire.reset()

    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(POST, b"content-length: 100000\r\n\r\nhalf")
        answer = await wire.message()
        assert (answer.status, code(answer)) == (502, "upstream_reset")
        assert answer.headers.get("connection") == (None if way_in in KEEPS_AFTER_EARLY_ANSWER else "close")


@every_way_in
async def test_a_chunk_that_cannot_be_read_is_the_clients_fault_and_the_upstream_sees_no_whole_request() -> None:
    script = Keeping()
    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(POST, b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await until(lambda: rig.pool["active"] == 1)
        await turns(20)
        await wire.send(b"nonsense\r\n")
        answer = await wire.message()
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        await rig.settled()
    assert script.requests == []


@every_way_in
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nx: %b\r\n\r\n" % (b"a" * 66_000),
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
    ids=["large", "ambiguous", "nonsense"],
)
async def test_an_upstream_that_talks_nonsense_is_a_502(answer: bytes) -> None:
    async with gateway_to(begun(answer)) as rig:
        got = await rig.ask(GET)
        assert (got.status, code(got)) == (502, "upstream_protocol_error")
        await rig.settled()
        assert rig.endpoint.pool.open == 0


# Stale connections


def closing_after_first(seen: list[Message]) -> Script:
    """Answer one request of each connection; the next one makes it close without a word."""

    async def script(wire: Wire) -> None:
        seen.append(await wire.message())
        await wire.send(OK)
        seen.append(await wire.message())

    return script


@every_way_in
@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (GET, 200),
        (b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi", 200),
        (b"DELETE / HTTP/1.1\r\nhost: a\r\n\r\n", 200),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi", 502),
        (b"PATCH / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi", 502),
    ],
)
async def test_what_met_a_stale_connection_is_repeated_when_it_may_be(request_head: bytes, status: int) -> None:
    seen: list[Message] = []
    async with gateway_to(closing_after_first(seen)) as rig:
        wire = await rig.client()
        await wire.send(GET)
        assert (await wire.message()).status == 200
        await wire.send(request_head)
        assert (await wire.message()).status == status
        await rig.settled()
    assert len(seen) == (3 if status == 200 else 2)


async def test_a_streamed_body_is_not_repeated() -> None:
    seen: list[Message] = []
    async with gateway_to(closing_after_first(seen)) as rig:
        wire = await rig.client()
        await wire.send(GET)
        assert (await wire.message()).status == 200
        await wire.send(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n")
        await until(lambda: rig.pool["active"] == 1)
        await turns(20)
        await wire.send(b"hi")
        assert (await wire.message()).status == 502


@every_way_in
async def test_a_repeated_request_is_repeated_once_and_a_fresh_connection_never() -> None:
    seen: list[Message] = []

    async def script(wire: Wire) -> None:
        seen.append(await wire.message())
        if len(seen) == 1:
            await wire.send(OK)
            seen.append(await wire.message())

    async with gateway_to(script) as rig:
        wire = await rig.client()
        for status in (200, 502, 502):
            await wire.send(GET)
            assert (await wire.message()).status == status
        await rig.settled()
    assert len(seen) == 4


# Bounds


@every_way_in
async def test_requests_beyond_the_bound_wait_their_turn_and_those_beyond_that_are_refused() -> None:
    go = asyncio.Event()
    order: list[str] = []

    async def script(wire: Wire) -> None:
        while True:
            request = await wire.message()
            order.append(request.target)
            await go.wait()
            await wire.send(OK)

    async with gateway_to(script, limits=PoolLimits(max_connections=1, max_pending=2)) as rig:
        wires = [await rig.client() for _ in range(4)]
        for number, wire in enumerate(wires):
            await wire.send(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % number)
            await until(lambda number=number: rig.endpoint.requests == number + 1)  # type: ignore[misc]
            await turns(30)
        refused = await wires[3].message()
        assert (refused.status, code(refused)) == (503, "overloaded")
        assert (rig.pool["active"], rig.pool["waiting"]) == (1, 2)
        go.set()
        assert [(await wire.message()).status for wire in wires[:3]] == [200] * 3
    assert order == ["/0", "/1", "/2"]


@every_way_in
async def test_a_client_that_leaves_the_queue_gives_its_place_to_the_next() -> None:
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        while True:
            await wire.message()
            await go.wait()
            await wire.send(OK)

    async with gateway_to(script, limits=PoolLimits(max_connections=1)) as rig:
        first, second, third = [await rig.client() for _ in range(3)]
        for number, wire in enumerate((first, second, third)):
            await wire.send(GET)
            await until(lambda number=number: rig.endpoint.in_flight == number + 1)  # type: ignore[misc]
            await turns(30)
        second.close()
        await until(lambda: rig.pool["waiting"] == 1)
        go.set()
        assert (await first.message()).status == (await third.message()).status == 200


@every_way_in
@pytest.mark.parametrize("answer", [b"", HALVES["length"]])
async def test_an_upstream_that_says_nothing_for_too_long_is_given_up(answer: bytes) -> None:
    async with gateway_to(begun(answer), limits=PoolLimits(first_byte_timeout_s=5, body_idle_timeout_s=5)) as rig:
        wire = await rig.client()
        await wire.send(GET)
        await until(lambda: rig.pool["active"] == 1)
        if answer:
            await wire.head()
        await turns(30)
        rig.endpoint.pool.sweep(asyncio.get_running_loop().time() + 6.0)
        if answer:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await wire.read(10)
        else:
            assert (await wire.message()).status == 504
        await rig.settled()


@every_way_in
async def test_a_service_that_cannot_be_reached_is_a_502_and_the_failure_counts() -> None:
    async with gateway_to(silence) as rig:
        rig.service.update([])
        unreachable = await rig.ask(GET)
        assert (unreachable.status, code(unreachable)) == (503, "no_endpoints")
        rig.service.update([Instance(url=f"http://127.0.0.1:{free_port()}")])
        refused = await rig.ask(GET)
        assert (refused.status, code(refused)) == (502, "upstream_connect_failed")
        assert (rig.pool["connects"], rig.pool["connect_failures"]) == (1, 1)


# Back-pressure from end to end


@every_way_in
async def test_a_slow_upstream_stops_the_client() -> None:
    go = asyncio.Event()
    size = 48 * 2**20

    async def script(wire: Wire) -> None:
        await wire.head()
        await go.wait()
        await wire.skip(size)
        await wire.send(OK)
        await wire.rest()

    async with gateway_to(script, small_buffers=True) as rig:
        wire = await rig.client()
        await wire.send(POST, b"content-length: %d\r\n\r\n" % size)
        sent = await push(wire, size)
        assert sent < 12 * 2**20
        (connection,) = rig.endpoint.pool._active
        assert connection._transport.get_write_buffer_size() < 2**19
        go.set()
        await pour(wire, size - sent)
        assert (await wire.message()).status == 200


async def test_a_slow_client_stops_the_upstream_and_pays_no_deadline() -> None:
    size = 48 * 2**20
    sent = 0

    async def script(wire: Wire) -> None:
        nonlocal sent
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        sent = await push(wire, size)
        stalled.set()
        await pour(wire, size - sent)
        await wire.rest()

    stalled = asyncio.Event()
    async with gateway_to(script, small_buffers=True) as rig:
        wire = await rig.client()
        await wire.send(GET)
        await wire.head()
        await stalled.wait()
        assert sent < 12 * 2**20
        rig.endpoint.pool.sweep(asyncio.get_running_loop().time() + 100_000.0)
        assert rig.server.connection._transport.get_write_buffer_size() < 2**19
        await wire.skip(size)
