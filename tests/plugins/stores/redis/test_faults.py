"""What becomes of calls when Redis is away, hangs, or answers what it should not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meshwright_sdk import Rate, StoreError, Tasks
from meshwright_sdk.testing import build
from tests.redis_servers import RedisServer, fails_at_once, hears, needs_redis, until

pytest.importorskip("hiredis")

from meshwright_plugins.stores.redis import Redis

RATE = Rate("1000/s")
HURRIED: dict[str, Any] = {"timeout": "200ms"}
GREETING = b"$40\r\n" + b"0" * 40 + b"\r\n"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def running(url: str, **options: Any) -> AsyncIterator[Redis]:
    """Run a store that is patient enough for a busy machine."""
    store = build(Redis, url=url, **{"timeout": "10s", "connect_timeout": "10s", "max_backoff": "100ms", **options})
    await store.start()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[str]:
    """Serve with `talk`, and yield the URL; connections end with the block."""
    tasks = Tasks()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.spawn(talk(reader, writer), name="talk").add_done_callback(lambda _: writer.close())

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await tasks.close()


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the greeting: six scripts that are loaded."""
    for _ in range(6):
        await reader.readuntil(b"LOAD\r\n")
        writer.write(GREETING)


def answering(reply: bytes, command: bytes = b"GET") -> Talk:
    """Return a server that greets, and says `reply` to each command of that name after that."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        while True:
            await reader.readuntil(command + b"\r\n")
            writer.write(reply)

    return talk


async def outcome(call: Awaitable[Any]) -> Any:
    """Return the result, or the StoreError."""
    try:
        return await call
    except StoreError as error:
        return error


@needs_redis
async def test_a_server_that_dies_under_load_and_comes_back(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    await server.start()
    outcomes, late = Counter[str](), list[StoreError]()

    async def client(number: int) -> None:
        while phase != "over":
            begun_in = phase
            result = await outcome(store.take(f"client{number}", RATE, 1_000))
            if isinstance(result, StoreError) and "did not answer" in result.detail:
                late.append(result)
            outcomes[f"{begun_in}: {'failed' if isinstance(result, StoreError) else 'served'}"] += 1
            await asyncio.sleep(0.001)

    async def many(what: str) -> None:
        async def are_so_many() -> bool:
            return outcomes[what] > 100

        await until(are_so_many)

    async with running(server.url) as store:
        tasks, phase = Tasks(), "before"
        clients = [tasks.spawn(client(number), name="client") for number in range(20)]
        await many("before: served")
        server.kill()
        await server.stop()
        phase = "away"
        await many("away: failed")
        phase = "coming back"
        await server.start()
        await until(lambda: works(store))
        phase = "back"
        await many("back: served")
        phase = "over"
        await asyncio.gather(*clients)
    await server.stop()

    assert outcomes["away: served"] == 0
    assert outcomes["back: failed"] == 0
    assert late == []


@needs_redis
async def test_a_server_that_hangs_fails_calls_after_the_timeout_and_then_at_once(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    await server.start()
    loop = asyncio.get_running_loop()
    async with running(server.url, **HURRIED) as store:
        await until(lambda: works(store))
        server.pause()
        begun = loop.time()
        first = await asyncio.gather(*(outcome(store.take(f"{number}", RATE, 5)) for number in range(50)))
        seconds = loop.time() - begun
        at_once = fails_at_once(store.take("key", RATE, 5))
        server.resume()
        await until(lambda: store.take("key", RATE, 5))

    assert {type(error) for error in first} == {StoreError}
    assert "did not answer within 0.2 s" in first[0].detail
    assert 0.15 < seconds < 5
    assert at_once
    await server.stop()


@needs_redis
async def test_a_gateway_starts_without_redis_and_finds_it_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    server = RedisServer(tmp_path)
    async with running(server.url) as store:
        subscription = store.subscribe("news")
        with pytest.raises(StoreError, match=r"Redis is away: .*it refuses connections"):
            await store.get("key")
        await server.start()
        await until(lambda: works(store))
        await hears(store, subscription)

    assert [record.levelname for record in caplog.records if "redis 127" in record.message] == ["WARNING", "INFO"]
    await server.stop()


async def works(store: Redis) -> bool:
    await store.set("key", b"1", ttl_s=60)
    return True


@needs_redis
async def test_a_subscription_outlives_its_server(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    await server.start()
    async with running(server.url) as store:
        subscription = store.subscribe("news")
        for _ in range(2):
            await hears(store, subscription)
            server.kill()
            await server.stop()
            await server.start()
    await server.stop()


async def test_a_server_that_takes_connections_and_never_answers() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with talking(talk) as url:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with running(url, connect_timeout="200ms") as store:
            started_s = loop.time() - begun
            at_once = fails_at_once(store.get("key"))
            error = await outcome(store.get("key"))

    assert 0.15 < started_s < 5
    assert "it did not answer in time" in error.detail
    assert at_once


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b"", "it did not answer within 0.2 s"),
        (b"$5\r\nhal", "it did not answer within 0.2 s"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak RESP"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "Redis refuses the call: LOADING"),
        (b"-READONLY You can't write against a read only replica.\r\n", "Redis refuses the call: READONLY"),
        (b"-NOSCRIPT No matching script.\r\n", "Redis refuses the call: NOSCRIPT|Redis is away"),
        (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", "Redis refuses the call: OOM"),
    ],
)
async def test_a_strange_answer_fails_the_call(reply: bytes, message: str) -> None:
    options = HURRIED if "within 0.2 s" in message or "is away" in message else {}
    async with talking(answering(reply)) as url, running(url, **options) as store:
        with pytest.raises(StoreError, match=message):
            await store.get("key")


async def test_an_answer_that_was_not_asked_for_is_no_answer_to_the_next_call() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        writer.write(b"$6\r\nsecret\r\n")
        await reader.read()

    async with talking(talk) as url, running(url, **HURRIED) as store:
        await asyncio.sleep(0.02)
        with pytest.raises(StoreError, match=r"it answers what was not asked|did not answer"):
            await store.get("key")


@pytest.mark.parametrize("reply", [b":1\r\n", b"*0\r\n", b"$-1\r\n", b"*2\r\n:1\r\n$1\r\nx\r\n", b"*1\r\n*-1\r\n"])
async def test_an_answer_of_another_shape_fails_the_call(reply: bytes) -> None:
    async with talking(answering(reply, b"EVALSHA")) as url, running(url) as store:
        for call in (
            store.take("key", RATE, 5), store.take("key", RATE, 5, 2), store.grant("key", RATE, 5),
            store.take_window("key", 5, 1), store.take_window("key", 5, 1, 2),
        ):  # fmt: skip
            with pytest.raises(StoreError, match="Redis answers what was not asked"):
                await call


async def test_more_granted_than_asked_for_fails_whoever_asked() -> None:
    async with talking(answering(b"*2\r\n:9\r\n$1\r\n1\r\n", b"EVALSHA")) as url, running(url) as store:
        results = await asyncio.gather(*(store.take("key", RATE, 5) for _ in "abc"), return_exceptions=True)

    assert [type(result) for result in results] == [StoreError] * 3


@pytest.mark.parametrize("refusal", ["LOADING", "READONLY", "MASTERDOWN"])
async def test_a_server_that_is_of_no_use_is_left_and_another_connection_made(refusal: str) -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answering(b"-%b not now\r\n" % refusal.encode() if connections == 1 else b"$1\r\n1\r\n")(reader, writer)

    async with talking(talk) as url, running(url) as store:
        with pytest.raises(StoreError, match=refusal):
            await store.get("key")
        await until(lambda: store.get("key"))

    assert connections == 2


async def test_pauses_between_attempts_grow_and_differ() -> None:
    connections: list[float] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.get_running_loop().time())

    async with talking(talk) as url, running(url, max_backoff="10s"):
        await asyncio.sleep(1.0)
        assert len(connections) <= 15
        await until(partial(has_come_again, connections, 3))


async def has_come_again(connections: list[float], times: int) -> bool:
    return len(connections) >= times


@pytest.mark.parametrize(
    "refusal", ["MOVED", "MOVED x y", "MOVED 1", "MOVED 99999 127.0.0.1:1", "MOVED 1 nowhere", "ASK", "MOVED 1 a..b:1"]
)
async def test_a_cluster_that_points_nowhere_fails_the_call(refusal: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Own all slots, and send every call elsewhere."""
        port = writer.get_extra_info("sockname")[1]
        while line := await reader.readline():
            if line == b"SLOTS\r\n":
                writer.write(b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$0\r\n\r\n:%d\r\n" % port)
            elif line == b"LOAD\r\n":
                writer.write(GREETING)
            elif line == b"GET\r\n":
                writer.write(f"-{refusal}\r\n".encode())

    async with talking(talk) as url:
        store = build(Redis, cluster={"addresses": [url.removeprefix("redis://")]}, timeout="200ms")
        await store.start()
        async with asyncio.timeout(5):
            await outcome(store.get("key"))
        with pytest.raises(StoreError, match=r"Redis refuses the call|Redis is away"):
            await store.get("key")
        await store.close()


@pytest.mark.parametrize(
    "reply", [b":1\r\n", b"*1\r\n$1\r\na\r\n", b"*2\r\n:1\r\n:2\r\n", b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"]
)
async def test_a_sentinel_that_names_no_address_is_told(reply: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"shop\r\n")
        writer.write(reply)
        await reader.read()

    async with talking(talk) as url:
        sentinel = {"addresses": [url.removeprefix("redis://")], "name": "shop"}
        store = build(Redis, sentinel=sentinel, timeout="10s", connect_timeout="10s")
        await store.start()
        with pytest.raises(StoreError, match="it names no address"):
            await store.get("key")
        await store.close()


async def test_a_host_that_is_none_is_told() -> None:
    async with running("redis://a..b:6379") as store:
        with pytest.raises(StoreError, match=r"Redis is away: a\.\.b:6379: "):
            await store.get("key")
