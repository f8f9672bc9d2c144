from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from meshwright_sdk import Rate, StoreError, Taken, Tasks
from meshwright_sdk.testing import build, check_store
from tests.certificates import write_authority, write_certificate
from tests.ports import free_port
from tests.redis_servers import RedisServer, hears, needs_redis, until

pytest.importorskip("hiredis")

from meshwright_plugins.stores.redis import Redis

pytestmark = needs_redis
HOURLY = Rate("1/h")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[Redis]:
    store = redis(server)
    await store.start()
    yield store
    await store.close()


def redis(server: RedisServer, **options: Any) -> Redis:
    """Return a store at `server`, patient enough for a busy machine."""
    return build(Redis, **{"url": server.url, "timeout": "5s", "connect_timeout": "5s", **options})


def count(store: Redis, name: str) -> float:
    """Return a counter that the store keeps, or how many observations a histogram has."""
    (metric,) = store.context.metrics.families[f"meshwright_store_{name}"].metrics.values()
    return sum(metric.counts) if hasattr(metric, "counts") else (metric.read() if metric.read else metric.value)


async def test_it_holds_to_the_contract_of_stores(server: RedisServer) -> None:
    await check_store(redis(server))


async def test_all_calls_of_a_turn_are_one_round_trip(store: Redis) -> None:
    before = [count(store, name) for name in ("round_trips_total", "round_trip_seconds", "calls_total")]

    await asyncio.gather(*(store.take(f"client{number}", HOURLY, 5) for number in range(100)))

    after = [count(store, name) for name in ("round_trips_total", "round_trip_seconds", "calls_total")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 100]


async def test_takings_from_one_bucket_are_answered_in_their_order(store: Redis) -> None:
    taken = await asyncio.gather(*(store.take("client", Rate("1/s"), 3) for _ in range(5)))

    assert [each.granted for each in taken] == [1, 1, 1, 0, 0]
    assert [each.remaining for each in taken] == [2, 1, 0, 0, 0]
    assert [round(each.reset_s, 1) for each in taken] == [1.0, 2.0, 3.0, 3.0, 3.0]
    assert [round(each.wait_s, 1) for each in taken] == [0.0, 0.0, 0.0, 1.0, 1.0]


async def test_takings_from_one_window_are_answered_in_their_order(store: Redis) -> None:
    taken = await asyncio.gather(*(store.take_window("client", 3, 60) for _ in range(5)))

    assert [each.granted for each in taken] == [1, 1, 1, 0, 0]
    assert [each.remaining for each in taken] == [2, 1, 0, 0, 0]
    assert [round(each.wait_s) for each in taken] == [0, 0, 0, 60, 60]
    assert {round(each.reset_s) for each in taken} == {60}


async def test_buckets_of_one_key_with_other_limits_are_asked_for_apart(store: Redis) -> None:
    taken = await asyncio.gather(
        store.take("client", HOURLY, 3), store.take("client", HOURLY, 2), store.take_window("client", 2, 60),
        store.take_window("client", 1, 60), store.take("client", HOURLY, 3, 3),
    )  # fmt: skip

    assert [each.granted for each in taken] == [1, 1, 1, 0, 0]


async def test_a_window_of_a_great_limit_needs_few_notes(server: RedisServer, store: Redis) -> None:
    granted = 0
    for _ in range(300):
        granted += sum(each.granted for each in await asyncio.gather(*(store.take_window("k", 500, 0.3) for _ in "ab")))

    assert granted >= 500
    assert int((await server.ask("LLEN", "meshwright:w:k")).removeprefix(":")) <= 66


async def test_two_gateways_grant_what_the_limit_allows_in_any_window_and_never_more(server: RedisServer) -> None:
    stores = [redis(server), redis(server)]
    granted, refused = list[tuple[float, float]](), list[tuple[float, float]]()
    loop = asyncio.get_running_loop()

    async def client(store: Redis) -> None:
        while len(granted) < 20 * 7:
            begun = loop.time()
            taken = await store.take_window("shared", 20, 0.2)
            (granted if taken else refused).append((begun, loop.time()))
            await asyncio.sleep(0)

    for store in stores:
        await store.start()
    await asyncio.gather(*(client(store) for store in stores for _ in range(4)))
    for store in stores:
        await store.close()

    # Between asking and answer lies the moment that counts: 21 that surely lie within a window would be too many, and
    # where one was refused there are 20 that may lie in the window before it (the two clocks tick a little apart).
    granted.sort()
    surely_within = [
        last[1] - first[0] for first, last in zip(granted, granted[20:], strict=False) if last[1] - first[0] < 0.2
    ]
    assert surely_within == []
    assert refused
    begins, ends = [each[0] for each in granted], sorted(each[1] for each in granted)
    for begun, answered in refused:
        assert bisect_left(begins, answered) - bisect_right(ends, begun - 0.201) >= 20


