from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshwright.http1.client import UpstreamConnection
from meshwright.traffic.pool import Pool, PoolLimits
from meshwright_sdk import ConnectError, OverloadError, Tasks, UpstreamTimeoutError, parse_origin
from meshwright_sdk.testing import make_request
from tests.core.http1.line import take
from tests.core.http1.wire import Script, ScriptedUpstream, Wire, scripted_upstream, turns, until
from tests.ports import free_port

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def stay(wire: Wire) -> None:
    await wire.rest()


async def answer(wire: Wire) -> None:
    while True:
        await wire.message()
        await wire.send(OK)


@asynccontextmanager
async def pool_to(script: Script, limits: PoolLimits | None = None) -> AsyncIterator[tuple[Pool, ScriptedUpstream]]:
    async with scripted_upstream(script) as upstream:
        pool = Pool(parse_origin(upstream.url), limits or PoolLimits())
        yield pool, upstream
        pool.close()
        for connection in tuple(pool._active):
            connection.abort()
        await until(lambda: not pool.open)


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_the_connection_used_last_is_used_next() -> None:
    async with pool_to(stay) as (pool, upstream):
        first, second = await take(pool), await take(pool)
        pool.release(second)
        pool.release(first)
        assert pool.take_idle() is first
        assert await take(pool) is second
        assert (pool.connects, pool.take_idle()) == (2, None)
        assert len(upstream.wires) <= 2


async def test_a_connection_that_was_closed_while_idle_is_passed_over() -> None:
    async with pool_to(stay) as (pool, _):
        first, second = await take(pool), await take(pool)
        pool.release(first)
        pool.release(second)
        second.abort()
        assert await take(pool) is first
        first.abort()
        assert pool.status()["idle"] == 0
        await until(lambda: not pool.open)


async def test_a_connection_that_is_closed_by_the_endpoint_leaves_the_pool() -> None:
    async with pool_to(stay) as (pool, upstream):
        pool.release(await take(pool))
        await until(lambda: bool(upstream.wires))
        upstream.wires[0].close()
        await until(lambda: not pool.open)


async def test_idle_connections_are_kept_up_to_their_bound() -> None:
    async with pool_to(stay, PoolLimits(max_idle=1)) as (pool, _):
        for connection in [await take(pool), await take(pool)]:
            pool.release(connection)
        await until(lambda: pool.open == 1)
        assert pool.status()["idle"] == 1


async def test_those_beyond_the_bound_get_their_turn_in_their_order() -> None:
    async with pool_to(stay, PoolLimits(max_connections=2)) as (pool, _):
        held = [await take(pool), await take(pool)]
        turn: list[int] = []

        async def wait(number: int) -> UpstreamConnection:
            connection = await take(pool)
            turn.append(number)
            return connection

        waiting = [Tasks().spawn(wait(number), name=str(number)) for number in range(4)]
        await turns()
        assert (pool.open, pool.status()["waiting"]) == (2, 4)

        pool.release(held[0])
        held[1].abort()
        await until(lambda: len(turn) == 2)
        assert turn == [0, 1]
        assert await waiting[0] is held[0]
        pool.release(held[0])
        pool.release(await waiting[1])
        await until(lambda: len(turn) == 4)
        assert turn == [0, 1, 2, 3]
        assert pool.connects == 3


async def test_more_than_may_wait_are_refused() -> None:
    async with pool_to(stay, PoolLimits(max_connections=1, max_pending=1)) as (pool, _):
        held = await take(pool)
        waiting = asyncio.gather(take(pool))
        await turns()
        with pytest.raises(OverloadError) as raised:
            await take(pool)
        assert (raised.value.status, raised.value.retryable) == (503, False)
        pool.release(held)
        assert (await waiting)[0] is held


