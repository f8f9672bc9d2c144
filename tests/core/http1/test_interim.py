from __future__ import annotations

import asyncio

import pytest

from meshwright_sdk import CallNext, Request, Response
from tests.core.http1.harness import Rig, gateway_to
from tests.core.http1.wire import Message, Script, Wire, pour, push, turns, until

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"
END = b"0\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def answering(*parts: bytes, bytewise: bool = False) -> Script:
    """Answer each request with these parts, which leave one after the other."""

    async def script(wire: Wire) -> None:
        while True:
            await wire.message()
            for part in parts:
                await Wire(wire.reader, wire.writer, bytewise=bytewise).send(part)
                await turns()

    return script


async def answers(wire: Wire) -> list[Message]:
    """Take interim responses and the final one after them."""
    taken = [await wire.message()]
    while taken[-1].status < 200:
        taken.append(await wire.message())
    return taken


async def statuses(wire: Wire) -> list[int]:
    return [answer.status for answer in await answers(wire)]


@pytest.mark.parametrize("parts", [[HINTS + OK], [HINTS, OK], [HINTS + STREAM + END], [HINTS, STREAM, END]])
async def test_an_interim_response_reaches_the_client_with_its_fields(parts: list[bytes], bytewise: bool) -> None:
    async with gateway_to(answering(*parts, bytewise=bytewise)) as rig:
        wire = await rig.client()
        for _ in range(2):
            await wire.send(GET)
            early, final = await answers(wire)
            assert (early.start, early.headers.raw) == ("HTTP/1.1 103 Early Hints", [(b"link", b"</a.css>")])
            assert (final.status, final.body) == (200, b"ok")
        assert rig.endpoint.pool.connects == 1


async def test_an_interim_response_comes_when_it_was_sent() -> None:
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(HINTS)
        await go.wait()
        await wire.send(OK)

    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(GET)
        assert (await wire.message()).status == 103
        go.set()
        assert await statuses(wire) == [200]


async def test_what_ends_at_this_hop_is_not_in_what_goes_on() -> None:
    early = b"HTTP/1.1 103 E\r\nconnection: x-own, close\r\nx-own: 1\r\nkeep-alive: 5\r\ntrailer: a\r\nlink: a\r\n\r\n"
    async with gateway_to(answering(early + OK)) as rig:
        wire = await rig.client()
        for _ in range(2):
            await wire.send(GET)
            assert (await wire.message()).headers.raw == [(b"link", b"a")]
            assert await statuses(wire) == [200]
        assert rig.endpoint.pool.connects == 1


async def test_several_go_on_in_their_order_and_a_100_does_not() -> None:
    other = b"HTTP/1.1 199 Other\r\n\r\n"
    async with gateway_to(answering(CONTINUE + PROCESSING + HINTS, HINTS + CONTINUE, other + CONTINUE + OK)) as rig:
        wire = await rig.client()
        await wire.send(GET)
        assert await statuses(wire) == [102, 103, 103, 199, 200]


async def test_sixteen_are_passed_on_for_each_request_and_no_more() -> None:
    async with gateway_to(answering(HINTS * 16 + OK)) as rig:
        wire = await rig.client()
        for _ in range(2):
            await wire.send(GET)
            assert await statuses(wire) == [103] * 16 + [200]
        assert rig.endpoint.pool.connects == 1
    async with gateway_to(answering(HINTS * 17 + OK)) as rig:
        wire = await rig.client()
        await wire.send(GET)
        assert await statuses(wire) == [103] * 16 + [502]
        await rig.settled()
        assert rig.endpoint.pool.open == 0


