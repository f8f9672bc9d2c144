"""`memory`: a store in the worker's own memory; anything that outlives or leaves the process is another store's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from math import inf

from pydantic import Field, PositiveInt

from meshwright_plugins.stores.memory.channels import Channels
from meshwright_plugins.stores.memory.entries import Entries
from meshwright_sdk import Context, Options, Rate, Store

_ROUNDING = 1e-9
"""The part of a token that the rounding of times may hide: who waited as long as told is never sent away again."""


class MemoryOptions(Options):
    """Options of the memory store."""

    max_keys: PositiveInt = Field(
        100_000,
        description="Values and counters kept at most, and as many buckets, and as many leases. When full, what has "
        "run out goes first, then what was used the longest ago; a lease is never forgotten, but no more are given.",
    )
    max_messages: PositiveInt = Field(
        1_000, description="Messages that wait for one slow subscriber at most; beyond it the oldest is lost."
    )


class Memory(Store[MemoryOptions]):
    """Keep everything in this worker: nothing is shared with other workers or nodes, or outlives the process.

    With several workers each counts for itself, so a limit holds for each worker.
    """

    def __init__(self, options: MemoryOptions, context: Context) -> None:
        super().__init__(options, context)
        self._now = context.clock.monotonic
        self._values: Entries[bytes] = Entries(options.max_keys)
        self._buckets: Entries[tuple[float, float]] = Entries(options.max_keys)
        self._leases: dict[str, tuple[str, float]] = {}
        self._channels = Channels(options.max_messages)

    async def close(self) -> None:
        self._channels.close()

    async def get(self, key: str) -> bytes | None:
        entry = self._values.get(key, self._now())
        return None if entry is None else entry.value

    async def set(self, key: str, value: bytes, *, ttl_s: float | None = None) -> None:
        now = self._now()
        self._values.put(key, value, now, _end(now, ttl_s))

    async def delete(self, key: str) -> bool:
        return self._values.pop(key, self._now())

    async def increment(self, key: str, amount: int = 1, *, ttl_s: float | None = None) -> int:
        now = self._now()
        ends = _end(now, ttl_s)
        entry = self._values.get(key, now)
        count = amount + (_count(key, entry.value) if entry is not None else 0)
        self._values.put(key, b"%d" % count, now, entry.ends if entry is not None else ends)
        return count

    async def take(self, key: str, rate: Rate, burst: int, amount: int = 1) -> float:
        if not 1 <= amount <= burst:
            raise ValueError(f"amount: expected 1 to the burst of {burst}; got {amount}")
        now, per_second = self._now(), rate.per_second
        entry = self._buckets.get(key, now)
        tokens, since = entry.value if entry is not None else (burst, now)
        tokens = min(burst, tokens + (now - since) * per_second)
        if tokens + _ROUNDING < amount:
            return (amount - tokens) / per_second
        left = max(0.0, tokens - amount)
        self._buckets.put(key, (left, now), now, now + (burst - left) / per_second)
        return 0.0

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes, *, ttl_s: float | None = None
    ) -> bool:
        now = self._now()
        ends = _end(now, ttl_s)
        entry = self._values.get(key, now)
        if (None if entry is None else entry.value) != expected:
            return False
        self._values.put(key, value, now, ends)
        return True

    async def publish(self, channel: str, message: bytes) -> None:
        self._channels.publish(channel, message)

    def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        return self._channels.subscribe(channel)

    async def acquire(self, key: str, holder: str, *, ttl_s: float) -> bool:
        now = self._now()
        ends = _end(now, ttl_s)
        owner, until = self._leases.get(key, (holder, 0.0))
        if owner != holder and until > now:
            return False
        if key not in self._leases and not self._has_room_for_a_lease(now):
            return False
        self._leases[key] = (holder, ends)
        return True

    async def release(self, key: str, holder: str) -> bool:
        owner, until = self._leases.get(key, ("", 0.0))
        if owner != holder or until <= self._now():
            return False
        del self._leases[key]
        return True

    def _has_room_for_a_lease(self, now: float) -> bool:
        if len(self._leases) < self.options.max_keys:
            return True
        self._leases = {key: lease for key, lease in self._leases.items() if lease[1] > now}
        return len(self._leases) < self.options.max_keys


def _end(now: float, ttl_s: float | None) -> float:
    if ttl_s is None:
        return inf
    if not ttl_s > 0:
        raise ValueError(f"ttl_s: expected more than 0 seconds, or None; got {ttl_s}")
    return now + ttl_s


def _count(key: str, value: bytes) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"key {key!r}: expected a counter; got {value[:40]!r}") from None
