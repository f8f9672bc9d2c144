from __future__ import annotations

from collections import Counter
from random import Random as Chance

from hypothesis import given
from hypothesis import strategies as st

from meshwright_plugins.balancers.random import Random
from meshwright_sdk.testing import build, check_balancer, make_endpoint, make_request


def test_the_weights_give_the_shares() -> None:
    balancer = build(Random)
    endpoints = [make_endpoint(weight=weight) for weight in (2, 0, 1)]
    got = Counter(balancer.pick(endpoints, make_request()) for _ in range(3000))

    assert 1900 < got[endpoints[0]] < 2100
    assert got[endpoints[1]] == 0


def test_weights_that_are_all_zero_are_equal() -> None:
    balancer = build(Random)
    endpoints = [make_endpoint(weight=0), make_endpoint(weight=0)]
    got = Counter(balancer.pick(endpoints, make_request()) for _ in range(1000))

    assert 400 < got[endpoints[0]] < 600


def test_a_new_list_counts_at_once() -> None:
    balancer = build(Random)
    endpoints = [make_endpoint(), make_endpoint()]
    balancer.pick(endpoints, make_request())

    assert balancer.pick(endpoints[:1], make_request()) is endpoints[0]
    assert balancer.pick([], make_request()) is None


@given(st.lists(st.integers(0, 70_000), min_size=1, max_size=5), st.sampled_from([0.0, 0.5, 1 - 2**-53]))
def test_every_draw_finds_an_endpoint_with_weight(weights: list[int], draw: float) -> None:
    class Loaded(Chance):
        def random(self) -> float:
            return draw

    endpoints = [make_endpoint(weight=weight) for weight in weights]
    pick = build(Random, random=Loaded()).pick(endpoints, make_request())

    assert pick is not None
    assert pick.weight > 0 or not any(weights)


async def test_it_holds_to_the_contract_of_balancers() -> None:
    await check_balancer(build(Random))
