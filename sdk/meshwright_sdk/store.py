"""`Store`: state shared by filters, workers and nodes, as a contract; the systems are plugins."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from meshwright_sdk.limits import Taken
from meshwright_sdk.plugin import O_co, Plugin
from meshwright_sdk.units import Rate


class Store(Plugin[O_co]):
    """Values with a time to live, counters, token buckets, sliding windows, messages and leases.

    Keys are text, values bytes. A time to live is in seconds; None keeps the value; raises ValueError unless
    it is greater than 0. Values and counters share their keys (a counter reads as its decimal digits); buckets,
    windows, leases and channels have keys of their own. Every operation is atomic. Whether workers and nodes share what
    is stored is the plugin's to document, and so is what a full store forgets.

    Every operation of a store that is elsewhere raises StoreError, and within a bounded time, when that cannot be
    reached or does not answer, or too many calls are waiting; what was to be done may have been done by then. It
    recovers by itself. A subscription does not end meanwhile, and misses what is published.
    """

    shared: ClassVar[bool] = True
    """Whether what is stored is there for all workers, and after a restart; filters warn where they need that."""

    @abstractmethod
    async def get(self, key: str) -> bytes | None:
        """Return the value, or None when there is none or its time is over."""

    @abstractmethod
    async def set(self, key: str, value: bytes, *, ttl_s: float | None = None) -> None:
        """Store the value in place of any before it."""

    @abstractmethod
    async def delete(self, key: str) -> bool:
        """Remove the value; return whether there was one."""

    @abstractmethod
    async def increment(self, key: str, amount: int = 1, *, ttl_s: float | None = None) -> int:
        """Add to a counter that starts at 0 and return it; the time to live is set when the counter is made.

        Raises ValueError for a value that is no counter.
        """

    @abstractmethod
    async def take(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        """Take `amount` tokens of a bucket that holds `burst` and fills at `rate`: all of them or none.

        `wait_s` of a refusal tells when they could be taken. Raises ValueError for an amount below 1, and above the
        burst, which no bucket could ever hold.
        """

    async def grant(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        """Take as many tokens of the bucket of `take` as there are, up to `amount`; `granted` says how many.

        When there is none, `wait_s` tells when there is one. Raises ValueError for an amount below 1. Unless a
        store does better, this is several `take`s where others take from the bucket at the same time.
        """
        if amount < 1:
            raise ValueError(f"amount: expected 1 or more; got {amount}")
        wanted = min(amount, burst)
        while not (taken := await self.take(key, rate, burst, wanted)) and wanted > 1:
            wanted = max(1, min(wanted - 1, taken.remaining))
        return taken

    @abstractmethod
    async def take_window(self, key: str, limit: int, window_s: float, amount: int = 1) -> Taken:
        """Take `amount` of the `limit` that any span of `window_s` seconds may have: all of them or nothing.

        There are never more than the limit in such a span, by the store's clock; a taking may count up to 1/64
        of the window longer. The memory of a key is bounded, whatever the limit (SlidingWindow does all this).
        Raises ValueError for an amount below 1 or above the limit, and unless `window_s` is above 0.
        """

    @abstractmethod
    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes, *, ttl_s: float | None = None
    ) -> bool:
        """Store `value` if the present one equals `expected` (None: there is none); return whether it did."""

    @abstractmethod
    async def publish(self, channel: str, message: bytes) -> None:
        """Send `message` to whoever subscribes to `channel` at this moment.

        One who begins to while it is under way between servers may get it too.
        """

    @abstractmethod
    def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        """Iterate over the messages of `channel` from now on; a slow reader loses the oldest beyond a bound."""

    @abstractmethod
    async def acquire(self, key: str, holder: str, *, ttl_s: float) -> bool:
        """Take or renew the lease `key` for `holder`; return whether `holder` has it for `ttl_s` from now."""

    @abstractmethod
    async def release(self, key: str, holder: str) -> bool:
        """Give the lease back; return whether `holder` had it."""


AnyStore = Store[Any]
