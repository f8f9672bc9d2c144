"""`check_store`: values, counters, buckets, messages and leases, as every store has to keep them."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

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
        for check in (_values, _times, _counters, _exchanges, _buckets, _told_waits, _messages, _leases, _spaces):
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
    await store.set(f"{key}1", b"1", ttl_s=_SHORT_S)
    await store.set(f"{key}2", b"2", ttl_s=_SHORT_S)
    await store.set(f"{key}2", b"3")
    await _expect("get within the time to live", store.get(f"{key}1"), b"1")
    await wait(_AFTER_S)
    await _expect("get after the time to live", store.get(f"{key}1"), None)
    await _expect("get of a value that was set again without a time to live", store.get(f"{key}2"), b"3")
    await store.delete(f"{key}2")


async def _counters(store: AnyStore, key: str, wait: Wait) -> None:
    await _expect("increment of no counter", store.increment(key, ttl_s=_SHORT_S), 1)
    await _expect("increment by 5", store.increment(key, 5, ttl_s=60), 6)
    await _expect("increment by -2", store.increment(key, -2, ttl_s=60), 4)
    await _expect("get of a counter, as its digits", store.get(key), b"4")
    await wait(_AFTER_S)
    await _expect(
        "increment after the time to live, which is set when the counter is made",
        store.increment(key, ttl_s=60),
        1,
    )
    counts = await asyncio.gather(*(store.increment(f"{key}2", ttl_s=60) for _ in range(50)))
    claim(
        "50 increments at once",
        sorted(counts) == [*range(1, 51)],
        "each number from 1 to 50 once",
        repr(sorted(counts)),
    )


async def _exchanges(store: AnyStore, key: str, wait: Wait) -> None:
    swap = store.compare_and_set
    await _expect("compare_and_set of no value with a wrong guess", swap(key, b"1", b"2"), False)
    await _expect("get after a compare_and_set that did nothing", store.get(key), None)
    await _expect("compare_and_set of no value with None", swap(key, None, b"1", ttl_s=60), True)
    await _expect("compare_and_set of a value with None", swap(key, None, b"2"), False)
    await _expect("compare_and_set of a value with another", swap(key, b"2", b"3"), False)
    await _expect("compare_and_set of a value with itself", swap(key, b"1", b"2", ttl_s=_SHORT_S), True)
    await _expect("get after compare_and_set", store.get(key), b"2")
    await wait(_AFTER_S)
    await _expect("get after the time to live of compare_and_set", store.get(key), None)
    won = await asyncio.gather(*(swap(f"{key}2", None, b"%d" % number, ttl_s=60) for number in range(20)))
    claim("20 times compare_and_set at once", won.count(True) == 1, "one of them to win", f"{won.count(True)} winners")


async def _buckets(store: AnyStore, key: str, wait: Wait) -> None:
    rate = Rate("1/h")
    waits = await asyncio.gather(*(store.take(key, rate, 5) for _ in range(20)))
    claim("20 times take of a burst of 5", waits.count(0.0) == 5, "0.0 for 5 of them", f"{waits.count(0.0)} times 0.0")
    claim(
        "take of an empty bucket that gets one an hour",
        all(3000 < wait_s <= 3600 for wait_s in waits if wait_s),
        "the seconds until there is one, about 3600",
        repr(max(waits)),
    )
    await _expect("take from another bucket", store.take(f"{key}2", rate, 5, 4), 0.0)
    too_many = await store.take(f"{key}2", rate, 5, 2)
    claim("take of 2 tokens where 1 is left", 3000 < too_many <= 3600, "the seconds until there are 2", repr(too_many))
    await _expect("take of the 1 token, as a refused take takes nothing", store.take(f"{key}2", rate, 5), 0.0)


async def _told_waits(store: AnyStore, key: str, wait: Wait) -> None:
    rate = Rate("7/s")
    for _ in range(5):
        wait_s = await store.take(key, rate, 1)
        if wait_s:
            claim("take of a bucket that gets 7 a second", 0 < wait_s <= 1 / 7 + 1e-6, "1/7 s at most", repr(wait_s))
            await wait(wait_s)
            await _expect("take after the wait that it told", store.take(key, rate, 1), 0.0)


async def _messages(store: AnyStore, key: str, wait: Wait) -> None:
    await store.publish(key, b"before anybody listens")
    first, second = (iterator_of("subscribe()", store.subscribe(key)) for _ in range(2))
    other = iterator_of("subscribe()", store.subscribe(f"{key}2"))
    await wait(_AFTER_S)
    for message in (b"one", b"", b"\x00\xff"):
        await store.publish(key, message)
    await store.publish(f"{key}2", b"elsewhere")
    for subscriber in (first, second):
        got = [await next_of("subscribe", subscriber, "what is published from then on") for _ in range(3)]
        claim("subscribe", got == [b"one", b"", b"\x00\xff"], "each message in order, for each subscriber", repr(got))
    got = await next_of("subscribe", other, "what is published from then on")
    claim("subscribe to another channel", got == b"elsewhere", "its own messages alone", repr(got))


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
    await _expect("take from a bucket with the key of a value", store.take(key, Rate("1/s"), 1), 0.0)
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
    await store.set(key, b"shop", ttl_s=_SHORT_S)
    with refusing("increment of b'shop'", "it is no counter"):
        await store.increment(key)
    await store.delete(key)


async def _expect(where: str, operation: Any, expected: object) -> None:
    got = await operation
    claim(where, got == expected and type(got) is type(expected), repr(_short(expected)), repr(_short(got)))


def _short(value: object) -> object:
    return value[:20] + b"..." if isinstance(value, bytes) and len(value) > 40 else value
