"""What policies do to the weights of endpoints, through every balancer that there is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from math import sqrt
from random import Random
from typing import Any

import pytest

from meshwright_plugins import meshwright_balancers
from meshwright_sdk import Endpoint
from meshwright_sdk.balancing import AnyBalancer
from meshwright_sdk.endpoint_group import EndpointGroup
from meshwright_sdk.testing import ManualClock, build, make_endpoint, make_request

PICKS = 6_000
OPTIONS: dict[str, dict[str, Any]] = {
    "locality": {"zone": "a"},
    "maglev": {"key": "header:x-user"},
    "ring_hash": {"key": "header:x-user", "points": 4000},
    "subset": {"labels": {"version": "{header:x-version}"}},
}
"""Options of those that cannot do without."""


def made(name: str, clock: ManualClock) -> AnyBalancer:
    module, _, attribute = meshwright_balancers()[name].partition(":")
    return build(getattr(import_module(module), attribute), random=Random(1), clock=clock, **OPTIONS.get(name, {}))


def group_of(*weights: int) -> EndpointGroup:
    return EndpointGroup(
        [make_endpoint(f"http://10.0.0.{place}:80", weight=weight) for place, weight in enumerate(weights, 1)]
    )


async def shares(balancer: AnyBalancer, group: EndpointGroup, clock: ManualClock) -> list[float]:
    """Return the share that each endpoint of the group gets of requests which are over at once, after a while."""
    for _ in range(200):
        balancer.pick(group.usable, make_request())
        await clock.advance(0.01)
    got = Counter(balancer.pick(group.usable, make_request()) for _ in range(PICKS))
    return [got[endpoint] / PICKS for endpoint in group.all]


def near(expected: list[float], tolerance: float = 0.0) -> Callable[[list[float]], bool]:
    bounds = [tolerance + 5 * sqrt(share * (1 - share) / PICKS) + 1 / PICKS for share in expected]
    return lambda got: all(abs(one - share) <= by for one, share, by in zip(got, expected, bounds, strict=True))


@pytest.mark.parametrize("name", sorted(meshwright_balancers()))
async def test_a_factor_takes_from_one_endpoint_and_leaves_the_others_their_proportion(name: str) -> None:
    clock = ManualClock()
    balancer, group = made(name, clock), group_of(1, 2, 1)
    plain = name == "round_robin"
    expected = [1 / 3, 1 / 3, 1 / 3] if plain else [0.25, 0.5, 0.25]
    assert near(expected)(await shares(balancer, group, clock))

    group.scale(group.all[2], "slow_start", 0.4)
    assert [endpoint.weight for endpoint in group.all] == [100, 200, 40]
    expected = expected if plain else [100 / 340, 200 / 340, 40 / 340]
    assert near(expected)(await shares(balancer, group, clock))

    group.scale(group.all[2], "slow_start", 1.0)
    assert near([1 / 3] * 3 if plain else [0.25, 0.5, 0.25])(await shares(balancer, group, clock))


@pytest.mark.parametrize("name", sorted(meshwright_balancers()))
async def test_weights_that_change_at_each_request_leave_the_shares_as_they_are(name: str) -> None:
    clock = ManualClock()
    balancer, group, chance = made(name, clock), group_of(1, 1, 1), Random(2)
    got: Counter[Endpoint | None] = Counter()
    for _ in range(PICKS):
        group.scale(chance.choice(group.all), "load", chance.choice((0.9, 1.0, 1.1)))
        got[balancer.pick(group.usable, make_request())] += 1
        await asyncio.sleep(0)

    assert near([1 / 3] * 3, 0.01)([got[endpoint] / PICKS for endpoint in group.all])


@pytest.mark.parametrize("name", sorted(meshwright_balancers()))
async def test_an_endpoint_that_is_taken_out_gets_nothing_and_then_its_share_again(name: str) -> None:
    clock = ManualClock()
    balancer, group = made(name, clock), group_of(1, 1, 1)
    first, *_ = group.all
    await shares(balancer, group, clock)
    group.eject(first, "outliers", "five failures in a row")
    assert near([0, 0.5, 0.5])(await shares(balancer, group, clock))

    group.restore(first, "outliers")
    assert near([1 / 3] * 3)(await shares(balancer, group, clock))
