from __future__ import annotations

from collections import Counter

from meshwright_plugins.balancers.weighted_round_robin import WeightedRoundRobin
from meshwright_sdk.testing import build, check_balancer, make_endpoint, make_request


def test_five_one_one_is_spread_as_nginx_spreads_it() -> None:
    balancer = build(WeightedRoundRobin)
    a, b, c = endpoints = [make_endpoint(weight=5), make_endpoint(), make_endpoint()]

    picks = [balancer.pick(endpoints, make_request()) for _ in range(14)]
    begin = picks.index(b) - 2  # it begins at a random place
    assert (picks[begin:] + picks[:begin])[:7] == [a, a, b, a, c, a, a]


def test_two_to_one_is_two_hundred_and_one_hundred_of_three_hundred() -> None:
    balancer = build(WeightedRoundRobin)
    heavy, light = endpoints = (make_endpoint(weight=2), make_endpoint())

    assert Counter(balancer.pick(endpoints, make_request()) for _ in range(300)) == {heavy: 200, light: 100}


def test_no_endpoint_is_no_pick() -> None:
    assert build(WeightedRoundRobin).pick([], make_request()) is None


async def test_it_holds_to_the_contract_of_balancers() -> None:
    await check_balancer(build(WeightedRoundRobin))
