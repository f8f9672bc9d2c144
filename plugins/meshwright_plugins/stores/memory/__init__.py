"""`memory`: a store in the worker's own memory; anything that outlives or leaves the process is another store's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from math import inf

from pydantic import Field, PositiveInt

from meshwright_sdk import Channels, Context, Entries, Options, Rate, SlidingWindow, Store, Taken, TokenBucket


class MemoryOptions(Options):
    """Options of the memory store."""

    max_keys: PositiveInt = Field(
        100_000,
        description="Values and counters kept at most, and as many buckets, as many windows, and as many leases. When "
        "full, what has run out goes first, then what was used the longest ago; a lease is never forgotten, but no "
        "more are given.",
    )
    max_messages: PositiveInt = Field(
        1_000, description="Messages that wait for one slow subscriber at most; beyond it the oldest is lost."
    )


class Memory(Store[MemoryOptions]):
    """Keep everything in this worker: nothing is shared with other workers or nodes, or outlives the process.

    With several workers each counts for itself, so a limit holds for each worker.
    """

    shared = False

    def __init__(self, options: MemoryOptions, context: Context) -> None:
        super().__init__(options, context)
        self._now = context.clock.monotonic
        self._values: Entries[bytes] = Entries(options.max_keys)
        self._buckets: Entries[TokenBucket] = Entries(options.max_keys)
        self._windows: Entries[SlidingWindow] = Entries(options.max_keys)
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

    async def take(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        now = self._now()
        entry = self._buckets.get(key, now)
        bucket = entry.value if entry is not None else TokenBucket()
        taken = bucket.take(now, rate, burst, amount)
        self._buckets.put(key, bucket, now, now + taken.reset_s)
        return taken

    async def grant(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        now = self._now()
        entry = self._buckets.get(key, now)
        bucket = entry.value if entry is not None else TokenBucket()
        taken = bucket.grant(now, rate, burst, amount)
        self._buckets.put(key, bucket, now, now + taken.reset_s)
        return taken

    async def take_window(self, key: str, limit: int, window_s: float, amount: int = 1) -> Taken:
        now = self._now()
        entry = self._windows.get(key, now)
        window = entry.value if entry is not None else SlidingWindow()
        taken = window.take(now, limit, window_s, amount)
        self._windows.put(key, window, now, now + taken.reset_s)
        return taken

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
