from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meshwright_plugins.stores.memory import Memory
from meshwright_sdk import Rate, Taken
from meshwright_sdk.testing import ManualClock, build, check_store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> Memory:
    return build(Memory, clock=clock)


async def test_a_value_is_kept_until_its_time_is_over(store: Memory, clock: ManualClock) -> None:
    await store.set("kept", b"1")
    await store.set("short", b"2", ttl_s=5)
    await clock.advance(4.9)
    before = (await store.get("kept"), await store.get("short"))
    await clock.advance(0.1)

    assert before == (b"1", b"2")
    assert (await store.get("kept"), await store.get("short"), await store.get("none")) == (b"1", None, None)


async def test_setting_again_replaces_value_and_time(store: Memory, clock: ManualClock) -> None:
    await store.set("key", b"1", ttl_s=1)
    await store.set("key", b"2")
    await clock.advance(10)

    assert await store.get("key") == b"2"


async def test_deleting_says_whether_there_was_a_value(store: Memory, clock: ManualClock) -> None:
    await store.set("key", b"1", ttl_s=1)

    assert (await store.delete("key"), await store.delete("key")) == (True, False)

    await store.set("key", b"1", ttl_s=1)
    await clock.advance(1)

    assert await store.delete("key") is False


async def test_a_counter_starts_at_zero_and_keeps_the_time_of_its_making(store: Memory, clock: ManualClock) -> None:
    counts = [await store.increment("hits", ttl_s=10), await store.increment("hits", 5, ttl_s=10)]
    await clock.advance(6)
    counts.append(await store.increment("hits", -2, ttl_s=10))
    read = await store.get("hits")
    await clock.advance(4)
    counts.append(await store.increment("hits"))

    assert (counts, read) == ([1, 6, 4, 1], b"4")


async def test_a_value_that_is_no_counter_is_named(store: Memory) -> None:
    await store.set("name", b"shop")

    with pytest.raises(ValueError, match="key 'name': expected a counter; got b'shop'"):
        await store.increment("name")


async def test_a_bucket_gives_its_burst_and_then_its_rate(store: Memory, clock: ManualClock) -> None:
    rate = Rate("2/s")
    at_once = [await store.take("client", rate, 3) for _ in range(4)]
    await clock.advance(0.5)
    later = [await store.take("client", rate, 3) for _ in range(2)]

    assert at_once == [Taken(1, 0.0, 2, 0.5), Taken(1, 0.0, 1, 1.0), Taken(1, 0.0, 0, 1.5), Taken(0, 0.5, 0, 1.5)]
    assert [taken.wait_s for taken in later] == [0.0, 0.5]


async def test_a_grant_and_a_taking_share_a_bucket(store: Memory) -> None:
    rate = Rate("1/s")
    await store.take("client", rate, 5, 2)

    assert await store.grant("client", rate, 5, 10) == Taken(3, 0.0, 0, 5.0)
    assert await store.take("client", rate, 5) == Taken(0, 1.0, 0, 5.0)


async def test_a_rested_bucket_is_forgotten_and_full(store: Memory, clock: ManualClock) -> None:
    await store.take("client", Rate("1/s"), 3, 3)
    await clock.advance(3)
    await store.take("other", Rate("1/s"), 3)

    assert len(store._buckets) == 1
    assert await store.take("client", Rate("1/s"), 3, 3)


async def test_a_window_counts_until_it_is_over(store: Memory, clock: ManualClock) -> None:
    first = await store.take_window("client", 2, 10)
    await clock.advance(4)
    second, third = [await store.take_window("client", 2, 10) for _ in range(2)]
    await clock.advance(third.wait_s)
    fourth, fifth = [await store.take_window("client", 2, 10) for _ in range(2)]

    assert (first, second) == (Taken(1, 0.0, 1, 10.0), Taken(1, 0.0, 0, 10.0))
    assert third == pytest.approx((0, 6.0, 0, 10.0))
    assert fourth.granted == 1
    assert fifth == pytest.approx((0, 4.0, 0, 10.0))


async def test_a_window_that_is_over_is_forgotten(store: Memory, clock: ManualClock) -> None:
    await store.take_window("client", 2, 10)
    await clock.advance(10)
    await store.take_window("other", 2, 10)

    assert len(store._windows) == 1


async def test_only_the_expected_value_is_replaced(store: Memory, clock: ManualClock) -> None:
    results = [
        await store.compare_and_set("key", b"1", b"2"),
        await store.compare_and_set("key", None, b"1", ttl_s=5),
        await store.compare_and_set("key", None, b"2"),
        await store.compare_and_set("key", b"1", b"2", ttl_s=5),
    ]
    value = await store.get("key")
    await clock.advance(5)

    assert (results, value) == ([False, True, False, True], b"2")
    assert await store.compare_and_set("key", None, b"3") is True


