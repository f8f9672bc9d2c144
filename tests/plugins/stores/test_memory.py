from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright_plugins.stores.memory import Memory
from meshwright_plugins.stores.memory.entries import Entries
from meshwright_sdk import Rate
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
    await clock.advance(100)
    rested = [await store.take("client", rate, 3, amount) for amount in (3, 1)]

    assert at_once == [0.0, 0.0, 0.0, 0.5]
    assert later == [0.0, 0.5]
    assert rested == [0.0, 0.5]


async def test_a_refused_taking_takes_nothing(store: Memory, clock: ManualClock) -> None:
    rate = Rate("1/s")
    await store.take("client", rate, 2)

    assert await store.take("client", rate, 2, 2) == 1.0
    assert await store.take("client", rate, 2) == 0.0


async def test_a_bucket_made_smaller_holds_less_at_once(store: Memory) -> None:
    await store.take("client", Rate("1/s"), 10)

    assert await store.take("client", Rate("1/s"), 2, 2) == 0.0
    assert await store.take("client", Rate("1/s"), 2, 2) == 2.0


@pytest.mark.parametrize("amount", [0, -1, 4])
async def test_an_amount_that_no_bucket_could_give_is_refused(store: Memory, amount: int) -> None:
    with pytest.raises(ValueError, match="amount: expected 1 to the burst of 3; got "):
        await store.take("client", Rate("1/s"), 3, amount)


@given(
    st.sampled_from(["3/s", "7/m", "0.1/s", "1000/s"]).map(Rate),
    st.integers(1, 5),
    st.lists(st.floats(0, 3), max_size=20),
)
async def test_a_bucket_keeps_its_promises(rate: Rate, burst: int, pauses: list[float]) -> None:
    clock = ManualClock()
    store = build(Memory, clock=clock)
    started = clock.monotonic()
    for taken, pause in enumerate(pauses, 1):
        await clock.advance(pause)
        wait_s = await store.take("key", rate, burst)
        if wait_s:
            await clock.advance(wait_s)
            assert await store.take("key", rate, burst) == 0.0

        assert taken <= burst + (clock.monotonic() - started) * rate.per_second + 1e-6


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
    await store.acquire("key", "me", ttl_s=1)

    assert await store.get("key") == b"1"
    assert await store.take("key", Rate("1/s"), 1) > 0


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


KEYS = st.sampled_from("abcdef")
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.one_of(st.integers(1, 5), st.just(inf))),
    st.tuples(st.sampled_from(["get", "pop"]), KEYS, st.just(0)),
    st.tuples(st.just("wait"), st.just(""), st.integers(1, 4)),
)


@given(st.lists(STEPS, max_size=60))
def test_a_map_with_room_forgets_what_has_ended_and_nothing_else(steps: list[tuple[str, str, float]]) -> None:
    entries: Entries[int] = Entries(6)
    model: dict[str, tuple[int, float]] = {}
    now = 0.0
    for number, (step, key, time) in enumerate(steps):
        model = {known: kept for known, kept in model.items() if kept[1] > now}
        if step == "wait":
            now += time
        elif step == "put":
            entries.put(key, number, now, now + time)
            model[key] = (number, now + time)
        elif step == "pop":
            assert entries.pop(key, now) == (model.pop(key, None) is not None)
        else:
            entry = entries.get(key, now)
            assert (entry and (entry.value, entry.ends)) == model.get(key)


@given(st.lists(STEPS, max_size=60), st.integers(1, 5))
def test_a_map_without_room_keeps_the_latest(steps: list[tuple[str, str, float]], limit: int) -> None:
    entries: Entries[int] = Entries(limit)
    used: dict[str, None] = {}
    now = 0.0
    for number, (step, key, time) in enumerate(steps):
        now += time if step == "wait" else 0
        if step == "put":
            entries.put(key, number, now)
        elif step == "pop":
            entries.pop(key, now)
        used.pop(key, None)
        if step == "put" or (step == "get" and entries.get(key, now) is not None):
            used[key] = None

        assert len(entries) <= limit
        assert set(entries._entries) == set(list(used)[-limit:])
        used = dict.fromkeys(list(used)[-limit:])


def test_notes_about_what_is_gone_are_cleared_away() -> None:
    entries: Entries[int] = Entries(10)
    for number in range(1000):
        entries.put("key", number, 0.0, 1000.0 - number / 10)
        entries.pop("key", 0.0)

    assert len(entries._notes) < 100


def test_putting_again_counts_as_use() -> None:
    entries: Entries[int] = Entries(2)
    for key in "abac":
        entries.put(key, 0, 0.0)

    assert (entries.get("a", 0.0) is None, entries.get("b", 0.0) is None) == (False, True)


def test_what_was_prolonged_is_kept_until_its_new_end_and_cleared_away_then() -> None:
    entries: Entries[int] = Entries(3)
    entries.put("lasting", 0, 0.0)
    entries.put("prolonged", 0, 0.0, 5.0)
    entries.put("prolonged", 1, 0.0, 10.0)
    entries.put("one", 0, 6.0)
    kept = len(entries)
    entries.put("two", 0, 11.0)

    assert kept == 3
    assert entries.get("lasting", 11.0) is not None
    assert entries.get("prolonged", 11.0) is None


def test_what_is_prolonged_again_and_again_needs_no_note_each_time() -> None:
    entries: Entries[int] = Entries(10)
    for end in range(1, 50):
        entries.put("key", 0, 0.0, float(end))

    assert len(entries._notes) == 1


async def test_it_holds_to_the_contract_of_stores(store: Memory, clock: ManualClock) -> None:
    await check_store(store, wait=clock.advance)