async def test_stores_with_the_same_prefix_share_and_others_do_not(server: RedisServer, store: Redis) -> None:
    same, other = redis(server), redis(server, prefix="other:")
    await same.start()
    await other.start()
    await store.set("key", b"1", ttl_s=60)

    assert (await same.get("key"), await other.get("key")) == (b"1", None)
    assert await server.ask("GET", "meshwright:v:key") == "$1"

    await same.close()
    await other.close()


async def test_a_server_that_forgot_the_scripts_gets_them_again(server: RedisServer, store: Redis) -> None:
    await server.ask("SCRIPT", "FLUSH")

    taken = await asyncio.gather(*(store.take(f"client{number}", HOURLY, 5) for number in range(10)))
    granted = await store.grant("client0", HOURLY, 5, 9)

    assert [each.granted for each in taken] == [1] * 10
    assert granted.granted == 4


async def test_a_key_of_another_kind_fails_its_own_call_alone(server: RedisServer, store: Redis) -> None:
    await server.ask("LPUSH", "meshwright:v:list", "1")
    await server.ask("SET", "meshwright:b:short", "1")

    results = await asyncio.gather(
        store.get("list"), store.get("none"), store.take("short", HOURLY, 5), store.take("sound", HOURLY, 5),
        return_exceptions=True,
    )  # fmt: skip

    assert isinstance(results[0], StoreError)
    assert "WRONGTYPE" in results[0].detail
    assert results[1] is None
    assert isinstance(results[2], StoreError)
    assert isinstance(results[3], Taken)
    assert count(store, "failures_total") == 2


async def test_a_counter_beyond_64_bits_is_refused(store: Redis) -> None:
    assert await store.increment("bytes", 2**60, ttl_s=60) == 2**60
    assert await store.increment("bytes", 1, ttl_s=60) == 2**60 + 1

    with pytest.raises(ValueError, match="key 'bytes': expected a counter within 64 bits; got another value"):
        await store.increment("bytes", 2**63 - 1, ttl_s=60)


async def test_a_cancelled_caller_leaves_nothing_behind(server: RedisServer, store: Redis) -> None:
    server.pause()
    waiting = [Tasks().spawn(call, name="cancelled") for call in cancelled_calls(store)]
    await asyncio.sleep(0.02)
    for call in waiting:
        call.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    server.resume()

    assert count(store, "waiting") == 0
    assert await store.get("after") is None
    assert all(call.cancelled() for call in waiting)


def cancelled_calls(store: Redis) -> list[Any]:
    return [store.get("key"), store.take("key", HOURLY, 5), store.take("key", HOURLY, 5), store.take_window("k", 5, 1)]


async def test_a_taking_that_was_cancelled_before_it_was_sent_takes_nothing(store: Redis) -> None:
    one, two = [Tasks().spawn(store.take("key", HOURLY, 5), name="take") for _ in "ab"]
    asyncio.get_running_loop().call_soon(one.cancel)

    assert (await two).remaining == 4
    assert one.cancelled()


async def test_calls_beyond_the_bound_fail_at_once(server: RedisServer) -> None:
    store = redis(server, max_waiting=10)
    await store.start()
    for call in (lambda number: store.get(f"{number}"), lambda number: store.take("key", HOURLY, 5)):
        results = await asyncio.gather(*(call(number) for number in range(15)), return_exceptions=True)
        refused = [each for each in results if isinstance(each, StoreError)]

        assert len(refused) == 5
        assert refused[0].detail == "Too many calls wait for Redis: 10"
    await store.close()


async def test_a_slow_subscriber_loses_the_oldest_messages(server: RedisServer) -> None:
    store = redis(server, max_messages=2)
    await store.start()
    slow, quick = store.subscribe("news"), store.subscribe("news")
    await subscribed(server, "news")
    for number in range(5):
        await store.publish("news", b"%d" % number)
        assert await anext(quick) == b"%d" % number

    assert [await anext(slow), await anext(slow)] == [b"3", b"4"]
    await store.close()