@pytest.mark.parametrize("ttl_s", [0, -1, float("nan")])
async def test_a_time_to_live_is_above_zero(store: Memory, ttl_s: float) -> None:
    uses: list[Any] = [
        store.set("key", b"1", ttl_s=ttl_s),
        store.increment("key", ttl_s=ttl_s),
        store.compare_and_set("key", None, b"1", ttl_s=ttl_s),
        store.acquire("key", "me", ttl_s=ttl_s),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="ttl_s: expected more than 0 seconds, or None; got "):
            await use
    assert await store.get("key") is None


async def test_who_subscribes_gets_what_is_published_from_then_on(store: Memory) -> None:
    await store.publish("news", b"early")
    one, other = store.subscribe("news"), store.subscribe("other")
    await store.publish("news", b"first")
    two = store.subscribe("news")
    await store.publish("news", b"second")
    await store.publish("other", b"third")

    assert [await anext(one), await anext(one)] == [b"first", b"second"]
    assert await anext(two) == b"second"
    assert await anext(other) == b"third"


async def test_a_waiting_subscriber_is_woken(store: Memory) -> None:
    message, _ = await asyncio.gather(anext(store.subscribe("news")), store.publish("news", b"now"))

    assert message == b"now"


async def test_a_slow_subscriber_loses_the_oldest_messages() -> None:
    store = build(Memory, max_messages=2)
    slow = store.subscribe("news")
    for number in range(5):
        await store.publish("news", b"%d" % number)

    assert [await anext(slow), await anext(slow)] == [b"3", b"4"]


async def test_a_subscriber_that_went_away_is_forgotten(store: Memory) -> None:
    for number in range(3):
        store.subscribe(f"news{number}")
    store.subscribe("other")

    assert len(store._channels._channels) <= 1


async def test_closing_the_store_ends_every_subscription(store: Memory) -> None:
    subscription = store.subscribe("news")
    message, _ = await asyncio.gather(anext(subscription, b"the end"), store.close())

    assert message == b"the end"


async def test_a_closed_subscription_gets_nothing_more(store: Memory) -> None:
    subscription: Any = store.subscribe("news")
    await store.publish("news", b"1")
    await subscription.aclose()
    await store.publish("news", b"2")

    assert await anext(subscription, b"the end") == b"the end"


async def test_a_lease_has_one_holder_until_it_ends_or_is_given_back(store: Memory, clock: ManualClock) -> None:
    taken = [await store.acquire("leader", holder, ttl_s=10) for holder in ("a", "b", "a")]
    await clock.advance(9)
    renewed = [await store.acquire("leader", holder, ttl_s=10) for holder in ("a", "b")]
    await clock.advance(9)
    kept = await store.acquire("leader", "b", ttl_s=10)
    await clock.advance(1)
    expired = [await store.release("leader", "a"), await store.acquire("leader", "b", ttl_s=10)]
    released = [await store.release("leader", "a"), await store.release("leader", "b")]

    assert (taken, renewed, kept) == ([True, False, True], [True, False], False)
    assert (expired, released) == ([False, True], [False, True])
    assert await store.acquire("leader", "a", ttl_s=1) is True


async def test_values_buckets_and_leases_of_one_name_do_not_meet(store: Memory) -> None:
    await store.set("key", b"1")
    await store.take("key", Rate("1/s"), 1)
    await store.take_window("key", 1, 60)
    await store.acquire("key", "me", ttl_s=1)

    assert await store.get("key") == b"1"
    assert not await store.take("key", Rate("1/s"), 1)


async def test_a_full_store_forgets_what_was_used_the_longest_ago() -> None:
    store = build(Memory, max_keys=2)
    await store.set("a", b"1")
    await store.set("b", b"2")
    await store.get("a")
    await store.set("c", b"3")

    assert [await store.get(key) for key in "abc"] == [b"1", None, b"3"]


async def test_a_full_store_forgets_what_has_run_out_first(clock: ManualClock) -> None:
    store = build(Memory, max_keys=2, clock=clock)
    await store.set("old", b"1")
    await store.set("over", b"2", ttl_s=1)
    await clock.advance(1)
    await store.set("new", b"3")

    assert [await store.get(key) for key in ("old", "over", "new")] == [b"1", None, b"3"]


async def test_a_full_store_gives_no_lease_but_forgets_none_either(clock: ManualClock) -> None:
    store = build(Memory, max_keys=1, clock=clock)
    given = [await store.acquire(key, "me", ttl_s=5) for key in ("a", "b", "a")]
    await clock.advance(5)

    assert given == [True, False, True]
    assert await store.acquire("b", "me", ttl_s=5) is True


async def test_it_holds_to_the_contract_of_stores(store: Memory, clock: ManualClock) -> None:
    await check_store(store, wait=clock.advance)
