"""`Call`: a command on its way and who waits for its reply; connections go elsewhere."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any

from meshwright_plugins.stores.redis.resp import Refusal
from meshwright_plugins.stores.redis.scripts import BUCKET, WINDOW
from meshwright_sdk import Rate, StoreError, Taken

_ROUNDING = 1e-9
_STRANGE = (TypeError, ValueError, IndexError, OverflowError, StoreError)
_LATER_S = 2e-6
"""What is added to a wait that was told in whole microseconds, so that it is not too short by rounding."""


class Call:
    """A command whose reply one caller awaits; a caller that was cancelled is passed over.

    `sent_s` is set on the last one of each round trip, `tries` counts how often it was sent again.
    """

    __slots__ = ("_payload", "future", "key", "sent_s", "tries")

    def __init__(self, key: bytes, payload: bytes, future: asyncio.Future[Any]) -> None:
        self.key = key
        self.future = future
        self.sent_s = 0.0
        self.tries = 0
        self._payload = payload

    def encode(self) -> bytes:
        """Return what is sent."""
        return self._payload

    def answer(self, reply: Any) -> None:
        """Hand the reply to whoever waits."""
        if not self.future.done():
            self.future.set_result(reply)

    def fail(self, error: StoreError) -> None:
        """Raise `error` at whoever waits."""
        if not self.future.done():
            self.future.set_exception(error)

    def refuse(self, refusal: Refusal) -> None:
        """Raise a StoreError, whose cause is the refusal, at whoever waits."""
        error = StoreError(f"Redis refuses the call: {refusal}")
        error.__cause__ = refusal
        self.fail(error)


class UnawaitedCall(Call):
    """A command whose reply nobody needs."""

    __slots__ = ()

    def __init__(self, payload: bytes) -> None:
        self.key = b""
        self.sent_s = 0.0
        self.tries = 0
        self._payload = payload

    def answer(self, reply: Any) -> None:
        """Pass it over."""

    def fail(self, error: StoreError) -> None:
        """Pass it over."""


class SharedCall(Call, ABC):
    """Takings of one each from the same bucket or window in one turn of the loop, sent as one command.

    The first who came are granted what is there, just as if each had asked by itself. More may join until `is_over`.
    """

    __slots__ = ("futures", "is_over")

    futures: list[asyncio.Future[Taken]]
    is_over: bool

    def answer(self, reply: Any) -> None:
        """Tell each what it was granted."""
        try:
            answers = self.answers(reply)
            if len(answers) != len(self.futures):
                raise ValueError(reply)
        except _STRANGE:
            self.fail(_strange(reply))
            return
        for future, taken in zip(self.futures, answers, strict=True):
            if not future.done():
                future.set_result(taken)

    def fail(self, error: StoreError) -> None:
        """Raise the error at each."""
        self.is_over = True
        for future in self.futures:
            if not future.done():
                future.set_exception(error)

    def count(self) -> bytes:
        """Return how many still want one, and forget the others; nobody may join any more."""
        self.is_over = True
        self.futures = [future for future in self.futures if not future.done()]
        return b"%d" % len(self.futures)

    @abstractmethod
    def answers(self, reply: Any) -> list[Taken]:
        """Return what each was granted."""


class BucketCall(SharedCall):
    """Takings from one token bucket."""

    __slots__ = ("burst", "rate")

    def __init__(self, key: bytes, rate: Rate, burst: int) -> None:
        self.key = key
        self.futures = []
        self.is_over = False
        self.sent_s = 0.0
        self.tries = 0
        self.rate = rate
        self.burst = burst

    def is_for(self, rate: Rate, burst: int) -> bool:
        """Whether takings of such a bucket may join."""
        return self.burst == burst and (self.rate is rate or self.rate == rate)

    def encode(self) -> bytes:
        return bucket_command(self.key, self.rate, self.burst, self.count(), b"1")

    def answers(self, reply: Any) -> list[Taken]:
        granted, level = int(reply[0]), float(reply[1])
        per_second, burst = self.rate.per_second, self.burst
        if granted == 1 and len(self.futures) == 1:
            return [Taken(1, 0.0, int(level + _ROUNDING), (burst - level) / per_second)]
        levels = [level + granted - number for number in range(1, granted + 1)]
        taken = [Taken(1, 0.0, int(left + _ROUNDING), (burst - left) / per_second) for left in levels]
        refused = Taken(0, (1 - level) / per_second, int(level + _ROUNDING), (burst - level) / per_second)
        return taken + [refused] * (len(self.futures) - granted)


class WindowCall(SharedCall):
    """Takings from one sliding window."""

    __slots__ = ("limit", "window_s")

    def __init__(self, key: bytes, limit: int, window_s: float) -> None:
        self.key = key
        self.futures = []
        self.is_over = False
        self.sent_s = 0.0
        self.tries = 0
        self.limit = limit
        self.window_s = window_s

    def is_for(self, limit: int, window_s: float) -> bool:
        """Whether takings of such a window may join."""
        return self.limit == limit and self.window_s == window_s

    def encode(self) -> bytes:
        return window_command(self.key, self.limit, self.window_s, self.count(), b"1")

    def answers(self, reply: Any) -> list[Taken]:
        whole = read_window(reply)
        granted, free = whole.granted, whole.remaining
        taken = [
            whole._replace(granted=1, wait_s=0.0, remaining=free + granted - place - 1) for place in range(granted)
        ]
        return taken + [whole._replace(granted=0)] * (len(self.futures) - granted)


def bucket_command(key: bytes, rate: Rate, burst: int, amount: bytes, partly: bytes) -> bytes:
    """Return the command that takes from a bucket: all or nothing, or as many as there are (`1`)."""
    return BUCKET.limit(key, _limit(rate.count / rate.period_s / 1e6, burst), amount, partly)


def read_bucket(reply: Any, rate: Rate, burst: int, wanted: int) -> Taken:
    """Return what was granted, with the wait until there are `wanted`; raises StoreError."""
    try:
        granted, level = int(reply[0]), float(reply[1])
        wait_s = 0.0 if granted else (wanted - level) / rate.per_second
        return Taken(granted, wait_s, int(level + _ROUNDING), (burst - level) / rate.per_second)
    except _STRANGE:
        raise _strange(reply) from None


def window_command(key: bytes, limit: int, window_s: float, amount: bytes, partly: bytes) -> bytes:
    """Return the command that takes from a window: all or nothing, or as many as there are (`1`)."""
    return WINDOW.limit(key, _limit(limit, window_s * 1e6), amount, partly)


def read_window(reply: Any) -> Taken:
    """Return what was granted; raises StoreError."""
    try:
        granted, free, wait_us, reset_us = reply
        granted, free, wait_us, reset_us = int(granted), int(free), int(wait_us), int(reset_us)
    except _STRANGE:
        raise _strange(reply) from None
    return Taken(granted, wait_us / 1e6 + _LATER_S if wait_us else 0.0, free, reset_us / 1e6)


@lru_cache(maxsize=1_024)
def _limit(one: float, two: float) -> bytes:
    """Return two numbers as arguments; they are the same for thousands of calls."""
    return b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in (b"%r" % one, b"%r" % two))


def _strange(reply: Any) -> StoreError:
    return StoreError(f"Redis answers what was not asked: {reply!r:.100}")
