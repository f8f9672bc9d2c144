from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from meshwright_sdk import (
    BodyTooLargeError,
    CallNext,
    ClientGoneError,
    FilterCall,
    OverloadError,
    Request,
    ResetError,
    Response,
)
from tests.core.http1.harness import Rig, gateway_to
from tests.core.http1.ways import DIRECT, every_way_in
from tests.core.http1.wire import Wire, turns, until

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def half(wire: Wire) -> None:
    """Answer with half of a body, and never go on."""
    await wire.message()
    await wire.send(HALF)
    await wire.rest()


async def whole(wire: Wire) -> None:
    while True:
        await wire.message()
        await wire.send(OK)


class Watched:
    """Keeps how many answers of the service came and how each ended."""

    def __init__(self) -> None:
        self.answers = 0
        self.ends: list[BaseException | None] = []

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        self.answers += 1
        response.on_close(self.ends.append)
        return response


def counted(rig: Rig) -> list[float]:
    """Return how many requests were answered in each class of statuses."""
    return [counter.value for counter in rig.snapshot.routes[0].counts.classes]


@every_way_in
async def test_a_filter_that_raises_after_it_has_the_answer_leaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def failing(request: Request, call_next: CallNext) -> Response:
        await call_next(request)
        raise KeyError("oops")

    watched = Watched()
    async with gateway_to(half, failing, watched) as rig:
        wire = await rig.client()
        for _ in range(2):
            await wire.send(GET)
            assert (await wire.message()).status == 500
        await rig.settled()
        assert rig.endpoint.pool.open == 0
        assert [type(error) for error in watched.ends] == [KeyError, KeyError]
        assert rig.ended == [None, None]
        assert counted(rig) == [0, 0, 0, 0, 2]
    assert "a plugin failed" in caplog.text
    caplog.clear()


@every_way_in
async def test_an_error_of_the_gateways_own_kind_is_answered_by_its_status() -> None:
    async def refusing(request: Request, call_next: CallNext) -> Response:
        await call_next(request)
        raise OverloadError("enough", status=429, headers={"retry-after": "7"})

    async with gateway_to(half, refusing) as rig:
        answer = await rig.ask(GET)
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
        await rig.settled()
        assert counted(rig) == [0, 0, 0, 1, 0]


@every_way_in
async def test_a_filter_that_returns_another_answer_has_the_first_one_closed() -> None:
    async def replacing(request: Request, call_next: CallNext) -> Response:
        await call_next(request)
        return Response.text("mine")

    watched = Watched()
    async with gateway_to(half, replacing, watched) as rig:
        assert (await rig.ask(GET)).body == b"mine"
        await rig.settled()
        assert rig.endpoint.pool.open == 0
        assert watched.ends == [None]


@every_way_in
async def test_a_filter_that_asks_again_keeps_the_last_answer_and_the_others_are_closed() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        number = len(rig.upstream.wires)
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n%d" % number if number == 3 else HALF)
        await wire.rest()

    async def insisting(request: Request, call_next: CallNext) -> Response:
        for _ in range(2):
            await call_next(request)
        return await call_next(request)

    watched = Watched()
    async with gateway_to(script, insisting, watched) as rig:
        assert (await rig.ask(GET)).body == b"3"
        await rig.settled()
        assert watched.ends == [None] * 3
        assert rig.endpoint.requests == 3


