"""`Cluster`: the nodes of a Redis Cluster, each call to the one that has its key's slot."""

from __future__ import annotations

import asyncio
import logging
from binascii import crc_hqx
from collections.abc import Callable, Iterable
from typing import Any

from meshwright_plugins.stores.redis.calls import Call, UnawaitedCall
from meshwright_plugins.stores.redis.connection import Connection
from meshwright_plugins.stores.redis.dialing import Dialing
from meshwright_plugins.stores.redis.listener import Listener, OnMessage
from meshwright_plugins.stores.redis.options import Address, RedisCluster
from meshwright_plugins.stores.redis.resp import Refusal, pack
from meshwright_plugins.stores.redis.server import Backoff, Server, send_or_fail
from meshwright_plugins.stores.redis.topologies import TRIES, settle
from meshwright_sdk import StoreError, Tasks

logger = logging.getLogger("meshwright.store.redis")

SLOTS = 16_384
_ASKING = pack(b"ASKING")
_SLOTS = pack(b"CLUSTER", b"SLOTS")


class Cluster:
    """Follows slots that move (MOVED, ASK), and asks for the nodes anew when one moved or a node is away."""

    def __init__(self, dialing: Dialing, backoff: Callable[[], Backoff], cluster: RedisCluster) -> None:
        self._dialing = dialing
        self._backoff = backoff
        self._seeds = cluster.servers
        self._servers: dict[Address, tuple[Server, asyncio.Task[Any]]] = {}
        self._slots: list[Server | None] = [None] * SLOTS
        self._is_stale = asyncio.Event()
        self._is_known = asyncio.Event()
        self._why = "its nodes are not known yet"
        self._tasks = Tasks()

    async def start(self, tasks: Tasks) -> None:
        self._tasks = tasks
        tasks.spawn(self._follow(), name="redis cluster")
        await self._is_known.wait()
        await asyncio.gather(*(server.was_tried.wait() for server, _ in self._servers.values()))

    def send(self, call: Call) -> None:
        server = self._slots[slot_of(call.key)]
        if server is None:
            self._is_stale.set()
            raise StoreError(f"Redis is away: no node has the slot ({self._why})")
        server.send(call)

    def servers(self) -> Iterable[Server]:
        return [server for server, _ in self._servers.values()]

    async def listen(self, on_message: OnMessage) -> Listener:
        """Return a connection to any node: a cluster hands messages to all of them."""
        for address, (server, _) in self._servers.items():
            if server.is_connected:
                return await self._dialing.listen(address, on_message)
        raise StoreError("Redis is away: no node of the cluster is connected")

    async def _follow(self) -> None:
        """Keep slots and nodes as the cluster has them."""
        backoff = self._backoff()
        while True:
            try:
                self._take_over(await self._topology())
            except StoreError as error:
                if error.detail != self._why:
                    logger.warning("redis cluster: %s", error.detail)
                self._why = error.detail
            else:
                if all(server.is_connected for server in self._slots if server is not None):
                    backoff.reset()
            self._is_known.set()
            await self._is_stale.wait()
            self._is_stale.clear()
            await asyncio.sleep(backoff.next_s())

    async def _topology(self) -> list[tuple[int, int, Address]]:
        """Return which node has which slots, as the first node that answers says."""
        problems = []
        connected = [address for address, (server, _) in self._servers.items() if server.is_connected]
        for address in dict.fromkeys([*connected, *self._seeds, *self._servers]):
            try:
                reply = await self._dialing.ask(address, _SLOTS, self._dialing.options.credentials)
                return list(_owners(reply, address))
            except StoreError as error:
                problems.append(error.detail)
            except (TypeError, ValueError, IndexError, AttributeError):
                problems.append(f"{address}: it tells no slots")
        raise StoreError(f"no node tells the slots: {'; '.join(problems)}")

    def _take_over(self, owners: Iterable[tuple[int, int, Address]]) -> None:
        slots: list[Server | None] = [None] * SLOTS
        used = set()
        for first, last, address in owners:
            used.add(address)
            slots[first : last + 1] = [self._server(address)] * (last + 1 - first)
        self._slots = slots
        self._why = "nobody serves it"
        for address in [address for address in self._servers if address not in used]:
            server, task = self._servers.pop(address)
            server.on_lost = _nothing
            task.cancel()

    def _server(self, address: Address) -> Server:
        known = self._servers.get(address)
        if known is not None:
            return known[0]

        async def connect() -> Connection:
            return await self._dialing.connect(address, self._settle)

        server = Server(f"node {address}", connect, self._backoff())
        server.on_lost = self._is_stale.set
        self._servers[address] = (server, self._tasks.spawn(server.stay_connected(), name=f"redis {server.name}"))
        return server

    def _settle(self, connection: Connection, call: Call, refusal: Refusal) -> None:
        """Send a call on to the node that has its slot now, or for this once."""
        place = _place(refusal, connection) if call.tries < TRIES else None
        if place is None:
            if refusal.code == "CLUSTERDOWN":
                self._is_stale.set()
            settle(connection, call, refusal)
            return
        slot, address = place
        call.tries += 1
        server = self._server(address)
        if refusal.code == "MOVED":
            self._slots[slot] = server
            self._is_stale.set()
        else:
            send_or_fail(server.send, UnawaitedCall(_ASKING))
        send_or_fail(server.send, call)


def _place(refusal: Refusal, connection: Connection) -> tuple[int, Address] | None:
    """Return slot and node of `MOVED 3999 10.0.0.1:6379`, and of ASK; a node may leave its own host out."""
    code, *words = str(refusal).split(" ")
    if code not in ("MOVED", "ASK") or len(words) < 2 or not words[0].isdecimal():
        return None
    host, _, port = words[1].rpartition(":")
    if int(words[0]) >= SLOTS or not port.isdecimal():
        return None
    return int(words[0]), Address(host.strip("[]") or connection.host, int(port))


def _owners(reply: Any, asked: Address) -> Iterable[tuple[int, int, Address]]:
    """Read the reply to CLUSTER SLOTS: ranges of slots, each with its primary and then its replicas."""
    for first, last, primary, *_ in reply:
        host = primary[0].decode() if primary[0] else asked.host
        yield int(first), int(last), Address(host, int(primary[1]))


def slot_of(key: bytes) -> int:
    """Return the slot of a key: of what is in its first braces, or of all of it (Redis cluster specification)."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def _nothing() -> None:
    pass
