from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from meshwright.traffic.pool import PoolLimits
from meshwright_sdk import (
    DownstreamError,
    UpstreamTimeoutError,
)
from meshwright_sdk.testing import make_request
from tests.core.http1.line import OK, answering, content, line_to
from tests.core.http1.wire import Wire, turns, until


def now() -> float:
    return asyncio.get_running_loop().time()


LIMITS = PoolLimits(first_byte_timeout_s=100.0, body_idle_timeout_s=30.0, idle_timeout_s=600.0)


async def silence(wire: Wire) -> None:
    await wire.rest()


async def test_an_upstream_that_does_not_answer_in_time_is_given_up() -> None:
    async with line_to(silence, LIMITS) as line:
        asking = asyncio.gather(line.ask(make_request("POST", body=b"x")))
        await until(lambda: bool(line.connections))
        line.pool.sweep(now() + 90.0)
        await turns()
        assert not asking.done()

        line.pool.sweep(now() + 101.0)
        with pytest.raises(UpstreamTimeoutError) as raised:
            await asking
        assert raised.value.status == 504
        await until(lambda: not line.pool.open)


async def test_a_body_that_stops_coming_is_given_up() -> None:
    async with line_to(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"), LIMITS) as line:
        response = await line.ask(make_request())
        line.pool.sweep(now() + 31.0)
        with pytest.raises(UpstreamTimeoutError):
            await content(response)


async def test_a_reader_that_is_behind_is_not_the_upstreams_fault() -> None:
    async with line_to(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"), LIMITS) as line:
        response = await line.ask(make_request())
        connection = line.connections[0]
        connection.pause()
        line.pool.sweep(now() + 1000.0)
        assert not connection.closing

        connection.resume()
        line.pool.sweep(now() + 31.0)
        with pytest.raises(UpstreamTimeoutError):
            await content(response)


async def test_a_request_whose_body_stops_coming_is_the_clients_fault() -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.Event().wait()

    async with line_to(silence, LIMITS) as line:
        asking = asyncio.gather(line.ask(make_request("POST", body=stuck())))
        await until(lambda: bool(line.connections))
        await turns()
        line.pool.sweep(now() + 31.0)
        with pytest.raises(DownstreamError) as raised:
            await asking
        assert (raised.value.status, raised.value.code) == (408, "request_timeout")


async def test_the_time_for_the_answer_begins_when_the_request_is_all_sent() -> None:
    more = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"half"
        await more.wait()

    async with line_to(silence, LIMITS) as line:
        asking = asyncio.gather(line.ask(make_request("POST", body=slowly())))
        await until(lambda: bool(line.connections))
        await turns()
        more.set()
        await turns()
        line.pool.sweep(now() + 90.0)
        await turns()
        assert not asking.done()
        line.pool.sweep(now() + 101.0)
        with pytest.raises(UpstreamTimeoutError):
            await asking


async def test_an_idle_connection_is_closed_after_its_time_and_not_before() -> None:
    async with line_to(answering(OK), LIMITS) as line:
        await line.ask(make_request())
        line.pool.sweep(now() + 590.0)
        await turns()
        assert line.idle == 1
        line.pool.sweep(now() + 601.0)
        await until(lambda: not line.pool.open)
