"""`redis`: a store in Redis, for gateways that share one; its connections, scripts and topologies are beside it."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterable, Mapping
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar

from meshwright_plugins.stores.redis.calls import (
    BucketCall,
    Call,
    SharedCall,
    WindowCall,
    bucket_command,
    read_bucket,
    read_window,
    window_command,
)
from meshwright_plugins.stores.redis.options import RedisOptions
from meshwright_plugins.stores.redis.resp import Refusal, pack
from meshwright_plugins.stores.redis.scripts import ACQUIRE, INCREMENT, RELEASE, SWAP
from meshwright_sdk import Context, Rate, Store, StoreError, Taken, Tasks

if TYPE_CHECKING:
    from meshwright_plugins.stores.redis.listener import Listener, OnMessage
    from meshwright_plugins.stores.redis.server import Server
    from meshwright_plugins.stores.redis.subscriptions import Subscriptions
    from meshwright_plugins.stores.redis.topologies import Topology

T = TypeVar("T")
_LONGEST_MS = 1e13


class Redis(Store[RedisOptions]):
    """Keep everything in one Redis, a primary that sentinels watch, or a Redis Cluster.

    Workers and gateways with the same Redis and prefix share what is stored. A Redis that evicts keys forgets
    values, buckets, windows and leases, so let it refuse writes instead (`maxmemory-policy noeviction`). While it
    is away calls fail at once; a gateway starts without it, and both recover by themselves.

    Example:
        store: {redis: {url: "redis://127.0.0.1:6379/0", prefix: "shop:"}}
    """

    def __init__(self, options: RedisOptions, context: Context) -> None:
        super().__init__(options, context)
        _need_hiredis()
        values, buckets, windows, leases, channels = (f"{options.prefix}{kind}:" for kind in "vbwlc")
        self._values, self._leases, self._channel = values, leases, channels
        self._buckets, self._windows = buckets, windows
        self._tasks = Tasks()
        self._topology: Topology = _NotStarted()
        self._subscriptions: Subscriptions | None = None
        self._bucket_calls: dict[bytes, BucketCall] = {}
        self._window_calls: dict[bytes, WindowCall] = {}
        self._waiting = 0
        metrics = context.metrics
        self._calls = metrics.counter("meshwright_store_calls_total", "Calls of the store.")
        self._failures = metrics.counter("meshwright_store_failures_total", "Calls of the store that failed.")
        metrics.gauge("meshwright_store_waiting", "Calls that wait for the store.", lambda: self._waiting)

    async def start(self) -> None:
        from meshwright_plugins.stores.redis.building import build_subscriptions, build_topology

        self._topology = await build_topology(self.options, self.context)
        self._subscriptions = build_subscriptions(self.options, self.context, self._topology)
        await self._topology.start(self._tasks)

    async def close(self) -> None:
        if self._subscriptions is not None:
            self._subscriptions.close()
            self._subscriptions = None
        await self._tasks.close()

    def state(self) -> Mapping[str, Any]:
        servers = {server.name: server.state for server in self._topology.servers()}
        return {"servers": servers, "waiting": self._waiting}

    async def get(self, key: str) -> bytes | None:
        name = f"{self._values}{key}".encode(errors="surrogatepass")
        value: bytes | None = await self._ask(name, pack(b"GET", name))
        return value

    async def set(self, key: str, value: bytes, *, ttl_s: float | None = None) -> None:
        name = f"{self._values}{key}".encode(errors="surrogatepass")
        await self._ask(name, pack(b"SET", name, value, *_expiry(ttl_s)))

    async def delete(self, key: str) -> bool:
        name = f"{self._values}{key}".encode(errors="surrogatepass")
        return bool(await self._ask(name, pack(b"DEL", name)))

    async def increment(self, key: str, amount: int = 1, *, ttl_s: float | None = None) -> int:
        name, digits = f"{self._values}{key}".encode(errors="surrogatepass"), b"%d" % amount
        payload = pack(b"INCRBY", name, digits) if ttl_s is None else INCREMENT.call(name, digits, _ms(ttl_s))
        try:
            return int(await self._ask(name, payload))
        except StoreError as error:
            if isinstance(error.__cause__, Refusal) and _is_no_counter(error.__cause__):
                raise ValueError(f"key {key!r}: expected a counter within 64 bits; got another value") from None
            raise

    async def take(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        if not 1 <= amount <= burst:
            raise ValueError(f"amount: expected 1 to the burst of {burst}; got {amount}")
        name = f"{self._buckets}{key}".encode(errors="surrogatepass")
        if amount > 1:
            reply = await self._ask(name, bucket_command(name, rate, burst, b"%d" % amount, b"0"))
            return read_bucket(reply, rate, burst, amount)
        call = self._bucket_calls.get(name)
        if call is None or call.is_over or not call.is_for(rate, burst):
            call = BucketCall(name, rate, burst)
            self._share(call, self._bucket_calls)
        return await self._join(call)

    async def grant(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        if amount < 1:
            raise ValueError(f"amount: expected 1 or more; got {amount}")
        name = f"{self._buckets}{key}".encode(errors="surrogatepass")
        reply = await self._ask(name, bucket_command(name, rate, burst, b"%d" % amount, b"1"))
        return read_bucket(reply, rate, burst, 1)

    async def take_window(self, key: str, limit: int, window_s: float, amount: int = 1) -> Taken:
        if not 1 <= amount <= limit:
            raise ValueError(f"amount: expected 1 to the limit of {limit}; got {amount}")
        if not 0 < window_s < _LONGEST_MS:
            raise ValueError(f"window_s: expected more than 0 seconds; got {window_s}")
        name = f"{self._windows}{key}".encode(errors="surrogatepass")
        if amount > 1:
            return read_window(await self._ask(name, window_command(name, limit, window_s, b"%d" % amount, b"0")))
        call = self._window_calls.get(name)
        if call is None or call.is_over or not call.is_for(limit, window_s):
            call = WindowCall(name, limit, window_s)
            self._share(call, self._window_calls)
        return await self._join(call)

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes, *, ttl_s: float | None = None
    ) -> bool:
        name = f"{self._values}{key}".encode(errors="surrogatepass")
        if expected is None:
            return await self._ask(name, pack(b"SET", name, value, b"NX", *_expiry(ttl_s))) is not None
        return bool(await self._ask(name, SWAP.call(name, expected, value, *_expiry(ttl_s)[1:])))

    async def publish(self, channel: str, message: bytes) -> None:
        name = f"{self._channel}{channel}".encode()
        await self._ask(name, pack(b"PUBLISH", name, message))

    def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        if self._subscriptions is None:
            raise StoreError("Redis is away: the store is not started")
        return self._subscriptions.subscribe(f"{self._channel}{channel}", self._tasks)

    async def acquire(self, key: str, holder: str, *, ttl_s: float) -> bool:
        name = f"{self._leases}{key}".encode(errors="surrogatepass")
        return bool(await self._ask(name, ACQUIRE.call(name, holder.encode(), _ms(ttl_s))))

    async def release(self, key: str, holder: str) -> bool:
        name = f"{self._leases}{key}".encode(errors="surrogatepass")
        return bool(await self._ask(name, RELEASE.call(name, holder.encode())))

    async def _ask(self, name: bytes, payload: bytes) -> Any:
        """Send a command and return its reply."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._send(Call(name, payload, future))
        return await self._answer(future)

    def _share(self, call: SharedCall, calls: dict[bytes, Any]) -> None:
        """Send `call`, and let others join it in this turn of the loop."""
        self._send(call)
        if not calls:
            asyncio.get_running_loop().call_soon(calls.clear)
        calls[call.key] = call

    async def _join(self, call: SharedCall) -> Taken:
        if self._waiting >= self.options.max_waiting:
            self._failures.value += 1
            raise StoreError(f"Too many calls wait for Redis: {self._waiting}")
        future: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        call.futures.append(future)
        return await self._answer(future)

    async def _answer(self, future: asyncio.Future[T]) -> T:
        """Wait for the reply of a call that was sent, and count it."""
        self._calls.value += 1
        self._waiting += 1
        try:
            return await future
        except StoreError:
            self._failures.value += 1
            raise
        finally:
            self._waiting -= 1

    def _send(self, call: Call) -> None:
        try:
            self._topology.send(call)
        except StoreError:
            self._calls.value += 1
            self._failures.value += 1
            raise


class _NotStarted:
    """What calls before the start meet."""

    async def start(self, tasks: Tasks) -> None:
        raise NotImplementedError

    def servers(self) -> Iterable[Server]:
        return ()

    async def listen(self, on_message: OnMessage) -> Listener:
        raise NotImplementedError

    def send(self, call: Call) -> None:
        raise StoreError("Redis is away: the store is not started")


def _expiry(ttl_s: float | None) -> tuple[bytes, ...]:
    return () if ttl_s is None else (b"PX", _ms(ttl_s))


def _ms(ttl_s: float) -> bytes:
    """Return milliseconds, rounded up; raises ValueError."""
    if not ttl_s > 0:
        raise ValueError(f"ttl_s: expected more than 0 seconds, or None; got {ttl_s}")
    return b"%d" % ceil(min(ttl_s * 1000, _LONGEST_MS))


def _is_no_counter(refusal: Refusal) -> bool:
    return "not an integer" in str(refusal) or "overflow" in str(refusal)


def _need_hiredis() -> None:
    try:
        importlib.import_module("hiredis")
    except ModuleNotFoundError:
        raise ValueError("expected the package hiredis (pip install 'meshwright[redis]'); got none") from None