async def test_a_channel_that_nobody_listens_to_any_more_is_left(server: RedisServer, store: Redis) -> None:
    kept = store.subscribe("kept")
    left: Any = store.subscribe("left")
    await subscribed(server, "left")
    del left
    await store.publish("left", b"nobody hears")
    await subscribed(server, "left", count=0)

    await store.publish("kept", b"1")
    assert await anext(kept) == b"1"


async def subscribed(server: RedisServer, channel: str, count: int = 1) -> None:
    """Wait until so many connections listen to the channel."""

    async def is_so() -> bool:
        listened: str = await server.ask("PUBSUB", "CHANNELS", f"*:{channel}")
        return listened == f"*{count}"

    await until(is_so)


async def test_closing_ends_subscriptions_and_fails_what_waits(server: RedisServer) -> None:
    store = redis(server)
    await store.start()
    subscription = store.subscribe("news")
    server.pause()
    waiting = Tasks().spawn(store.get("key"), name="get")
    await asyncio.sleep(0.01)
    await store.close()
    server.resume()

    with pytest.raises(StoreError, match="Redis is away: the store is closed"):
        await waiting
    assert await anext(subscription, b"the end") == b"the end"
    with pytest.raises(StoreError):
        await store.get("key")


@pytest.mark.parametrize("in_url", [True, False])
async def test_a_password_opens_the_server(tmp_path: Path, in_url: bool) -> None:
    server = RedisServer(tmp_path, "--requirepass", "hunter2")
    await server.start()
    where: dict[str, Any] = {"password": "hunter2"}
    if in_url:
        where = {"url": f"redis://:hunter2@{server.address}/3"}
    store = redis(server, **where)
    await store.start()

    await store.set("key", b"1", ttl_s=60)
    await hears(store, store.subscribe("news"))

    assert await store.get("key") == b"1"
    assert "hunter2" not in repr(store.options)
    await store.close()
    await server.stop()


async def test_a_wrong_password_is_logged_and_never_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = RedisServer(tmp_path, "--requirepass", "hunter2")
    await server.start()
    store = redis(server, password="hunter3")
    await store.start()

    with pytest.raises(StoreError, match="WRONGPASS"):
        await store.get("key")
    assert "WRONGPASS" in caplog.text
    assert "hunter" not in caplog.text

    await store.close()
    await server.stop()


@pytest.mark.parametrize(("tls", "is_believed"), [({"ca": "ca.pem"}, True), ({"verify": False}, True), (None, False)])
async def test_tls_believes_the_authority_that_is_named(tmp_path: Path, tls: Any, is_believed: bool) -> None:
    certificate, key = write_certificate(tmp_path)
    port = free_port()
    server = RedisServer(
        tmp_path, "--tls-port", str(port), "--tls-auth-clients", "no", "--tls-cert-file", str(certificate),
        "--tls-key-file", str(key), "--tls-ca-cert-file", str(write_authority(tmp_path)),
    )  # fmt: skip
    await server.start()
    store = redis(server, url=f"rediss://localhost:{port}", base_dir=tmp_path, **({"tls": tls} if tls else {}))
    await store.start()

    if is_believed:
        await store.set("key", b"1", ttl_s=60)
        await hears(store, store.subscribe("news"))
    else:
        with pytest.raises(StoreError, match="certificate"):
            await store.get("key")
    await store.close()
    await server.stop()


async def test_tls_files_that_cannot_be_read_refuse_the_configuration(tmp_path: Path, server: RedisServer) -> None:
    store = redis(server, url="rediss://localhost", tls={"ca": "none.pem"}, base_dir=tmp_path)

    with pytest.raises(ValueError, match=r"tls: expected files that can be used; got .*No such file"):
        await store.start()
    await store.close()


async def test_a_unix_socket_is_spoken_to(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    server = RedisServer(tmp_path, "--unixsocket", str(path))
    await server.start()
    store = redis(server, url=f"unix://{path}")
    await store.start()

    await store.set("key", b"1", ttl_s=60)
    await hears(store, store.subscribe("news"))
    assert await store.get("key") == b"1"
    await store.close()
    await server.stop()


async def test_calls_before_the_start_fail(server: RedisServer) -> None:
    store = redis(server)

    with pytest.raises(StoreError, match="Redis is away: the store is not started"):
        await store.get("key")
    with pytest.raises(StoreError):
        store.subscribe("news")
