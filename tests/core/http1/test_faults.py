from __future__ import annotations

import asyncio

import pytest

from meshwright_sdk import CallNext, OverloadError, Request, Response
from tests.core.http1.harness import gateway_to
from tests.core.http1.wire import Wire, turns, until

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
BEGUN = [
    POST + b"content-length: 100000\r\n\r\nhalf",
    POST + b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    POST + b"expect: 100-continue\r\ncontent-length: 100000\r\n\r\n",
]


async def silence(wire: Wire) -> None:
    await wire.rest()


async def refusing(request: Request, call_next: CallNext) -> Response:
    raise OverloadError("not now", status=429)


async def answering(request: Request, call_next: CallNext) -> Response:
    return Response.text("no need", status=429)


async def losing_patience(request: Request, call_next: CallNext) -> Response:
    try:
        async with asyncio.timeout(0.02):
            return await call_next(request)
    except TimeoutError:
        return Response.text("too late", status=429)


async def raising_within(request: Request, call_next: CallNext) -> Response:
    try:
        async with asyncio.timeout(0.02):
            return await call_next(request)
    except TimeoutError:
        raise OverloadError("too late", status=429) from None


async def reading_a_little(request: Request, call_next: CallNext) -> Response:
    if not request.body.replayable:
        async for _ in request.body:
            break
    return Response.text("enough", status=429)


@pytest.mark.parametrize("begun", BEGUN)
@pytest.mark.parametrize("filter_", [refusing, answering, losing_patience, raising_within])
async def test_a_filter_that_answers_before_the_request_is_whole_leaves_nothing(begun: bytes, filter_: object) -> None:
    async with gateway_to(silence, filter_) as rig:  # type: ignore[arg-type]
        wire = await rig.client()
        await wire.send(begun)
        answer = await wire.message()
        while answer.status == 100:
            answer = await wire.message()
        assert (answer.status, answer.headers["connection"]) == (429, "close")
        await rig.settled()
        assert rig.endpoint.pool.open == 0
        assert rig.ended == [None]
        wire.close()
        await until(lambda: not rig.server.connections)
        assert rig.server.refused == {}


@pytest.mark.parametrize("begun", BEGUN[:2])
async def test_a_filter_that_reads_a_part_of_the_request_leaves_nothing(begun: bytes) -> None:
    async with gateway_to(silence, reading_a_little) as rig:
        wire = await rig.client()
        await wire.send(begun)
        assert (await wire.message()).status == 429
        wire.reset()
        await rig.settled()
        await until(lambda: not rig.server.connections)


@pytest.mark.parametrize("filter_", [refusing, answering, losing_patience, raising_within])
async def test_the_connection_of_a_whole_request_stays_whatever_its_filter_does(filter_: object) -> None:
    async with gateway_to(silence, filter_) as rig:  # type: ignore[arg-type]
        wire = await rig.client()
        for _ in range(3):
            await wire.send(GET)
            assert (await wire.message()).status == 429
        await rig.settled()
        assert rig.endpoint.pool.open == 0


@pytest.mark.parametrize("begun", [GET, *BEGUN])
@pytest.mark.parametrize("way", ["close", "reset"])
async def test_a_client_that_leaves_while_a_filter_waits_cancels_it_and_what_it_called(begun: bytes, way: str) -> None:
    cancelled: list[str] = []

    async def watching(request: Request, call_next: CallNext) -> Response:
        try:
            return await call_next(request)
        except asyncio.CancelledError:
            cancelled.append(request.method)
            raise

    async with gateway_to(silence, watching) as rig:
        wire = await rig.client()
        await wire.send(begun)
        await until(lambda: rig.pool["active"] == 1)
        await turns()
        getattr(wire, way)()
        await rig.settled()
        assert (len(cancelled), rig.endpoint.pool.open) == (1, 0)
        assert [counter.value for counter in rig.snapshot.routes[0].counts.classes] == [0, 0, 0, 1, 0]


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize(
    "last", [b"3\r\nab", b"3\r\nabc", b"3\r\nabc\r\n", b"3\r\nabc\r\n0\r\n", b"3\r\nabc\r\n0\r\nx: 1\r\n"]
)
async def test_an_answer_whose_end_never_came_has_none(version: bytes, last: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
        await turns(30)
        await wire.send(last)

    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(b"GET / HTTP/", version, b"\r\nhost: a\r\n\r\n")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await wire.message()
        assert wire.trailers == []
        await rig.settled()
        assert [type(error).__name__ for error in rig.ended] == ["ResetError"]
