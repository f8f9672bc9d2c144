from __future__ import annotations

from collections import Counter
from random import Random as Chance

from hypothesis import example, given
from hypothesis import strategies as st

from meshwright_plugins.balancers.two_choices import TwoChoices
from meshwright_sdk import Endpoint
from meshwright_sdk.testing import build, check_balancer, make_endpoint, make_request


def endpoint(weight: int = 1, in_flight: int = 0) -> Endpoint:
    made = make_endpoint(weight=weight)
    made.in_flight = in_flight
    return made


def test_of_two_the_less_loaded_is_taken() -> None:
    balancer = build(TwoChoices)
    endpoints = [endpoint(in_flight=3), endpoint(in_flight=2)]

    assert {balancer.pick(endpoints, make_request()) for _ in range(50)} == {endpoints[1]}


def test_load_is_measured_by_weight() -> None:
    balancer = build(TwoChoices)
    endpoints = [endpoint(weight=10, in_flight=9), endpoint(weight=1, in_flight=1)]

    assert {balancer.pick(endpoints, make_request()) for _ in range(50)} == {endpoints[0]}


def test_the_most_loaded_of_many_is_never_taken() -> None:
    balancer = build(TwoChoices)
    endpoints = [endpoint(in_flight=load) for load in (5, 1, 1, 1)]

    assert endpoints[0] not in {balancer.pick(endpoints, make_request()) for _ in range(200)}


def test_idle_endpoints_get_the_shares_of_their_weights() -> None:
    balancer = build(TwoChoices)
    endpoints = [endpoint(weight) for weight in (2, 0, 1)]
    got = Counter(balancer.pick(endpoints, make_request()) for _ in range(3000))

    assert 1900 < got[endpoints[0]] < 2100
    assert got[endpoints[1]] == 0


def test_requests_that_stay_are_spread_almost_evenly() -> None:
    balancer = build(TwoChoices)
    endpoints = [endpoint() for _ in range(10)]
    for _ in range(1000):
        pick = balancer.pick(endpoints, make_request())
        assert pick is not None
        pick.in_flight += 1

    assert max(each.in_flight for each in endpoints) - min(each.in_flight for each in endpoints) <= 6


def test_a_single_endpoint_is_taken_and_none_is_none() -> None:
    balancer, only = build(TwoChoices), endpoint()

    assert balancer.pick([only], make_request()) is only
    assert balancer.pick([only, endpoint(weight=0)], make_request()) is only
    assert balancer.pick([], make_request()) is None


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=5),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1, exclude_max=True),
)
@example([3, 1, 2], 0.0, 1 - 2**-53)
def test_any_two_draws_are_different_endpoints_with_weight(weights: list[int], one: float, other: float) -> None:
    class Loaded(Chance):
        draws = iter((one, other))

        def random(self) -> float:
            return next(self.draws)

    drawn: list[Endpoint] = []

    class Watched(Endpoint):
        @property
        def in_flight(self) -> int:
            drawn.append(self)
            return 0

        @in_flight.setter
        def in_flight(self, value: int) -> None:
            pass

    endpoints = [Watched(make_endpoint(weight=weight).instance) for weight in weights]
    build(TwoChoices, random=Loaded()).pick(endpoints, make_request())

    assert len(set(drawn)) == min(2, sum(1 for weight in weights if weight) or len(weights))
    assert all(each.weight for each in drawn) or not any(weights)


async def test_it_holds_to_the_contract_of_balancers() -> None:
    await check_balancer(build(TwoChoices))
