from __future__ import annotations

from collections import Counter
from math import ceil, sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright_plugins.balancers.ring_hash import RingHash
from meshwright_sdk import EndpointGroup
from meshwright_sdk.testing import build, check_balancer, make_request
from tests.plugins.balancers.keys import REQUESTS, SEEDS, WEIGHTS, endpoints_of, moves, owners


def ring(**options: Any) -> RingHash:
    return build(RingHash, key="header:x-user", **options)


@settings(max_examples=15, deadline=None)
@given(WEIGHTS, SEEDS, st.data())
async def test_an_endpoint_that_gets_more_weight_takes_keys_and_no_other_key_moves(
    weights: list[int], seed: int, data: st.DataObject
) -> None:
    endpoints = endpoints_of(*weights, seed=seed)
    raised = data.draw(st.sampled_from(endpoints))
    before = await owners(ring(), endpoints)
    raised.weight += 1

    assert {other for _, other in moves(before, await owners(ring(), endpoints))} <= {raised}


@settings(max_examples=15, deadline=None)
@given(WEIGHTS, SEEDS)
async def test_the_shares_are_those_of_the_weights_about(weights: list[int], seed: int) -> None:
    endpoints = endpoints_of(*weights, seed=seed)
    got = Counter(await owners(ring(), endpoints))

    for endpoint in endpoints:
        share = endpoint.weight / sum(weights)
        of_points = share / sqrt(160 * endpoint.weight)
        of_keys = sqrt(share * (1 - share) / len(REQUESTS))
        assert abs(got[endpoint] / len(REQUESTS) - share) < 5 * (of_points + of_keys)


async def test_a_factor_on_one_endpoint_moves_no_key_between_the_others() -> None:
    group = EndpointGroup(endpoints_of(1, 1, 1))
    before = await owners(ring(), group.usable)
    group.scale(group.all[0], "slow_start", 0.5)

    moved = moves(before, await owners(ring(), group.usable))

    assert {one for one, _ in moved} == {group.all[0]}
    assert len(moved) > 0.3 * before.count(group.all[0])


async def test_a_retry_goes_to_the_endpoint_that_would_have_the_key_without_the_one_it_avoids() -> None:
    endpoints, balancer = endpoints_of(1, 1, 1, 1), ring()
    before = await owners(balancer, endpoints)
    retry = make_request(headers={"x-user": "user-7"})
    retry.avoid = (before[7],)
    rest = [endpoint for endpoint in endpoints if endpoint not in retry.avoid]

    assert balancer.pick(rest, retry) is (await owners(ring(), rest))[7]


@settings(max_examples=15, deadline=None)
@given(WEIGHTS, st.sampled_from([1.0, 1.25, 2.0]), st.integers(1, 200))
async def test_with_a_balance_factor_nobody_gets_more_than_its_bound(
    weights: list[int], factor: float, count: int
) -> None:
    endpoints, balancer = endpoints_of(*weights), ring(balance_factor=factor)
    await balancer.warm_up(endpoints)
    for number in range(count):
        pick = balancer.pick(endpoints, REQUESTS[number % 3])
        assert pick is not None
        pick.in_flight += 1
        assert pick.in_flight <= ceil(factor * (number + 1) * pick.weight / sum(weights))


async def test_before_the_ring_is_there_a_balance_factor_bounds_too() -> None:
    endpoints, balancer = endpoints_of(1, 1, 1), ring(balance_factor=1)
    for _ in range(30):
        pick = balancer.pick(endpoints, REQUESTS[0])
        assert pick is not None
        pick.in_flight += 1

    assert [endpoint.in_flight for endpoint in endpoints] == [10, 10, 10]


async def test_with_a_balance_factor_a_key_stays_while_there_is_room() -> None:
    endpoints = endpoints_of(1, 1, 1)

    assert await owners(ring(balance_factor=1.25), endpoints) == await owners(ring(), endpoints)


async def test_without_it_a_key_stays_whatever_the_load() -> None:
    endpoints, balancer = endpoints_of(1, 1, 1), ring()
    before = await owners(balancer, endpoints)
    before[0].in_flight = 1000

    assert await owners(balancer, endpoints) == before


async def test_weights_of_any_size_make_a_bounded_ring() -> None:
    endpoints = endpoints_of(70_000, 70_000, 35_000)
    got = Counter(await owners(ring(), endpoints))

    assert 0.33 < got[endpoints[0]] / len(REQUESTS) < 0.47


@pytest.mark.parametrize("key", ["header:x-user", "client", "cookie:session"])
@pytest.mark.parametrize("factor", [None, 1.25])
async def test_it_holds_to_the_contract_of_balancers(key: str, factor: float | None) -> None:
    await check_balancer(build(RingHash, key=key, balance_factor=factor))