async def test_waiting_ends_after_a_time() -> None:
    async with pool_to(stay, PoolLimits(max_connections=1)) as (pool, _):
        await take(pool)
        pool._limits = replace(pool._limits, connect_timeout_s=0.01)
        with pytest.raises(OverloadError, match="in time"):
            await take(pool)
        assert pool.status()["waiting"] == 0


async def test_a_place_that_was_given_to_somebody_who_left_goes_to_the_next() -> None:
    async with pool_to(stay, PoolLimits(max_connections=1)) as (pool, _):
        held = await take(pool)
        leaving, staying = asyncio.gather(take(pool)), asyncio.gather(take(pool))
        await turns()
        pool.release(held)
        leaving.cancel()
        assert (await staying)[0] is held

        leaving, staying = asyncio.gather(take(pool)), asyncio.gather(take(pool))
        await turns()
        held.abort()
        await until(lambda: pool.status()["opening"] == 1)
        leaving.cancel()
        connection = (await staying)[0]
        assert (pool.status()["active"], pool.status()["opening"], pool.status()["waiting"]) == (1, 0, 0)
        pool.release(connection)


async def test_a_dead_connection_that_is_given_back_is_not_kept() -> None:
    async with pool_to(stay, PoolLimits(max_connections=1)) as (pool, upstream):
        held = await take(pool)
        await until(lambda: bool(upstream.wires))
        upstream.wires[0].close()
        await until(lambda: not pool.open)
        pool.release(held)
        assert pool.open == 0


async def test_a_connection_that_closes_on_its_way_to_the_next_is_replaced() -> None:
    async with pool_to(stay, PoolLimits(max_connections=1)) as (pool, _):
        held = await take(pool)
        waiting = asyncio.gather(take(pool))
        await turns()
        pool.release(held)
        held.abort()
        (connection,) = await waiting
        assert connection is not held
        assert not connection.closing


