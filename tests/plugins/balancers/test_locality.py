from __future__ import annotations

from collections import Counter
from math import sqrt
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from meshwright_plugins.balancers.locality import Locality
from meshwright_sdk import Endpoint, EndpointGroup
from meshwright_sdk.testing import build, check_balancer, make_endpoint, make_request


def zones(**counts: int) -> list[Endpoint]:
    return [
        make_endpoint(f"http://10.0.{ord(zone[0])}.{number}:80", zone=zone)
        for zone, count in counts.items()
        for number in range(1, count + 1)
    ]


def local(group: EndpointGroup, **options: Any) -> Locality:
    """Return a balancer in zone a that was told of every endpoint, as a service does."""
    balancer = build(Locality, **{"zone": "a", **options})
    for endpoint in group.all:
        balancer.added(endpoint)
    return balancer


def shares(balancer: Locality, group: EndpointGroup) -> Any:
    balancer.pick(group.usable, make_request())
    state = balancer.state()
    assert state is not None
    return state["shares"]


def eject(group: EndpointGroup, zone: str, count: int) -> None:
    for endpoint in [each for each in group.all if each.instance.zone == zone][:count]:
        group.eject(endpoint, "health", "down")


def test_the_own_zone_gets_everything_while_it_can_carry_it() -> None:
    group = EndpointGroup(zones(a=7, b=7))
    balancer = local(group)
    assert shares(balancer, group) == {"a": 1.0}

    eject(group, "a", 2)
    assert shares(balancer, group) == {"a": 1.0}
    assert {balancer.pick(group.usable, make_request()) for _ in range(300)} == set(group.usable[:5])


def test_what_the_own_zone_cannot_carry_goes_to_the_others() -> None:
    group = EndpointGroup(zones(a=10, b=5, c=5))
    balancer = local(group)
    eject(group, "a", 5)
    assert shares(balancer, group) == {"a": 0.7, "others": 0.3}

    got = Counter(endpoint.instance.zone for endpoint in picks(balancer, group, 4000))
    assert abs(got["a"] - 2800) < 5 * sqrt(4000 * 0.7 * 0.3)
    assert abs(got["b"] - 600) < 5 * sqrt(4000 * 0.15 * 0.85)


def test_the_zones_of_failover_help_out_in_their_order() -> None:
    group = EndpointGroup(zones(a=10, b=10, c=10, d=10))
    balancer = local(group, failover=["c", "b"])
    eject(group, "a", 10)
    assert shares(balancer, group) == {"c": 1.0}

    eject(group, "c", 5)
    assert shares(balancer, group) == {"c": 0.7, "b": 0.3}


def test_when_all_together_can_carry_too_little_each_gets_its_part() -> None:
    group = EndpointGroup(zones(a=10, b=10), panic_threshold=0.0)
    balancer = local(group, overprovisioning=1.0)
    eject(group, "a", 8)
    eject(group, "b", 7)

    assert shares(balancer, group) == {"a": 0.4, "others": 0.6}


def test_a_zone_that_has_no_endpoint_is_passed_over() -> None:
    group = EndpointGroup(zones(b=2, c=2))

    assert shares(local(group), group) == {"others": 1.0}
    assert shares(local(group, failover=["c"]), group) == {"c": 1.0}


def test_capacity_is_counted_by_the_weights_of_the_instances_not_by_what_policies_make_of_them() -> None:
    group = EndpointGroup(zones(a=2, b=2))
    balancer = local(group)
    group.scale(group.all[0], "slow_start", 0.1)
    eject(group, "b", 1)
    group.eject(group.all[1], "health", "down")

    assert shares(balancer, group) == {"a": 0.7, "others": 0.3}


def test_an_endpoint_that_has_gone_for_good_is_no_capacity_that_is_missing() -> None:
    group = EndpointGroup(zones(a=4, b=4))
    balancer = local(group)
    gone = group.all[:3]
    group.replace(group.all[3:])
    assert shares(balancer, group) == {"a": 0.35, "others": 0.65}

    for endpoint in gone:
        balancer.removed(endpoint)
    group.scale(group.all[0], "x", 0.9)
    assert shares(balancer, group) == {"a": 1.0}


def test_endpoints_without_any_weight_are_all_alike() -> None:
    endpoints = [make_endpoint(f"http://10.0.0.{place}:80", zone=zone, weight=0) for place, zone in enumerate("ab", 1)]

    balancer = build(Locality, zone="a")
    assert {balancer.pick(endpoints, make_request()) for _ in range(50)} == set(endpoints)


def picks(balancer: Locality, group: EndpointGroup, count: int) -> list[Endpoint]:
    picked = [balancer.pick(group.usable, make_request()) for _ in range(count)]
    return [endpoint for endpoint in picked if endpoint is not None]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=4, max_size=4).filter(
        lambda zones: any(count > out for count, out in zones)
    ),
    st.sampled_from([1.0, 1.4, 2.0]),
    st.integers(0, 100),
)
def test_requests_are_divided_by_the_formula(counts: list[tuple[int, int]], factor: float, seed: int) -> None:
    names = "abcd"
    group = EndpointGroup(
        zones(**{name: count for name, (count, _) in zip(names, counts, strict=True)}), panic_threshold=0.0
    )
    balancer = local(group, failover=["b", "c"], overprovisioning=factor, random=Random(seed))
    for name, (count, out) in zip(names, counts, strict=True):
        eject(group, name, min(count, out))
    carried = [min(1.0, factor * max(count - out, 0) / count) if count else 0.0 for count, out in counts]
    whole, expected, left = min(sum(carried), 1.0), {}, 1.0
    for name, load in zip(names, carried, strict=True):
        expected[name] = min(load / whole, left)
        left -= expected[name]

    got = Counter(endpoint.instance.zone for endpoint in picks(balancer, group, 500))

    for name, share in expected.items():
        assert abs(got[name] - 500 * share) <= 6 * sqrt(500 * share * (1 - share)) + 0.01


@pytest.mark.parametrize("failover", [["a"], ["b", "b"]])
def test_a_zone_that_is_named_twice_is_refused(failover: list[str]) -> None:
    with pytest.raises(ValidationError, match="failover: expected other zones than 'a', each once; got "):
        build(Locality, zone="a", failover=failover)


@pytest.mark.parametrize("zone", ["a", "nowhere"])
async def test_it_holds_to_the_contract_of_balancers(zone: str) -> None:
    await check_balancer(build(Locality, zone=zone, failover=["b"]))