async def test_a_client_of_http_1_0_gets_none() -> None:
    async with gateway_to(answering(PROCESSING + HINTS + OK)) as rig:
        wire = await rig.client()
        await wire.send(b"GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n" * 2)
        assert [(await wire.message()).status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize(
    ("method", "final"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"),
    ],
)
async def test_an_answer_without_content_may_have_them_too(method: bytes, final: bytes) -> None:
    async with gateway_to(answering(HINTS + final)) as rig:
        wire = await rig.client()
        await wire.send((method + b" / HTTP/1.1\r\nhost: a\r\n\r\n") * 2)
        status = int(final[9:12])
        assert [(await wire.message(bodiless=True)).status for _ in range(4)] == [103, status] * 2


async def test_pipelined_requests_get_theirs_each_before_its_answer() -> None:
    async def script(wire: Wire) -> None:
        while True:
            target = (await wire.message()).target.encode()
            await wire.send(b"HTTP/1.1 103 E\r\nlink: ", target, b"\r\n\r\n")
            await turns()
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", target)

    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(*(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % number for number in range(4)))
        for number in range(4):
            early, final = await answers(wire)
            assert (early.headers["link"], final.body) == (f"/{number}", b"/%d" % number)


async def test_they_come_while_the_request_is_still_being_sent() -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(PROCESSING)
        assert await wire.read(4) == b"body"
        await wire.send(HINTS + OK)
        await wire.rest()

    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n")
        assert (await wire.message()).status == 102
        await wire.send(b"body")
        assert await statuses(wire) == [103, 200]


async def test_a_client_that_waits_is_told_to_go_on_once_whatever_the_upstream_says() -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(CONTINUE)
        assert await wire.read(4) == b"body"
        await wire.send(CONTINUE + OK)
        await wire.rest()

    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        assert (await wire.message()).status == 100
        await turns(50)
        await wire.send(b"body")
        assert await statuses(wire) == [200]


async def test_a_request_that_is_repeated_on_a_fresh_connection_gets_those_of_the_answer() -> None:
    seen: list[Message] = []

    async def script(wire: Wire) -> None:
        seen.append(await wire.message())
        await wire.send(HINTS + OK)
        seen.append(await wire.message())

    async with gateway_to(script) as rig:
        wire = await rig.client()
        for _ in range(2):
            await wire.send(GET)
            assert await statuses(wire) == [103, 200]
        await rig.settled()
    assert len(seen) == 3


async def asking(request: Request, call_next: CallNext) -> Response:
    await turns(20)
    return await call_next(request)


async def test_none_comes_after_the_final_head_or_to_the_next_request() -> None:
    """A filter answers while a call that it made goes on; what that one gets is nobody's any more."""
    go = asyncio.Event()
    calls: list[asyncio.Task[Response]] = []

    async def script(wire: Wire) -> None:
        if (await wire.message()).target == "/late":
            await go.wait()
            await wire.send(HINTS)
            await turns(50)
        await wire.send(OK)

    async def hasty(request: Request, call_next: CallNext) -> Response:
        if request.path != "/late":
            return await call_next(request)
        calls.append(asyncio.get_running_loop().create_task(asking(request, call_next)))
        await until(lambda: bool(rig.upstream.wires))
        return Response.text("hasty")

    async with gateway_to(script, hasty) as rig:
        wire = await rig.client()
        await wire.send(b"GET /late HTTP/1.1\r\nhost: a\r\n\r\n")
        assert await statuses(wire) == [200]
        go.set()
        assert (await calls[0]).status == 200
        await (await calls[0]).aclose()
        await wire.send(GET)
        assert await statuses(wire) == [200]


async def test_none_comes_between_the_pieces_of_a_streamed_answer() -> None:
    calls: list[asyncio.Task[Response]] = []

    async def script(wire: Wire) -> None:
        if (await wire.message()).target == "/mirror":
            await wire.send(HINTS)
            await turns(20)
            await wire.send(OK)
            return
        await wire.send(STREAM)
        await until(lambda: bool(calls) and calls[0].done())
        await wire.send(END)

    async def mirroring(request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        request.path = "/mirror"
        calls.append(asyncio.get_running_loop().create_task(asking(request, call_next)))
        return response

    async with gateway_to(script, mirroring) as rig:
        wire = await rig.client()
        await wire.send(GET)
        assert (await wire.message()).chunks == [b"ok"]
        await (await calls[0]).aclose()


async def test_one_connection_never_gets_those_of_another(bytewise: bool) -> None:
    async def script(wire: Wire) -> None:
        while True:
            target = (await wire.message()).target.encode()
            await turns(3)
            await wire.send(b"HTTP/1.1 103 E\r\nlink: ", target, b"\r\n\r\n")
            await turns(3)
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", target)

    async def ask(rig: Rig, name: int) -> None:
        wire = await rig.client()
        for round_ in range(5):
            target = f"/{name}{round_}"
            await wire.send(f"GET {target} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
            early, final = await answers(wire)
            assert (early.headers["link"], final.body) == (target, target.encode())

    async with gateway_to(script, bytewise=bytewise) as rig:
        await asyncio.gather(*(ask(rig, name) for name in range(8)))


async def test_a_client_that_leaves_after_one_holds_nothing() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(HINTS)
        await wire.rest()

    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(GET)
        assert (await wire.message()).status == 103
        wire.reset()
        await rig.settled()
        assert rig.endpoint.pool.open == 0


async def test_an_upstream_that_dies_after_one_is_a_502() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(HINTS)

    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(GET)
        assert await statuses(wire) == [103, 502]
        await wire.send(GET)
        assert await statuses(wire) == [103, 502]


@pytest.mark.parametrize("switch", [False, True])
async def test_a_client_that_takes_none_stops_what_comes_after_them_too(switch: bool) -> None:
    size = 48 * 2**20
    early = b"HTTP/1.1 103 Early Hints\r\nlink: " + b"a" * 60_000 + b"\r\n\r\n"
    head = b"101 S\r\nconnection: upgrade\r\nupgrade: foo" if switch else b"200 OK\r\ncontent-length: %d" % size
    sent = 0

    async def script(wire: Wire) -> None:
        nonlocal sent
        await wire.message()
        await wire.send(early * 16)
        await until(lambda: rig.server.connection._writable is not None)
        await wire.send(b"HTTP/1.1 " + head + b"\r\n\r\n")
        sent = await push(wire, size)
        stalled.set()
        await pour(wire, size - sent)
        await wire.rest()

    stalled = asyncio.Event()
    async with gateway_to(script, small_buffers=True) as rig:
        wire = await rig.client()
        await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n")
        await stalled.wait()
        assert sent < 12 * 2**20
        assert [(await wire.message()).status for _ in range(16)] == [103] * 16
        await wire.head()
        await wire.skip(size)
