from __future__ import annotations

from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from meshwright_plugins.balancers.least_connections import LeastConnections
from meshwright_sdk import Endpoint
from meshwright_sdk.testing import build, check_balancer, make_endpoint, make_request


def endpoint(in_flight: int = 0, weight: int = 1) -> Endpoint:
    made = make_endpoint(weight=weight)
    made.in_flight = in_flight
    return made


def test_the_endpoint_with_the_fewest_requests_in_flight_is_taken() -> None:
    balancer = build(LeastConnections)
    endpoints = [endpoint(3), endpoint(1), endpoint(2)]

    assert {balancer.pick(endpoints, make_request()) for _ in range(10)} == {endpoints[1]}


def test_load_is_measured_by_weight() -> None:
    balancer = build(LeastConnections)
    endpoints = [endpoint(2, weight=1), endpoint(3, weight=2), endpoint(1, weight=0)]

    assert {balancer.pick(endpoints, make_request()) for _ in range(10)} == {endpoints[1]}


def test_idle_endpoints_take_turns_by_weight() -> None:
    balancer = build(LeastConnections)
    heavy, light = endpoints = [endpoint(weight=2), endpoint(weight=1)]

    assert Counter(balancer.pick(endpoints, make_request()) for _ in range(300)) == {heavy: 200, light: 100}


def test_of_equally_loaded_endpoints_the_one_whose_turn_it_is_is_taken() -> None:
    balancer = build(LeastConnections)
    endpoints = [endpoint(2), endpoint(2), endpoint(2)]

    picks = [balancer.pick(endpoints, make_request()) for _ in range(6)]
    assert (picks[:3], set(picks)) == (picks[3:], set(endpoints))


def test_equally_loaded_endpoints_share_what_comes() -> None:
    balancer = build(LeastConnections)
    endpoints = [endpoint(1), endpoint(5), endpoint(1), endpoint(1), endpoint(5)]
    got = Counter(balancer.pick(endpoints, make_request()) for _ in range(900))

    assert {endpoints.index(pick) for pick in got if pick} == {0, 2, 3}
    assert all(240 < count < 360 for count in got.values())


def test_weights_that_are_all_zero_are_equal() -> None:
    balancer = build(LeastConnections)
    endpoints = [endpoint(2, weight=0), endpoint(1, weight=0)]

    assert {balancer.pick(endpoints, make_request()) for _ in range(10)} == {endpoints[1]}


def test_no_endpoint_is_no_pick() -> None:
    assert build(LeastConnections).pick([], make_request()) is None


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), min_size=1, max_size=6), st.integers(1, 6))
def test_no_endpoint_is_less_loaded_than_the_one_taken(loads: list[tuple[int, int]], count: int) -> None:
    balancer = build(LeastConnections)
    endpoints = [endpoint(in_flight, weight) for in_flight, weight in loads]
    for _ in range(count):
        pick = balancer.pick(endpoints, make_request())

        assert pick is not None
        assert Fraction(pick.in_flight, pick.weight) == min(Fraction(in_flight, weight) for in_flight, weight in loads)


async def test_it_holds_to_the_contract_of_balancers() -> None:
    await check_balancer(build(LeastConnections))