@every_way_in
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_replaced_body_is_framed_anew_and_the_old_one_closed(streamed: bool) -> None:
    async def letters() -> AsyncIterator[bytes]:
        yield b"mi"
        yield b"ne"

    async def replacing(request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        response.body = letters() if streamed else b"mine"
        return response

    watched = Watched()
    async with gateway_to(half, replacing, watched) as rig:
        answer = await rig.ask(GET)
        assert (answer.body, answer.headers.get("content-length")) == (b"mine", None if streamed else "4")
        await rig.settled()
        assert rig.endpoint.pool.open == 0
        assert watched.ends == [None]


async def shout(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for data in body:
        yield data.upper()


async def wrapping(request: Request, call_next: CallNext) -> Response:
    response = await call_next(request)
    response.body = shout(aiter(response.body))
    return response


@every_way_in
async def test_a_wrapped_body_gives_the_connection_back_at_its_end() -> None:
    async with gateway_to(whole, wrapping) as rig:
        wire = await rig.client()
        for _ in range(2):
            await wire.send(GET)
            assert (await wire.message()).body == b"OK"
        await rig.settled()
        assert rig.pool["connects"] == 1


@every_way_in
async def test_a_wrapped_body_that_breaks_off_cuts_the_client_off() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(HALF)

    watched = Watched()
    async with gateway_to(script, wrapping, watched) as rig:
        wire = await rig.client()
        await wire.send(GET)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await wire.message()
        await rig.settled()
        assert [type(error) for error in watched.ends] == [ResetError]


async def reading(request: Request, call_next: CallNext) -> Response:
    response = await call_next(request)
    await response.body.read(100)
    return response


async def limiting(request: Request, call_next: CallNext) -> Response:
    response = await call_next(request)
    await response.body.read(3)
    return response


@every_way_in
async def test_an_answer_that_a_filter_reads_whole_leaves_in_one_piece() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
        await turns(30)
        await wire.send(b"0\r\n\r\n")
        await wire.rest()

    async with gateway_to(script, reading) as rig:
        answer = await rig.ask(GET)
        assert (answer.body, answer.headers["content-length"]) == (b"ok", "2")


@every_way_in
@pytest.mark.parametrize("script", [half, whole])
async def test_an_answer_that_is_too_long_for_its_reader_is_given_up(script: object) -> None:
    async def small(request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        await response.body.read(1)
        return response

    watched = Watched()
    async with gateway_to(script, small, watched) as rig:  # type: ignore[arg-type]
        assert (await rig.ask(GET)).status == 413
        await rig.settled()
        assert [type(error) for error in watched.ends] == [BodyTooLargeError]


@every_way_in
@pytest.mark.parametrize("inner", [reading, wrapping, limiting])
async def test_a_client_that_leaves_ends_every_answer_once(inner: FilterCall) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        await wire.rest()

    watched, outer = Watched(), Watched()
    async with gateway_to(script, outer, inner, watched) as rig:
        wire = await rig.client()
        await wire.send(GET)
        await until(lambda: watched.answers == 1)
        await turns(50)
        wire.close()
        await rig.settled()
        assert rig.endpoint.pool.open == 0
        assert len(watched.ends) == 1
        assert isinstance(watched.ends[0], ClientGoneError | asyncio.CancelledError)


@every_way_in
async def test_a_body_whose_end_raises_is_logged_and_holds_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    async def sulking(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for data in body:
                yield data
        finally:
            raise RuntimeError("sulk")

    async def wrapping(request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        response.body = sulking(aiter(response.body))
        return response

    async def raising(request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        await anext(aiter(response.body))
        raise KeyError("oops")

    watched = Watched()
    async with gateway_to(half, raising, wrapping, watched) as rig:
        assert (await rig.ask(GET)).status == 500
        await rig.settled()
        assert len(watched.ends) == 1
    async with gateway_to(half, wrapping, watched) as rig:
        wire = await rig.client()
        await wire.send(GET)
        await wire.head()
        wire.close()
        await rig.settled()
        assert len(watched.ends) == 2
    caplog.clear()


@every_way_in
async def test_a_status_beyond_the_classes_counts_as_a_failure_and_holds_nothing_up(way_in: str) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n")
        await wire.rest()

    async with gateway_to(script) as rig:
        assert (await rig.ask(GET)).status == (999 if way_in == DIRECT else 502)  # servers know no status beyond 599
        await rig.settled()
        assert counted(rig) == [0, 0, 0, 0, 1]


@every_way_in
async def test_a_request_body_that_a_filter_replaces_or_reads_is_sent_anew() -> None:
    bodies: list[bytes] = []

    async def script(wire: Wire) -> None:
        while True:
            bodies.append((await wire.message()).body)
            await wire.send(OK)

    async def doubling(request: Request, call_next: CallNext) -> Response:
        data = await request.body.read(100)
        await call_next(request)
        request.body = type(request.body)(data * 2)
        return await call_next(request)

    async with gateway_to(script, doubling) as rig:
        wire = await rig.client()
        await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        await until(lambda: bool(rig.begun))
        await wire.send(b"3\r\nabc\r\n0\r\n\r\n")
        assert (await wire.message()).status == 200
    assert bodies == [b"abc", b"abcabc"]
