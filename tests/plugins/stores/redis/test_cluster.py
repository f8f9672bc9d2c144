from __future__ import annotations

import asyncio
from binascii import crc_hqx
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright_sdk import Rate, StoreError, Taken
from meshwright_sdk.testing import build, check_store
from tests.redis_servers import RedisServer, hears, needs_redis, until

pytest.importorskip("hiredis")

from meshwright_plugins.stores.redis import Redis
from meshwright_plugins.stores.redis.cluster import slot_of

RATE = Rate("1/h")
PATIENT: dict[str, Any] = {"timeout": "5s", "connect_timeout": "5s"}
RANGES = (("0", "5460"), ("5461", "10922"), ("10923", "16383"))


class Nodes:
    """Six nodes: three with a third of the slots each, and a replica of each.

    None takes over from another before it is allowed to: what a busy machine delays would pass for a lost node.
    """

    def __init__(self, folder: Path) -> None:
        options = (
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1000",
            "--cluster-replica-validity-factor",
            "0",
        )
        self.all = [RedisServer(folder, *options) for _ in range(6)]
        self.primaries, self.replicas = self.all[:3], self.all[3:]

    async def start(self) -> None:
        await asyncio.gather(*(node.start() for node in self.all))
        first = self.all[0]
        for node, (begin, end) in zip(self.primaries, RANGES, strict=True):
            assert await node.ask("CLUSTER", "ADDSLOTSRANGE", begin, end) == "+OK"
        for number, node in enumerate(self.all[1:], 2):
            await node.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number))
            await node.ask("CLUSTER", "MEET", "127.0.0.1", str(first.port))
        for node, primary in zip(self.replicas, self.primaries, strict=True):
            name = await identity(primary)
            await until(partial(said, node, "+OK", "CLUSTER", "REPLICATE", name))
        for node in self.all:
            await until(partial(knows_all, node))
        for node in self.replicas:
            await until(node.is_linked)
        await self.set_timeout_ms(600_000)

    async def set_timeout_ms(self, timeout_ms: int) -> None:
        """Have nodes count as lost that did not answer for so long."""
        for node in self.all:
            if node.is_running:
                assert await node.ask("CONFIG", "SET", "cluster-node-timeout", str(timeout_ms)) == "+OK"

    async def stop(self) -> None:
        for node in self.all:
            await node.stop()

    def store(self, **options: Any) -> Redis:
        seeds = [self.primaries[0].address, self.replicas[2].address]
        return build(Redis, cluster={"addresses": seeds}, **{**PATIENT, "max_backoff": "100ms", **options})

    def of(self, key: str) -> RedisServer:
        """Return the primary that has the slot of a key at first."""
        return self.primaries[min(slot_of(key.encode()) // 5461, 2)]


async def identity(node: RedisServer) -> str:
    return (await node.lines("CLUSTER", "MYID"))[1]


async def said(node: RedisServer, answer: str, *words: str) -> bool:
    return bool(await node.ask(*words) == answer)


async def knows_all(node: RedisServer) -> bool:
    """Whether a node knows the others well enough to serve."""
    lines = await node.lines("CLUSTER", "INFO", count=8)
    return "cluster_state:ok" in lines and "cluster_known_nodes:6" in lines and "cluster_size:3" in lines


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    nodes = Nodes(tmp_path)
    try:
        await nodes.start()
        yield nodes
    finally:
        await nodes.stop()


@needs_redis
async def test_a_cluster_is_one_store_whose_slots_and_nodes_may_move(nodes: Nodes) -> None:
    """One test, for the cluster takes a while to make."""
    store = nodes.store()
    await check_store(store)
    store = nodes.store()
    await store.start()
    await holds_keys_in_every_node(store)
    await follows_a_slot_that_moves(nodes, store)
    await survives_the_loss_of_a_node(nodes, store)
    await store.close()


async def holds_keys_in_every_node(store: Redis) -> None:
    taken = await asyncio.gather(*(store.take(f"client{number}", RATE, 5) for number in range(100)))
    again = await asyncio.gather(*(store.take(f"client{number}", RATE, 5) for number in range(100)))

    assert {each.remaining for each in taken} == {4}
    assert {each.remaining for each in again} == {3}


async def follows_a_slot_that_moves(nodes: Nodes, store: Redis) -> None:
    """The slot is on its way first, where a key that has moved is ASKed for, and then with another node (MOVED)."""
    name = "meshwright:v:wanderer"
    slot, source = str(slot_of(name.encode())), nodes.of(name)
    target = next(node for node in nodes.primaries if node is not source)
    await store.set("wanderer", b"here", ttl_s=60)
    await target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", await identity(source))
    await source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", await identity(target))

    at_source = await store.get("wanderer")
    assert await source.ask("MIGRATE", "127.0.0.1", str(target.port), name, "0", "20000") == "+OK"
    asked = await store.get("wanderer")
    for node in (target, source):
        assert await node.ask("CLUSTER", "SETSLOT", slot, "NODE", await identity(target)) == "+OK"
    moved = await asyncio.gather(*(store.get("wanderer") for _ in range(20)))

    assert (at_source, asked, set(moved)) == (b"here", b"here", {b"here"})


async def survives_the_loss_of_a_node(nodes: Nodes, store: Redis) -> None:
    """Calls of its slots fail until its replica has taken over; those of other nodes go on."""
    subscription = store.subscribe("news")
    lost = nodes.primaries[0]
    names = [f"key{number}" for number in range(200)]
    concerned = next(name for name in names if nodes.of(f"meshwright:b:{name}") is lost)
    other = next(name for name in names if nodes.of(f"meshwright:b:{name}") is nodes.primaries[1])
    before = await store.take(concerned, RATE, 5)
    # A write of the same slot that the replica has confirmed: it has what came before, too.
    assert await lost.lines("SET", f"{{meshwright:b:{concerned}}}", "1", "\r\nWAIT", "1", "0") == ["+OK", ":1"]
    await lost.stop()

    failed = await asyncio.gather(store.take(concerned, RATE, 5), store.take(other, RATE, 5), return_exceptions=True)
    await nodes.set_timeout_ms(1_000)
    await until(lambda: store.take(concerned, RATE, 5))
    await hears(store, subscription)

    assert before.remaining == 4
    assert isinstance(failed[0], StoreError)
    assert isinstance(failed[1], Taken)
    assert (await store.take(concerned, RATE, 5)).remaining == 2


async def test_a_cluster_that_is_not_there_is_told() -> None:
    store = build(Redis, cluster={"addresses": ["127.0.0.1:1"]})
    await store.start()

    with pytest.raises(StoreError, match=r"no node tells the slots: 127\.0\.0\.1:1: it refuses connections"):
        await store.get("key")
    with pytest.raises(StoreError):
        await store.take("key", RATE, 5)
    await store.close()


@needs_redis
async def test_a_server_that_is_no_cluster_is_told(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    await server.start()
    store = build(Redis, cluster={"addresses": [server.address]}, **PATIENT)
    await store.start()

    with pytest.raises(StoreError, match="ERR This instance has cluster support disabled"):
        await store.get("key")
    await store.close()
    await server.stop()


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"123456789", b"123456789"),
        (b"{user1000}.following", b"user1000"),
        (b"foo{}{bar}", b"foo{}{bar}"),
        (b"foo{{bar}}zap", b"{bar"),
        (b"foo{bar}{zap}", b"bar"),
        (b"foo{bar", b"foo{bar"),
    ],
)
def test_a_slot_is_of_what_is_in_the_first_braces(key: bytes, hashed: bytes) -> None:
    """The examples of the cluster specification."""
    assert slot_of(key) == crc_hqx(hashed, 0) % 16384


def test_the_checksum_is_that_of_the_specification() -> None:
    assert slot_of(b"123456789") == 0x31C3


@given(st.binary())
def test_every_key_has_a_slot(key: bytes) -> None:
    assert 0 <= slot_of(key) < 16384
