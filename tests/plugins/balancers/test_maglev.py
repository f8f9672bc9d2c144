from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from math import sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from meshwright_plugins.balancers.maglev import Maglev
from meshwright_sdk import KeyTable, hash_of
from meshwright_sdk.testing import build, check_balancer
from tests.plugins.balancers.keys import REQUESTS, SEEDS, WEIGHTS, endpoints_of, owners


def table(**options: Any) -> Maglev:
    return build(Maglev, key="header:x-user", **options)


@settings(max_examples=15, deadline=None)
@given(WEIGHTS, SEEDS)
async def test_the_shares_of_the_table_are_those_of_the_weights(weights: list[int], seed: int) -> None:
    endpoints = endpoints_of(*weights, seed=seed)
    got = Counter(await owners(table(), endpoints))

    for endpoint in endpoints:
        share = endpoint.weight / sum(weights)
        assert abs(got[endpoint] / len(REQUESTS) - share) < 5 * sqrt(share * (1 - share) / len(REQUESTS)) + 2 / 16_381


async def test_more_endpoints_than_entries_and_weights_of_any_size_find_a_place() -> None:
    many, uneven = endpoints_of(*[1] * 200), endpoints_of(1, 70_000)

    assert len(set(await owners(table(table_size=31), many))) > 20
    assert set(await owners(table(), uneven)) == {uneven[1]}


def plain(size: int, names: Sequence[str]) -> list[int]:
    """Return the table by the rule of the paper, for equal weights: whose turn it is takes the next free entry."""
    entries = [-1] * size
    cursors = [hash_of(name) % size for name in names]
    for turn in range(size):
        index = turn % len(names)
        while entries[cursors[index]] != -1:
            cursors[index] = (cursors[index] + hash_of(names[index]) // size % (size - 1) + 1) % size
        entries[cursors[index]] = index
    return entries


def built(filling: Generator[None, None, KeyTable]) -> KeyTable:
    while True:
        try:
            next(filling)
        except StopIteration as done:
            made: KeyTable = done.value
            return made


@settings(deadline=None)
@given(st.sampled_from([3, 31, 251, 4093, 20_011]), st.integers(1, 9), SEEDS)
def test_the_table_is_the_one_of_the_paper(size: int, count: int, seed: int) -> None:
    endpoints = endpoints_of(*[1] * min(count, size), seed=seed)
    filling, names = table(table_size=size).build(dict.fromkeys(endpoints, 1.0)), [each.url for each in endpoints]
    result = built(filling)
    made = [names.index(result.owner(place).url) for place in range(size)]
    # In the last round, those get one more whose quota was rounded up.
    assert sum(one != other for one, other in zip(made, plain(size, names), strict=True)) <= 2 * len(names)


def test_a_table_that_is_no_prime_number_long_is_refused() -> None:
    with pytest.raises(ValidationError, match="expected a prime number such as 4093, 16381 or 65537; got 4096"):
        table(table_size=4096)


async def test_it_holds_to_the_contract_of_balancers() -> None:
    await check_balancer(table(table_size=4093))
