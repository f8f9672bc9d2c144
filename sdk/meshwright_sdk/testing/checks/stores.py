"""`check_store`: values, counters, buckets, windows, messages and leases, as every store has to keep them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

from meshwright_sdk.limits import Taken
from meshwright_sdk.store import AnyStore
from meshwright_sdk.testing.checks.claims import Wait, calling, claim, iterator_of, next_of, refusing, running
from meshwright_sdk.units import Rate

_SHORT_S = 0.3
_AFTER_S = 0.5


async def check_store(store: AnyStore, *, wait: Wait = asyncio.sleep) -> None:
    """Run `store` through its contract; raises AssertionError that says what to mend.

    `wait` lets time go by: `asyncio.sleep`, or `clock.advance` of the ManualClock the store was built with. The
    store is started and closed; the keys it is tried with are new ones, and most are left to run out.
    """
    async with running(store):
        for check in _CHECKS:
            with calling(f"store, {check.__name__.strip('_')}", "every operation to be done"):
                await check(store, f"check:{uuid4()}:é", wait)
        await _refusals(store, f"check:{uuid4()}")


async def _values(store: AnyStore, key: str, wait: Wait) -> None:
    await _expect("get of no value", store.get(key), None)
    for value in (b"", b"\x00\xff\n", b"x" * 100_000):
        await store.set(key, value, ttl_s=60)
        await _expect("get after set", store.get(key), value)
    await _expect("delete of a value", store.delete(key), True)
    await _expect("delete of no value", store.delete(key), False)
    await _expect("get after delete", store.get(key), None)


async def _times(store: AnyStore, key: str, wait: Wait) -> None:
    await store.set(key, b"1", ttl_s=60)
    await _expect("get within the time to live", store.get(key), b"1")
    await store.set(f"{key}1", b"1", ttl_s=_SHORT_S)
    await store.set(f"{key}2", b"2", ttl_s=_SHORT_S)
    await store.set(f"{key}2", b"3")
    await wait(_AFTER_S)
    await _expect("get after the time to live", store.get(f"{key}1"), None)
    await _expect("get of a value that was set again without a time to live", store.get(f"{key}2"), b"3")
    await store.delete(f"{key}2")


async def _counters(store: AnyStore, key: str, wait: Wait) -> None:
    await _expect("increment of no counter", store.increment(key, ttl_s=60), 1)
    await _expect("increment by 5", store.increment(key, 5, ttl_s=60), 6)
    await _expect("increment by -2", store.increment(key, -2, ttl_s=60), 4)
    await _expect("get of a counter, as its digits", store.get(key), b"4")
    await _in_time(_times_of_a_counter, store, f"{key}1", wait)
    counts = await asyncio.gather(*(store.increment(f"{key}2", ttl_s=60) for _ in range(50)))
    claim(
        "50 increments at once",
        sorted(counts) == [*range(1, 51)],
        "each number from 1 to 50 once",
        repr(sorted(counts)),
    )


async def _times_of_a_counter(store: AnyStore, key: str, wait: Wait, longer: int) -> None:
    await _expect("increment of no counter", store.increment(key, ttl_s=longer * _SHORT_S), 1)
    await _expect("increment of a counter", store.increment(key, ttl_s=60), 2)
    await wait(longer * _AFTER_S)
    await _expect(
        "increment after the time to live, which is set when the counter is made",
        store.increment(key, ttl_s=60),
        1,
    )


async def _exchanges(store: AnyStore, key: str, wait: Wait) -> None:
    swap = store.compare_and_set
    await _expect("compare_and_set of no value with a wrong guess", swap(key, b"1", b"2"), False)
    await _expect("get after a compare_and_set that did nothing", store.get(key), None)
    await _expect("compare_and_set of no value with None", swap(key, None, b"1", ttl_s=60), True)
    await _expect("compare_and_set of a value with None", swap(key, None, b"2"), False)
    await _expect("compare_and_set of a value with another", swap(key, b"2", b"3"), False)
    await _expect("compare_and_set of a value with itself", swap(key, b"1", b"2", ttl_s=60), True)
    await _expect("get after compare_and_set", store.get(key), b"2")
    await _expect("compare_and_set with a time to live", swap(key, b"2", b"3", ttl_s=_SHORT_S), True)
    await wait(_AFTER_S)
    await _expect("get after the time to live of compare_and_set", store.get(key), None)
    won = await asyncio.gather(*(swap(f"{key}2", None, b"%d" % number, ttl_s=60) for number in range(20)))
    claim("20 times compare_and_set at once", won.count(True) == 1, "one of them to win", f"{won.count(True)} winners")


async def _buckets(store: AnyStore, key: str, wait: Wait) -> None:
    rate = Rate("1/h")
    taken = await asyncio.gather(*(store.take(key, rate, 5) for _ in range(20)))
    claim("take", all(isinstance(each, Taken) for each in taken), "a Taken", repr(taken[0]))
    granted = [each.granted for each in taken]
    claim("20 times take of a burst of 5", granted.count(1) == 5, "1 granted for 5 of them", f"granted {granted}")
    left = sorted(each.remaining for each in taken if each)
    claim("remaining of take", left == [0, 1, 2, 3, 4], "what is left after each of the 5", repr(left))
    claim(
        "take of an empty bucket that gets one an hour",
        all(3000 < each.wait_s <= 3600 and each.remaining == 0 for each in taken if not each),
        "the seconds until there is one, about 3600, and none remaining",
        repr(next(each for each in taken if not each)),
    )
    await _is_granted("take from another bucket", store.take(f"{key}2", rate, 5, 4), 4)
    refused = await store.take(f"{key}2", rate, 5, 2)
    told = refused.granted == 0 and 3000 < refused.wait_s <= 3600 and refused.remaining == 1
    claim(
        "take of 2 tokens where 1 is left", told, "0 granted, the seconds until there are 2, 1 remaining", repr(refused)
    )
    claim("reset_s of take", 14_000 < refused.reset_s <= 14_400, "the seconds until it is full", repr(refused.reset_s))
    await _is_granted("take of the 1 token, as a refused take takes nothing", store.take(f"{key}2", rate, 5), 1)


async def _grants(store: AnyStore, key: str, wait: Wait) -> None:
    rate = Rate("1/h")
    await _is_granted("grant of 3 from a burst of 5", store.grant(key, rate, 5, 3), 3)
    await _is_granted("grant of 100 where 2 are left", store.grant(key, rate, 5, 100), 2)
    empty = await store.grant(key, rate, 5, 100)
    told = empty.granted == 0 and 3000 < empty.wait_s <= 3600
    claim("grant of an empty bucket", told, "0 granted and the seconds until there is one", repr(empty))
    await _is_granted("take from a bucket that grants have emptied", store.take(key, rate, 5), 0)
    grants = await asyncio.gather(*(store.grant(f"{key}2", rate, 50, 4) for _ in range(20)))
    total = sum(each.granted for each in grants)
    claim("20 times grant of 4 from a burst of 50", total == 50, "50 granted together", f"{total} granted")


async def _windows(store: AnyStore, key: str, wait: Wait) -> None:
    for name, limit, times in (("few", 5, 20), ("many", 100, 130)):
        taken = await asyncio.gather(*(store.take_window(f"{key}{name}", limit, 3600) for _ in range(times)))
        claim("take_window", all(isinstance(each, Taken) for each in taken), "a Taken", repr(taken[0]))
        total = sum(each.granted for each in taken)
        claim(f"{times} times take_window of {limit}", total == limit, f"{limit} granted", f"{total} granted")
        left = sorted(each.remaining for each in taken if each)
        claim("remaining of take_window", left == [*range(limit)], "what is left after each", repr(left[:5]))
    refused = await store.take_window(f"{key}few", 5, 3600, 2)
    told = 3000 < refused.wait_s <= 3601 and refused.remaining == 0 and 3000 < refused.reset_s <= 3601
    claim("take_window of a full window", told, "the seconds until 2 are over, about 3600, 0 remaining", repr(refused))
    await _is_granted("take_window of 4 of 5", store.take_window(f"{key}2", 5, 3600, 4), 4)
    await _is_granted("take_window of 2 where 1 is left", store.take_window(f"{key}2", 5, 3600, 2), 0)
    await _is_granted("take_window of the 1, as a refused one takes nothing", store.take_window(f"{key}2", 5, 3600), 1)


async def _sliding(store: AnyStore, key: str, wait: Wait) -> None:
    await _in_time(_slides, store, key, wait)


async def _slides(store: AnyStore, key: str, wait: Wait, longer: int) -> None:
    """Two are taken late in the window: where it begins anew instead of sliding, two more would be granted early."""
    half_s = longer * _AFTER_S
    await _is_granted("take_window", store.take_window(key, 2, 2 * half_s), 1)
    await wait(1.2 * half_s)
    await _is_granted("take_window", store.take_window(key, 2, 2 * half_s), 1)
    first = await store.take_window(key, 2, 2 * half_s)
    claim("take_window before the first is over", not first and first.wait_s <= half_s, "a short wait", repr(first))
    await wait(first.wait_s)
    await _is_granted("take_window after the wait that it told", store.take_window(key, 2, 2 * half_s), 1)
    await _is_granted("take_window when only the first is over", store.take_window(key, 2, 2 * half_s), 0)


async def _told_waits(store: AnyStore, key: str, wait: Wait) -> None:
    rate = Rate("7/s")
    for number in range(5):
        taken = await (store.take(key, rate, 1) if number % 2 else store.grant(key, rate, 1, 3))
        if not taken:
            told = 0 < taken.wait_s <= 1 / 7 + 1e-6
            claim("take of a bucket that gets 7 a second", told, "1/7 s at most", repr(taken.wait_s))
            await wait(taken.wait_s)
            await _is_granted("take after the wait that it told", store.take(key, rate, 1), 1)


async def _messages(store: AnyStore, key: str, wait: Wait) -> None:
    await store.publish(key, b"before anybody listens")
    early, _ = await _listener(store, key, wait)
    late, first = await _listener(store, key, wait)
    claim("subscribe", first == b"hello", "nothing that was published before", repr(first))
    other, _ = await _listener(store, f"{key}2", wait)
    for message in (b"begin", b"one", b"", b"\x00\xff"):
        await store.publish(key, message)
    await store.publish(f"{key}2", b"elsewhere")
    for subscriber in (early, late):
        await _skip_to(b"begin", subscriber)
        got = [await _heard(subscriber) for _ in range(3)]
        claim("subscribe", got == [b"one", b"", b"\x00\xff"], "each message in order, for each subscriber", repr(got))
    got = await _heard(other)
    claim("subscribe to another channel", got == b"elsewhere", "its own messages alone", repr(got))


async def _listener(store: AnyStore, channel: str, wait: Wait) -> tuple[AsyncIterator[Any], Any]:
    """Return a subscriber and its first message, when all that has been published so far is behind it.

    Servers may hear of a subscriber, and of a message at another server, with a delay.
    """
    subscriber = iterator_of("subscribe()", store.subscribe(channel))
    first = store.context.tasks.spawn(_heard(subscriber), name="first message")
    while not first.done():
        await store.publish(channel, b"hello")
        await wait(_SHORT_S / 10)
    last = uuid4().bytes
    await store.publish(channel, last)
    await _skip_to(last, subscriber)
    return subscriber, await first


async def _skip_to(message: bytes, subscriber: AsyncIterator[Any]) -> None:
    while await _heard(subscriber) != message:
        pass


async def _heard(subscriber: AsyncIterator[Any]) -> Any:
    return await next_of("subscribe", subscriber, "what is published from then on")


async def _leases(store: AnyStore, key: str, wait: Wait) -> None:
    won = await asyncio.gather(*(store.acquire(key, f"{number}", ttl_s=60) for number in range(20)))
    claim("20 times acquire at once", won.count(True) == 1, "one holder", f"{won.count(True)} holders")
    holder = str(won.index(True))
    await _expect("release by another", store.release(key, "another"), False)
    await _expect("acquire by another", store.acquire(key, "another", ttl_s=60), False)
    await _expect("acquire by the holder, which renews", store.acquire(key, holder, ttl_s=_SHORT_S), True)
    await wait(_AFTER_S)
    await _expect("release of a lease that has run out", store.release(key, holder), False)
    await _expect("acquire of a lease that has run out", store.acquire(key, "another", ttl_s=60), True)
    await _expect("release by the holder", store.release(key, "another"), True)
    await _expect("acquire after release", store.acquire(key, holder, ttl_s=_SHORT_S), True)


async def _spaces(store: AnyStore, key: str, wait: Wait) -> None:
    await store.set(key, b"1", ttl_s=60)
    await _expect("acquire of a lease with the key of a value", store.acquire(key, "me", ttl_s=_SHORT_S), True)
    await _is_granted("take from a bucket with the key of a value", store.take(key, Rate("1/s"), 1), 1)
    await _is_granted("take_window with the key of a bucket", store.take_window(key, 1, 1), 1)
    await _expect("get of a value with the key of a lease and a bucket", store.get(key), b"1")
    await store.delete(key)


async def _refusals(store: AnyStore, key: str) -> None:
    for ttl_s in (0, -1.0):
        with refusing(f"set with ttl_s={ttl_s}", "a time to live is above 0"):
            await store.set(key, b"1", ttl_s=ttl_s)
        with refusing(f"increment with ttl_s={ttl_s}", "a time to live is above 0"):
            await store.increment(key, ttl_s=ttl_s)
        with refusing(f"compare_and_set with ttl_s={ttl_s}", "a time to live is above 0"):
            await store.compare_and_set(key, None, b"1", ttl_s=ttl_s)
        with refusing(f"acquire with ttl_s={ttl_s}", "a time to live is above 0"):
            await store.acquire(key, "me", ttl_s=ttl_s)
    for amount in (0, 4):
        with refusing(f"take of {amount} from a burst of 3", "1 to the burst can be taken"):
            await store.take(key, Rate("1/s"), 3, amount)
        with refusing(f"take_window of {amount} from a limit of 3", "1 to the limit can be taken"):
            await store.take_window(key, 3, 1, amount)
    with refusing("grant of 0", "1 or more can be granted"):
        await store.grant(key, Rate("1/s"), 3, 0)
    for window_s in (0, -1.0):
        with refusing(f"take_window with window_s={window_s}", "a window is longer than 0"):
            await store.take_window(key, 3, window_s)
    await store.set(key, b"shop", ttl_s=60)
    with refusing("increment of b'shop'", "it is no counter"):
        await store.increment(key)
    await store.delete(key)


_CHECKS = (
    _values,
    _times,
    _counters,
    _exchanges,
    _buckets,
    _grants,
    _windows,
    _sliding,
    _told_waits,
    _messages,
    _leases,
    _spaces,
)


async def _in_time(
    check: Callable[[AnyStore, str, Wait, int], Awaitable[None]], store: AnyStore, key: str, wait: Wait
) -> None:
    """Run a check that says something only if all but its waits takes less than `_SHORT_S`.

    Where a store, or the machine, is slower than that and the check fails, it is run again with all times longer.
    """
    now = store.context.clock.monotonic
    for longer in (1, 2, 4, 8, 16):
        waits = _Waits(wait)
        begun = now()
        try:
            await check(store, f"{key}{longer}", waits, longer)
        except AssertionError:
            if longer == 16 or now() - begun - waits.total_s < longer * _SHORT_S:
                raise
        else:
            return


class _Waits:
    """Waits, and knows for how long in all."""

    def __init__(self, wait: Wait) -> None:
        self.total_s = 0.0
        self._wait = wait

    async def __call__(self, seconds: float) -> None:
        self.total_s += seconds
        await self._wait(seconds)


async def _is_granted(where: str, operation: Any, amount: int) -> None:
    got = await operation
    claim(where, isinstance(got, Taken) and got.granted == amount, f"a Taken with {amount} granted", repr(got))


async def _expect(where: str, operation: Any, expected: object) -> None:
    got = await operation
    claim(where, got == expected and type(got) is type(expected), repr(_short(expected)), repr(_short(got)))


def _short(value: object) -> object:
    return value[:20] + b"..." if isinstance(value, bytes) and len(value) > 40 else value