async def test_a_connection_that_closes_as_soon_as_it_is_open_was_none() -> None:
    class Closing(UpstreamConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.abort()

    class ClosingPool(Pool):
        __slots__ = ()

        async def _open(self) -> UpstreamConnection:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(
                lambda: Closing(self, loop), self._origin.host, self._origin.port
            )
            return connection

    async with scripted_upstream(stay) as upstream:
        pool = ClosingPool(parse_origin(upstream.url), PoolLimits())
        with pytest.raises(ConnectError):
            await take(pool)
        await turns()
        assert (pool.open, pool.connect_failures) == (0, 1)


async def test_an_endpoint_that_refuses_is_a_connect_error_and_the_next_in_the_queue_tries_too() -> None:
    pool = Pool(parse_origin(f"http://127.0.0.1:{free_port()}"), PoolLimits(max_connections=1))
    outcomes = await asyncio.gather(*(take(pool) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectError] * 3
    assert (pool.open, pool.connects, pool.connect_failures) == (0, 3, 3)


async def test_an_endpoint_that_does_not_accept_in_time_is_a_timeout() -> None:
    class NeverOpening(Pool):
        __slots__ = ()

        async def _open(self) -> UpstreamConnection:
            await asyncio.Event().wait()
            raise AssertionError

    pool = NeverOpening(parse_origin("http://127.0.0.1:9"), PoolLimits(connect_timeout_s=0.01))
    with pytest.raises(UpstreamTimeoutError) as raised:
        await take(pool)
    assert (raised.value.status, raised.value.code) == (504, "upstream_connect_timeout")
    assert pool.open == 0


async def test_a_unix_socket_is_an_endpoint_too(tmp_path: Path) -> None:
    path = tmp_path / "upstream"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            await answer(Wire(reader, writer))
        writer.close()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_unix_server(serve, path)
    pool = Pool(parse_origin(f"unix:{path}"), PoolLimits())
    response = await (await take(pool)).exchange(make_request())
    assert response.body.data == b"ok"
    pool.close()
    await ended.wait()
    server.close()
    await server.wait_closed()


async def test_a_closed_pool_keeps_nothing_and_lets_what_runs_end() -> None:
    async with pool_to(answer) as (pool, _):
        idle, busy = await take(pool), await take(pool)
        pool.release(idle)
        pool.close()
        await until(lambda: pool.status()["idle"] == 0)
        assert (await busy.exchange(make_request())).body.data == b"ok"
        await until(lambda: not pool.open)


async def test_a_closed_connection_that_is_being_flushed_counts_until_it_is_gone() -> None:
    async with pool_to(stay, PoolLimits(max_connections=1, max_idle=0, body_idle_timeout_s=5.0)) as (pool, _):
        connection = await take(pool)
        connection.write(bytes(64 * 2**20))
        pool.release(connection)
        await turns()
        assert (pool.open, connection.closing) == (1, True)
        pool.sweep(now() + 6.0)
        await until(lambda: not pool.open)


class Play:
    """Somebody who does to a pool whatever can be done to it, in any order."""

    def __init__(self, pool: Pool, upstream: ScriptedUpstream, limits: PoolLimits) -> None:
        self.pool = pool
        self.upstream = upstream
        self.limits = limits
        self.takers: list[asyncio.Task[UpstreamConnection]] = []
        self.held: list[UpstreamConnection] = []

    async def take(self, number: int) -> None:
        self.takers.extend(asyncio.get_running_loop().create_task(take(self.pool)) for _ in range(number % 4))

    async def release(self, number: int) -> None:
        if self.held:
            self.pool.release(self.held.pop(number % len(self.held)))

    async def abort(self, number: int) -> None:
        if self.held:
            self.held.pop(number % len(self.held)).abort()

    async def cancel(self, number: int) -> None:
        if self.takers:
            self.takers[number % len(self.takers)].cancel()

    async def die(self, number: int) -> None:
        if self.upstream.wires:
            self.upstream.wires[number % len(self.upstream.wires)].close()

    async def sweep(self, number: int) -> None:
        self.pool.sweep(now() + number * 10)

    async def turn(self, number: int) -> None:
        await turns(number % 8)

    def collect(self) -> None:
        for taker in [each for each in self.takers if each.done()]:
            self.takers.remove(taker)
            if not taker.cancelled() and taker.exception() is None:
                self.held.append(taker.result())

    def check(self) -> None:
        status = self.pool.status()
        assert 0 <= self.pool.open <= self.limits.max_connections
        assert min(status.values()) >= 0
        assert status["idle"] <= self.limits.max_idle
        assert status["waiting"] <= self.limits.max_pending

    async def end(self) -> None:
        while self.takers or self.held:
            while self.held:
                await self.release(0)
            await turns(1)
            self.collect()
            self.check()


STEPS = st.lists(
    st.tuples(
        st.sampled_from([Play.take, Play.take, Play.release, Play.abort, Play.cancel, Play.turn, Play.sweep, Play.die]),
        st.integers(0, 20),
    ),
    min_size=10,
    max_size=80,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.integers(1, 2), st.integers(0, 4), st.integers(0, 2))
async def test_whatever_happens_the_bounds_hold_and_in_the_end_nothing_is_held(
    steps: list[tuple[Callable[[Play, int], Awaitable[None]], int]],
    max_connections: int,
    max_pending: int,
    max_idle: int,
) -> None:
    limits = PoolLimits(max_connections=max_connections, max_pending=max_pending, max_idle=max_idle)
    async with pool_to(stay, limits) as (pool, upstream):
        play = Play(pool, upstream, limits)
        for step, number in steps:
            await step(play, number)
            play.check()
            play.collect()
        await play.end()
        await until(lambda: not pool.status()["active"])
        assert pool.status()["opening"] == pool.status()["waiting"] == 0


async def test_an_endpoint_that_cannot_be_reached_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    pool = Pool(parse_origin(url), PoolLimits())

    for _ in range(3):
        with pytest.raises(ConnectError):
            await take(pool)

    assert caplog.text.count(f"endpoint {url}: cannot be reached") == 1
