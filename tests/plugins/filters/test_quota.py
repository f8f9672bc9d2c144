from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from meshwright_plugins.filters.quota import Quota, period
from meshwright_plugins.stores.memory import Memory
from meshwright_sdk import Context, StoreError, TooManyRequestsError, headers_of
from meshwright_sdk.testing import FakeUpstream, ManualClock, build, check_filter, gateway, make_request


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


async def admitted(quota: Quota, count: int, **request: Any) -> int:
    upstream = FakeUpstream()
    for _ in range(count):
        try:
            await quota(make_request(**request), upstream)
        except TooManyRequestsError:
            continue
    return len(upstream.requests)


class AwayStore(Memory):
    async def increment(self, key: str, amount: int = 1, *, ttl_s: float | None = None) -> int:
        raise StoreError("redis: away")


class CountingStore(Memory):
    asked = 0
    longest_key = 0

    async def increment(self, key: str, amount: int = 1, *, ttl_s: float | None = None) -> int:
        self.asked += 1
        self.longest_key = max(self.longest_key, len(key))
        return await super().increment(key, amount, ttl_s=ttl_s)


async def test_it_keeps_to_the_contract_of_filters() -> None:
    await check_filter(build(Quota, limit=1000, store=build(Memory)))


@pytest.mark.parametrize(
    ("per", "begin", "end"),
    [
        ("hour", "2024-02-29T23:00:00", "2024-03-01T00:00:00"),
        ("day", "2024-02-29T00:00:00", "2024-03-01T00:00:00"),
        ("month", "2024-02-01T00:00:00", "2024-03-01T00:00:00"),
    ],
)
def test_periods_are_those_of_the_calendar(per: str, begin: str, end: str) -> None:
    assert period(per, at("2024-02-29T23:59:59.9")) == (at(begin), at(end))
    assert period(per, at(end))[0] == at(end)


async def test_a_consumer_has_so_many_requests_until_the_next_period() -> None:
    clock = ManualClock(wall=at("2024-12-31T23:59:00"))
    quota = build(Quota, limit=3, per="day", key="header:x-user", store=build(Memory, clock=clock), clock=clock)

    first = [await admitted(quota, 5, headers={"x-user": user}) for user in ("ann", "bob")]
    await clock.advance(59)
    still = await admitted(quota, 5, headers={"x-user": "ann"})
    await clock.advance(1)

    assert (first, still) == ([3, 3], 0)
    assert await admitted(quota, 5, headers={"x-user": "ann"}) == 3


async def test_the_answer_says_what_is_left_and_the_refusal_when_to_come_again() -> None:
    clock = ManualClock(wall=at("2024-12-31T23:59:00"))
    quota = build(Quota, limit=1, per="month", store=build(Memory, clock=clock), clock=clock)

    response = await quota(make_request(), FakeUpstream())
    with pytest.raises(TooManyRequestsError) as refused:
        await quota(make_request(), FakeUpstream())

    assert response.headers["ratelimit"] == '"quota";r=0;t=60'
    assert (refused.value.code, refused.value.headers["retry-after"]) == ("quota_spent", "60")


async def test_gateways_that_share_a_store_share_the_quota() -> None:
    store = build(Memory)
    gateways = [build(Quota, limit=4, store=store) for _ in range(3)]

    assert [await admitted(each, 3) for each in gateways] == [3, 1, 0]


async def test_a_consumer_whose_quota_is_spent_costs_the_store_nothing() -> None:
    store = build(CountingStore)
    quota = build(Quota, limit=2, store=store)

    assert await admitted(quota, 100) == 2
    assert store.asked == 3


@pytest.mark.parametrize(("choice", "through"), [("allow", 3), ("deny", 0)])
async def test_what_happens_without_the_store_is_chosen(choice: str, through: int) -> None:
    quota, upstream = build(Quota, limit=1, store=build(AwayStore), on_store_failure=choice), FakeUpstream()
    told = []
    for _ in range(3):
        try:
            await quota(make_request(), upstream)
        except StoreError as error:
            told.append(headers_of(error)["retry-after"])

    assert told == ["1"] * (3 - through)
    assert len(upstream.requests) == through
    assert quota.state()["store_failed"] == 3


@pytest.mark.parametrize(("choice", "status"), [("allow", 200), ("deny", 503)])
async def test_what_is_no_counter_is_as_a_store_that_is_away(
    choice: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock, store = ManualClock(), build(Memory)
    begin, _ = period("month", clock.wall())
    await store.set(f"quota:quota:month:{begin}:ann", b"no counter")
    quota = build(Quota, limit=1, key="header:x-user", store=store, on_store_failure=choice, clock=clock)

    statuses = []
    for _ in range(2):
        try:
            statuses.append((await quota(make_request(headers={"x-user": "ann"}), FakeUpstream())).status)
        except StoreError as error:
            statuses.append(error.status)

    assert statuses == [status] * 2
    assert quota.state()["store_failed"] == 2
    (record,) = caplog.records
    assert "quota quota: cannot count: key 'quota:quota:month:" in record.message


async def test_of_a_long_key_a_short_digest_is_kept() -> None:
    store = build(CountingStore)
    quota = build(Quota, limit=2, key="header:x-user", store=store)

    assert [await admitted(quota, 3, headers={"x-user": user * 60_000}) for user in "ab"] == [2, 2]
    assert store.longest_key < 100


@pytest.mark.parametrize("options", [{}, {"limit": 0}, {"limit": 1, "per": "week"}, {"limit": 1, "name": "a b"}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build(Quota, store=build(Memory), **options)


YAML = """
listeners: [{name: web, bind: "127.0.0.1:0"}]
routes:
  - {name: all, filters: [{quota: {limit: 2, per: month, key: client}}, {respond: {text: hello}}]}
"""


async def test_clients_of_a_whole_gateway_have_their_quota() -> None:
    async with gateway(YAML) as running, httpx.AsyncClient() as client:
        answers = [await client.get(running.url) for _ in range(3)]

    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[2].json()["code"] == "quota_spent"


async def test_quotas_of_two_routes_count_apart_unless_they_are_named_alike() -> None:
    store = build(Memory)

    def quota(route: str, **options: Any) -> Quota:
        return build(Quota, limit=2, context=Context(route=route, store=store), **options)

    apart = [await admitted(quota(route), 5) for route in ("a", "b")]
    together = [await admitted(quota(route, name="all"), 5) for route in ("a", "b")]

    assert (apart, together) == ([2, 2], [2, 0])


async def test_a_store_that_forgets_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    await build(Quota, limit=2, store=build(Memory)).start()

    assert "the store memory is not shared: each worker counts for itself" in caplog.text
