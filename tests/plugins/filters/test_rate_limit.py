from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from meshwright_plugins.filters.rate_limit import RateLimit
from meshwright_plugins.filters.rate_limit.local import Recent
from meshwright_plugins.filters.rate_limit.options import RateLimitOptions
from meshwright_plugins.stores.memory import Memory
from meshwright_sdk import Context, Identity, Rate, StoreError, TooManyRequestsError, headers_of
from meshwright_sdk.limits import Taken
from meshwright_sdk.testing import FakeUpstream, ManualClock, build, check_filter, gateway, make_request


async def refusal(limit: RateLimit, upstream: FakeUpstream, **request: Any) -> TooManyRequestsError:
    with pytest.raises(TooManyRequestsError) as caught:
        await limit(make_request(**request), upstream)
    return caught.value


async def admitted(limit: RateLimit, count: int, **request: Any) -> int:
    """Send so many requests at once and return how many came through."""
    upstream = FakeUpstream()
    answers = [limit(make_request(**request), upstream) for _ in range(count)]
    await asyncio.gather(*answers, return_exceptions=True)
    return len(upstream.requests)


class AwayStore(Memory):
    """A store that is away."""

    async def take(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        raise StoreError("redis: away")

    async def grant(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        raise StoreError("redis: away")


class NotingStore(Memory):
    """Notes the keys that it is asked for."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.keys: set[str] = set()

    async def take(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        self.keys.add(key)
        return await super().take(key, rate, burst, amount)


async def test_it_keeps_to_the_contract_of_filters() -> None:
    for mode in ("local", "exact", "leased"):
        await check_filter(build(RateLimit, rate="1000/s", mode=mode, store=build(Memory)))


async def test_a_refused_request_never_reaches_the_upstream() -> None:
    upstream, clock = FakeUpstream(), ManualClock()
    limit = build(RateLimit, rate="0.4/s", burst=1, clock=clock)

    await limit(make_request(), upstream)
    error = await refusal(limit, upstream)

    assert (error.status, error.code) == (429, "rate_limited")
    assert error.headers["retry-after"] == "3"  # 2.5 s to the next token, rounded up
    assert len(upstream.requests) == 1


async def test_who_waited_as_long_as_told_is_admitted() -> None:
    upstream, clock = FakeUpstream(), ManualClock()
    limit = build(RateLimit, rate="2/s", burst=1, clock=clock)
    await limit(make_request(), upstream)

    await clock.advance(0.5)
    await limit(make_request(), upstream)

    assert len(upstream.requests) == 2


async def test_a_window_never_has_more_than_its_limit_wherever_it_begins() -> None:
    clock = ManualClock()
    limit = build(RateLimit, limit=3, window="1m", clock=clock)

    counts = []
    for _ in range(12):
        counts.append(await admitted(limit, 2))
        await clock.advance(15)

    assert all(sum(counts[start : start + 4]) <= 3 for start in range(9))
    assert sum(counts) >= 8


async def test_keys_are_counted_apart_and_those_without_one_together() -> None:
    limit = build(RateLimit, rate="1/m", burst=1, key="header:x-tenant")

    assert await admitted(limit, 2, headers={"x-tenant": "a"}) == 1
    assert await admitted(limit, 2, headers={"x-tenant": "b"}) == 1
    assert await admitted(limit, 2) == 1


async def test_a_claim_is_a_key() -> None:
    limit, upstream = build(RateLimit, rate="1/m", burst=1, key="claim:sub"), FakeUpstream()
    for subject in ("ann", "bob"):
        request = make_request()
        request.identity = Identity(subject=subject, method="jwt", claims={"sub": subject})
        await limit(request, upstream)

    assert len(upstream.requests) == 2


async def test_a_python_expression_is_a_key() -> None:
    limit = build(RateLimit, rate="1/m", burst=1, key="python: len(request.path)")

    assert await admitted(limit, 2, url="/aa") == 1
    assert await admitted(limit, 1, url="/bb") == 0
    assert await admitted(limit, 1, url="/bbb") == 1


async def test_answers_tell_the_limit_and_what_is_left_of_it() -> None:
    limit = build(RateLimit, rate="5/s", burst=10, name="api", clock=ManualClock())

    response = await limit(make_request(), FakeUpstream())

    assert response.headers["ratelimit-policy"] == '"api";q=10;w=2'
    assert response.headers["ratelimit"] == '"api";r=9;t=1'


async def test_several_limits_tell_of_each() -> None:
    outer, inner = (build(RateLimit, limit=number, window="1m", name=f"n{number}") for number in (5, 2))

    response = await outer(make_request(), lambda request: inner(request, FakeUpstream()))

    assert response.headers.getlist("ratelimit") == ['"n2";r=1;t=60', '"n5";r=4;t=60']


async def test_errors_and_refusals_tell_it_too() -> None:
    limit = build(RateLimit, limit=2, window="1m", name="n")
    broken = FakeUpstream(ValueError("broken"))

    with pytest.raises(ValueError, match="broken") as failed:
        await limit(make_request(), broken)
    await limit(make_request(), FakeUpstream())
    refused = await refusal(limit, broken)

    assert headers_of(failed.value)["ratelimit"] == '"n";r=1;t=60'
    assert refused.headers["ratelimit"] == '"n";r=0;t=60'
    assert refused.headers["retry-after"] == "60"


async def test_nothing_is_told_where_it_is_not_wanted() -> None:
    response = await build(RateLimit, rate="5/s", headers=False)(make_request(), FakeUpstream())

    assert "ratelimit" not in response.headers


async def test_workers_that_share_a_store_share_an_exact_limit() -> None:
    store = build(Memory, clock=ManualClock())
    workers = [build(RateLimit, rate="1/m", burst=5, mode="exact", store=store) for _ in range(3)]

    assert sum([await admitted(worker, 4) for worker in workers]) == 5


async def test_services_that_share_a_store_have_a_limit_each() -> None:
    store = build(Memory, clock=ManualClock())
    limits = [
        build(RateLimit, rate="1/m", burst=1, mode="exact", context=Context(service=name, store=store)) for name in "ab"
    ]

    assert [await admitted(limit, 3) for limit in limits] == [1, 1]


async def test_limits_of_another_name_do_not_share() -> None:
    store = build(Memory, clock=ManualClock())
    first, other = (build(RateLimit, rate="1/m", burst=5, mode="exact", name=name, store=store) for name in "ab")

    assert (await admitted(first, 9), await admitted(other, 9)) == (5, 5)


@settings(max_examples=60, deadline=None)
@given(
    workers=st.integers(1, 5),
    slice_=st.integers(1, 20),
    burst=st.integers(1, 30),
    turns=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 25), st.floats(0, 2)), min_size=1, max_size=25),
)
async def test_a_leased_limit_never_goes_further_beyond_than_told(
    workers: int, slice_: int, burst: int, turns: list[tuple[int, int, float]]
) -> None:
    clock = ManualClock()
    store = build(Memory, clock=clock)
    limits = [
        build(RateLimit, rate="7/s", burst=burst, mode="leased", slice=slice_, store=store, clock=clock)
        for _ in range(workers)
    ]
    log: list[tuple[float, int]] = []
    for worker, requests, pause_s in turns:
        log.append((clock.monotonic(), await admitted(limits[worker % workers], requests)))
        await clock.advance(pause_s)

    for start in range(len(log)):
        for end in range(start, len(log)):
            span = log[end][0] - log[start][0]
            bound = burst + 7 * span + workers * slice_
            assert sum(count for _, count in log[start : end + 1]) <= bound + 1e-6


async def test_a_leased_window_never_goes_further_beyond_than_told() -> None:
    clock = ManualClock()
    store = build(Memory, clock=clock)
    limits = [
        build(RateLimit, limit=20, window="10s", mode="leased", slice=4, store=store, clock=clock) for _ in range(3)
    ]

    counts = []
    for _ in range(40):
        counts.append(sum([await admitted(limit, 5) for limit in limits]))
        await clock.advance(1)

    assert max(sum(counts[start : start + 10]) for start in range(31)) <= 20 + 3 * 4
    assert sum(counts) >= 75


class CountingStore(Memory):
    asked = 0

    async def grant(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        self.asked += 1
        return await super().grant(key, rate, burst, amount)


async def test_most_requests_under_a_leased_limit_do_not_ask_the_store() -> None:
    clock = ManualClock()
    store = build(CountingStore, clock=clock)
    limit = build(RateLimit, rate="100000/s", mode="leased", slice=50, store=store, clock=clock)

    for _ in range(100):
        assert await admitted(limit, 10) == 10
        await clock.advance(0.001)

    assert store.asked <= 60


async def test_a_slow_client_of_a_leased_limit_gets_all_of_it_from_several_workers() -> None:
    clock = ManualClock()
    store = build(Memory, clock=clock)
    limits = [build(RateLimit, rate="1/s", burst=8, mode="leased", store=store, clock=clock) for _ in range(4)]

    counts = []
    for turn in range(40):
        counts.append(await admitted(limits[turn % 4], 1))
        await clock.advance(1)

    assert sum(counts) == 40


async def test_a_cancelled_request_takes_nothing_away_from_the_others() -> None:
    clock = ManualClock()
    limit = build(RateLimit, rate="1/m", burst=2, mode="leased", store=build(Memory, clock=clock), clock=clock)
    upstream = FakeUpstream()

    gone = asyncio.ensure_future(limit(make_request(), upstream))  # noqa: TID251 - a client of the test's own
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)

    assert await admitted(limit, 5) == 2


@pytest.mark.parametrize("mode", ["exact", "leased"])
@pytest.mark.parametrize(("choice", "through"), [("allow", 9), ("local", 2), ("deny", 0)])
async def test_what_happens_without_the_store_is_chosen(mode: str, choice: str, through: int) -> None:
    limit = build(RateLimit, rate="1/m", burst=2, mode=mode, store=build(AwayStore), on_store_failure=choice)

    assert await admitted(limit, 9) == through
    assert limit.state()["store_failed"] == 9


async def test_a_request_that_is_denied_without_the_store_may_come_again() -> None:
    limit = build(RateLimit, rate="1/m", mode="exact", store=build(AwayStore), on_store_failure="deny")

    with pytest.raises(StoreError) as caught:
        await limit(make_request(), FakeUpstream())

    assert (caught.value.status, headers_of(caught.value)["retry-after"]) == (503, "1")


@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_requests_that_are_denied_together_share_no_fields(mode: str) -> None:
    denying = build(RateLimit, rate="1/m", mode=mode, store=build(AwayStore), on_store_failure="deny")
    around = build(RateLimit, rate="9/s", name="around")

    async def refused() -> int:
        with pytest.raises(StoreError) as caught:
            await around(make_request(), lambda request: denying(request, FakeUpstream()))
        return len(headers_of(caught.value).raw)

    assert await asyncio.gather(*(refused() for _ in range(4))) == [3] * 4  # retry-after and the two of `around`


async def test_of_a_long_key_a_short_digest_is_kept() -> None:
    store = build(NotingStore)
    limit = build(RateLimit, rate="1/m", burst=1, key="header:x-user", mode="exact", store=store)
    users = ["u" * 60_000, "u" * 60_000 + "v", "v" * 60_000]

    assert [await admitted(limit, 2, headers={"x-user": user}) for user in users] == [1, 1, 1]
    assert len(store.keys) == 3
    assert max(map(len, store.keys)) < 100


def test_no_more_keys_are_kept_than_said() -> None:
    kept: Recent[list[int]] = Recent(list, 10)

    for number in range(1000):
        kept.of("steady").append(number)
        kept.of(f"key-{number}")

    assert len(kept) <= 10
    assert len(kept.of("steady")) == 1000


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rate": "1/s", "limit": 3, "window": "1s"},
        {"limit": 3},
        {"window": "1s"},
        {"limit": 3, "window": "1s", "burst": 2},
        {"rate": "1/s", "key": "nothing"},
        {"rate": "1/s", "key": "python: import os"},
        {"rate": "1/s", "mode": "shared"},
    ],
)
def test_options_that_say_no_limit_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build(RateLimit, **options)


def test_the_burst_is_what_a_second_brings_when_left_out() -> None:
    assert RateLimitOptions.model_validate({"rate": "100/s"}).quota == 100
    assert RateLimitOptions.model_validate({"rate": "5/m"}).quota == 1


YAML = """
listeners: [{name: web, bind: "127.0.0.1:0"}]
routes:
  - {name: all, filters: [{rate_limit: {rate: 1/m, burst: 3, mode: MODE}}, {respond: {text: hello}}]}
"""


@pytest.fixture(params=["local", "exact", "leased"])
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    async with gateway(YAML.replace("MODE", request.param)) as running:
        yield running.url


async def test_clients_of_a_whole_gateway_are_told_to_come_again(url: str) -> None:
    loop = asyncio.get_running_loop()
    async with httpx.AsyncClient() as client:
        began = loop.time()
        answers = [await client.get(url) for _ in range(5)]
        seconds = loop.time() - began

    assert [each.status_code for each in answers] == [200, 200, 200, 429, 429]
    assert answers[0].headers["ratelimit"] == '"all";r=2;t=60'
    assert 60 - seconds <= int(answers[3].headers["retry-after"]) <= 60
    assert answers[3].json()["code"] == "rate_limited"


@pytest.mark.parametrize(("mode", "warned"), [("local", False), ("exact", True), ("leased", True)])
async def test_a_store_that_shares_nothing_is_warned_of(
    mode: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    await build(RateLimit, rate="1/s", mode=mode, store=build(Memory)).start()

    assert ("the store memory is not shared" in caplog.text) == warned
