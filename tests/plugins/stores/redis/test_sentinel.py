from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meshwright_sdk import Rate, StoreError
from meshwright_sdk.testing import build
from tests.ports import free_port
from tests.redis_servers import (
    RedisServer,
    SentinelServer,
    fails_at_once,
    hears,
    needs_redis,
    needs_sentinel,
    until,
)

pytest.importorskip("hiredis")

from meshwright_plugins.stores.redis import Redis

pytestmark = [needs_redis, needs_sentinel]
RATE = Rate("1/h")
PATIENT: dict[str, Any] = {"timeout": "5s", "connect_timeout": "5s"}


@dataclass
class Watched:
    """A primary, its replica, and a sentinel that watches both; the first address of the store leads nowhere."""

    primary: RedisServer
    replica: RedisServer
    sentinel: SentinelServer

    def store(self, timeout: str = "5s") -> Redis:
        return build(
            Redis,
            sentinel={"addresses": [f"127.0.0.1:{free_port()}", self.sentinel.address], "name": "shop"},
            timeout=timeout,
            connect_timeout=timeout,
            max_backoff="100ms",
        )


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    primary = RedisServer(tmp_path)
    replica = RedisServer(tmp_path, "--replicaof", "127.0.0.1", str(primary.port))
    sentinel = SentinelServer(tmp_path, primary)
    await asyncio.gather(primary.start(), replica.start())

    async def is_known() -> bool:
        return await sentinel.ask("SENTINEL", "REPLICAS", "shop") == "*1"

    await until(replica.is_linked)  # a sentinel looks for replicas at its start, and then every ten seconds only
    await sentinel.start()
    await until(is_known)
    yield Watched(primary, replica, sentinel)
    for server in (sentinel, replica, primary):
        server.resume()
        await server.stop()


@pytest.mark.parametrize("dies", [True, False], ids=["killed", "hanging"])
async def test_a_fail_over_is_followed(watched: Watched, dies: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshwright_plugins.stores.redis.subscriptions._PROBE_S", 0.5)
    store = watched.store("5s" if dies else "1s")
    await store.start()
    subscription = store.subscribe("news")
    await store.take("client", RATE, 5)
    await hears(store, subscription)
    await until(lambda: has(watched.replica, "meshwright:b:client"))

    if dies:
        watched.primary.kill()
    else:
        watched.primary.pause()
    await until(lambda: fails(store))
    is_away = fails_at_once(store.get("key"))
    await watched.sentinel.allow_failover()
    await until(lambda: store.take("client", RATE, 5))
    await hears(store, subscription)

    assert is_away
    assert (await store.take("client", RATE, 5)).remaining == 2
    assert await watched.replica.ask("GET", "meshwright:b:client") == "$16"
    await store.close()


async def has(server: RedisServer, key: str) -> bool:
    return await server.ask("EXISTS", key) == ":1"


async def fails(store: Redis) -> bool:
    try:
        await store.get("key")
    except StoreError:
        return True
    return False


async def test_a_name_that_the_sentinels_do_not_know_is_told(watched: Watched) -> None:
    store = build(Redis, sentinel={"addresses": [watched.sentinel.address], "name": "shoe"}, **PATIENT)
    await store.start()

    with pytest.raises(StoreError, match=r"the sentinels name no primary: .*: it knows no primary of this name"):
        await store.get("key")
    await store.close()


async def test_a_server_that_is_no_primary_is_not_used(tmp_path: Path) -> None:
    """A sentinel that has not heard of a fail-over yet names the old primary."""
    primary = RedisServer(tmp_path)
    replica = RedisServer(tmp_path, "--replicaof", "127.0.0.1", str(primary.port))
    await asyncio.gather(primary.start(), replica.start())
    await until(replica.is_linked)  # while it takes over its primary's data it refuses scripts

    async def name_the_replica(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"shop\r\n")
        port = str(replica.port)
        writer.write(f"*2\r\n$9\r\n127.0.0.1\r\n${len(port)}\r\n{port}\r\n".encode())
        await reader.read()
        writer.close()

    sentinel = await asyncio.start_server(name_the_replica, "127.0.0.1", 0)
    address = f"127.0.0.1:{sentinel.sockets[0].getsockname()[1]}"
    store = build(Redis, sentinel={"addresses": [address], "name": "shop"}, max_backoff="50ms", **PATIENT)
    await store.start()

    with pytest.raises(StoreError, match=r"it is no primary \(yet\)"):
        await store.get("key")
    await replica.ask("REPLICAOF", "NO", "ONE")
    await until(lambda: store.take("client", RATE, 5))

    await store.close()
    sentinel.close()
    await asyncio.gather(primary.stop(), replica.stop())
