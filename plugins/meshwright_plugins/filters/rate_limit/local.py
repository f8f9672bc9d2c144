"""`LocalLimit`: buckets or windows of this worker, by key and bounded in number; nothing here is shared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from meshwright_plugins.filters.rate_limit.options import RateLimitOptions
from meshwright_sdk import Rate
from meshwright_sdk.limits import SlidingWindow, Taken, TokenBucket

T = TypeVar("T")


class Recent(Generic[T]):
    """Something for each key, made when it is first asked for; at most `most` are kept.

    They are in two generations. When the young one is full, the old one is forgotten and they change places: what was
    not asked for in the meantime is gone. So a look-up of a known key costs no more than that of a dictionary.
    """

    __slots__ = ("_make", "_old", "_room", "_young")

    def __init__(self, make: Callable[[], T], most: int) -> None:
        self._make = make
        self._room = max(1, most // 2)
        self._young: dict[str, T] = {}
        self._old: dict[str, T] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def of(self, key: str) -> T:
        """Return what is kept for `key`."""
        known = self._young.get(key)
        return known if known is not None else self._revived(key)

    def _revived(self, key: str) -> T:
        value = self._old.pop(key, None) or self._make()
        if len(self._young) >= self._room:
            self._old, self._young = self._young, {}
        self._young[key] = value
        return value


class LocalLimit:
    """The limit of the options, counted in this worker alone; `take(key)` takes one, and costs no wait."""

    __slots__ = ("_keys", "take")

    def __init__(self, options: RateLimitOptions, now: Callable[[], float]) -> None:
        self._keys: Recent[TokenBucket] | Recent[SlidingWindow]
        self.take: Callable[[str], Taken]
        if options.rate is not None:
            buckets = self._keys = Recent(TokenBucket, options.max_keys)
            self.take = _taking_tokens(buckets.of, options.rate, options.quota, now)
        else:
            windows = self._keys = Recent(SlidingWindow, options.max_keys)
            self.take = _taking_of_window(windows.of, options.quota, options.window_s, now)

    def __len__(self) -> int:
        return len(self._keys)


def _taking_tokens(
    bucket: Callable[[str], TokenBucket], rate: Rate, burst: int, now: Callable[[], float]
) -> Callable[[str], Taken]:
    return lambda key: bucket(key).take(now(), rate, burst)


def _taking_of_window(
    window: Callable[[str], SlidingWindow], limit: int, window_s: float, now: Callable[[], float]
) -> Callable[[str], Taken]:
    return lambda key: window(key).take(now(), limit, window_s)
