from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import sqrt
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from meshwright_plugins.balancers.subset import Subset
from meshwright_sdk import Endpoint
from meshwright_sdk.testing import build, check_balancer, make_endpoint, make_request

PARTS = st.tuples(st.sampled_from(["", "v1", "v2"]), st.integers(0, 4))
BY_VERSION = {"version": "{header:x-version}"}


def endpoint(version: str = "", tier: str = "", weight: int = 1) -> Endpoint:
    labels = {name: value for name, value in (("version", version), ("tier", tier)) if value}
    return make_endpoint(f"http://{version or 'x'}-{tier or 'x'}.test:80", labels=labels, weight=weight)


def picks(balancer: Subset, endpoints: Sequence[Endpoint], version: str | None = None, count: int = 60) -> Any:
    request = make_request(headers={} if version is None else {"x-version": version})
    return Counter(balancer.pick(endpoints, request) for _ in range(count))


def test_endpoints_with_the_label_asked_for_are_taken() -> None:
    endpoints = [endpoint("v1"), endpoint("v2"), endpoint("v2"), endpoint()]
    balancer = build(Subset, labels=BY_VERSION)

    assert set(picks(balancer, endpoints, "v2")) == set(endpoints[1:3])
    assert set(picks(balancer, endpoints, "v1")) == {endpoints[0]}


def test_every_label_that_is_asked_for_has_to_be_there() -> None:
    endpoints = [endpoint("v1", "gold"), endpoint("v2", "gold"), endpoint("v2"), endpoint("v2", "gold")]
    balancer = build(Subset, labels={**BY_VERSION, "tier": "gold"})

    assert set(picks(balancer, endpoints, "v2")) == {endpoints[1], endpoints[3]}
    assert set(picks(balancer, endpoints)) == {endpoints[0], endpoints[1], endpoints[3]}


@pytest.mark.parametrize("asked", [None, "v9", ""])
def test_a_request_that_asks_for_nothing_or_for_what_nobody_has_gets_the_fallback(asked: str | None) -> None:
    endpoints = [endpoint("v1"), endpoint("v2"), endpoint()]

    assert set(picks(build(Subset, labels=BY_VERSION), endpoints, asked)) == set(endpoints)
    assert set(picks(build(Subset, labels=BY_VERSION, fallback="none"), endpoints, asked)) == {None}
    default = build(Subset, labels=BY_VERSION, fallback="default", default={"version": "v1"})
    assert set(picks(default, endpoints, asked)) == {endpoints[0]}


def test_a_default_that_nobody_has_is_nobody() -> None:
    default = build(Subset, labels=BY_VERSION, fallback="default", default={"version": "v7"})

    assert set(picks(default, [endpoint("v1")])) == {None}


def test_a_subset_of_no_weight_is_none() -> None:
    endpoints = [endpoint("v1"), endpoint("v2", weight=0)]

    assert set(picks(build(Subset, labels=BY_VERSION), endpoints, "v2")) == {endpoints[0]}
    assert set(picks(build(Subset, labels=BY_VERSION, fallback="none"), endpoints, "v2")) == {None}


def test_what_clients_ask_for_is_not_kept() -> None:
    balancer, endpoints = build(Subset, labels=BY_VERSION), [endpoint("v1"), endpoint("v2")]
    for number in range(1000):
        picks(balancer, endpoints, str(number), 1)
    picks(balancer, endpoints, "v1", 1)

    prepared = balancer.prepare(endpoints)
    assert len(prepared.members) == 2
    assert balancer._prepared is not None
    assert len(balancer._prepared.pairs) == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(PARTS, min_size=1, max_size=8), st.integers(0, 99))
def test_a_subset_is_shared_by_weight(parts: list[tuple[str, int]], seed: int) -> None:
    endpoints = [endpoint(version, weight=weight) for version, weight in parts]
    got = picks(build(Subset, labels=BY_VERSION, fallback="none", random=Random(seed)), endpoints, "v2", 400)

    weighty = [each for each in endpoints if each.weight] or endpoints
    members = [each for each in weighty if each.instance.labels.get("version") == "v2"]
    assert set(got) <= set(members) or (set(got), members) == ({None}, [])
    for each in members:
        share = (each.weight or 1) / sum(other.weight or 1 for other in members)
        assert abs(got[each] - 400 * share) <= 6 * sqrt(400 * share * (1 - share)) + 0.01


@pytest.mark.parametrize(
    "options",
    [
        {"fallback": "default"},
        {"default": {"version": "v1"}},
    ],
)
def test_default_and_its_labels_go_together(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="default: expected labels with `fallback: default`, and only with it"):
        build(Subset, labels=BY_VERSION, **options)


async def test_it_holds_to_the_contract_of_balancers() -> None:
    await check_balancer(build(Subset, labels={"version": "{header:x-user}"}))
