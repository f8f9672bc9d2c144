from __future__ import annotations

from meshwright_plugins.balancers.round_robin import RoundRobin
from meshwright_sdk.testing import build, check_balancer, make_endpoint, make_request


def test_each_endpoint_has_its_turn_whatever_its_weight() -> None:
    balancer = build(RoundRobin)
    endpoints = [make_endpoint(f"http://10.0.0.{weight}:80", weight=weight) for weight in (1, 9, 3)]

    picks = [balancer.pick(endpoints, make_request()) for _ in range(6)]
    assert (picks[:3], set(picks)) == (picks[3:], set(endpoints))


def test_a_weight_of_zero_puts_an_endpoint_out_of_the_round() -> None:
    balancer = build(RoundRobin)
    endpoints = [make_endpoint("http://10.0.0.1:80", weight=0), make_endpoint("http://10.0.0.2:80")]

    assert {balancer.pick(endpoints, make_request()) for _ in range(6)} == {endpoints[1]}


def test_no_endpoint_is_no_pick() -> None:
    assert build(RoundRobin).pick([], make_request()) is None


async def test_it_holds_to_the_contract_of_balancers() -> None:
    await check_balancer(build(RoundRobin))
