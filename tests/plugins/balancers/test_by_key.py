"""What `ring_hash` and `maglev` both hold to; what sets one apart is in its own tests."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright_plugins.balancers.maglev import Maglev
from meshwright_plugins.balancers.ring_hash import RingHash
from meshwright_sdk import EndpointGroup, KeyedBalancer
from meshwright_sdk.testing import build, make_request
from tests.plugins.balancers.keys import REQUESTS, SEEDS, WEIGHTS, endpoints_of, moves, owners

Kind = type[KeyedBalancer[Any]]
EITHER = pytest.mark.parametrize("kind", [RingHash, Maglev])
EXCESS = {RingHash: 0.0, Maglev: 0.03}
"""The share of all keys that may move beside those of an endpoint that goes, as the pages say."""


def made(kind: Kind, **options: Any) -> KeyedBalancer[Any]:
    return build(kind, key="header:x-user", **options)


@EITHER
@settings(max_examples=15, deadline=None)
@given(weights=WEIGHTS, seed=SEEDS, data=st.data())
async def test_when_an_endpoint_goes_its_keys_move_and_hardly_any_other(
    kind: Kind, weights: list[int], seed: int, data: st.DataObject
) -> None:
    endpoints = endpoints_of(*weights, seed=seed)
    gone = data.draw(st.sampled_from(endpoints))
    rest = tuple(endpoint for endpoint in endpoints if endpoint is not gone)

    moved = moves(await owners(made(kind), endpoints), await owners(made(kind), rest))

    assert sum(one is not gone for one, _ in moved) <= EXCESS[kind] * len(REQUESTS)


@EITHER
async def test_of_many_endpoints_of_several_weights_no_more_move(kind: Kind) -> None:
    endpoints = endpoints_of(*[1, 2, 3] * 54)  # a hundred entries of the table for each
    moved = moves(await owners(made(kind), endpoints), await owners(made(kind), endpoints[:80] + endpoints[81:]))

    assert sum(one is not endpoints[80] for one, _ in moved) <= EXCESS[kind] * len(REQUESTS)


@EITHER
async def test_every_gateway_comes_to_the_same_choice_whatever_the_order_of_its_list(kind: Kind) -> None:
    endpoints = endpoints_of(1, 2, 1)

    assert await owners(made(kind), endpoints) == await owners(made(kind), endpoints[::-1])


@EITHER
async def test_the_keys_of_an_ejected_endpoint_are_spread_over_the_others_and_come_back(kind: Kind) -> None:
    group, balancer = EndpointGroup(endpoints_of(1, 1, 1)), made(kind)
    before = await owners(balancer, group.usable)
    group.eject(group.all[0], "outliers", "five failures in a row")
    without = await owners(balancer, group.usable)
    group.restore(group.all[0], "outliers")

    assert {one for one, _ in moves(before, without)} == {group.all[0]}
    assert {other for _, other in moves(before, without)} == set(group.all[1:])
    assert await owners(balancer, group.usable) == before


@EITHER
async def test_a_retry_goes_to_another_endpoint_and_leaves_the_keys_where_they_are(kind: Kind) -> None:
    endpoints, balancer = endpoints_of(1, 1, 1, 1), made(kind)
    before = await owners(balancer, endpoints)
    retry = make_request(headers={"x-user": "user-7"})
    retry.avoid = (before[7],)
    rest = [endpoint for endpoint in endpoints if endpoint not in retry.avoid]
    (other,) = {balancer.pick(rest, retry) for _ in range(5)}

    assert other in rest
    assert await owners(balancer, endpoints) == before


@EITHER
async def test_a_request_without_the_key_goes_anywhere(kind: Kind) -> None:
    endpoints, balancer = endpoints_of(1, 1), made(kind)
    await balancer.warm_up(endpoints)
    got = Counter(balancer.pick(endpoints, make_request()) for _ in range(400))

    assert min(got[endpoint] for endpoint in endpoints) > 100


@pytest.mark.parametrize(
    ("kind", "options", "steps"),
    [(RingHash, {}, 100), (Maglev, {}, 40), (Maglev, {"table_size": 131_071}, 400)],
)
def test_a_table_of_a_thousand_endpoints_is_made_in_small_steps(
    kind: Kind, options: dict[str, Any], steps: int
) -> None:
    shares = dict.fromkeys(endpoints_of(*[1] * 1_000), 1.0)

    assert len([*made(kind, **options).build(shares)]) > steps
