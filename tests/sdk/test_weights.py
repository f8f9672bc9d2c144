from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice, product
from math import sqrt
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshwright_sdk import Endpoint, NoOptions, SmoothBalancer, SmoothWeights, effective_weights
from meshwright_sdk.testing import build, make_endpoint, make_request

WEIGHTS = st.lists(st.integers(0, 8), min_size=1, max_size=6)


class Balancer(SmoothBalancer[NoOptions]):
    pass


def taken(weights: Sequence[int], count: int) -> list[int]:
    turns = SmoothWeights(weights)
    return [turns.next() for _ in range(count)]


def plain(weights: Sequence[int], count: int) -> list[int]:
    """Return nginx' sequence by its own rule: everybody saves their weight, the richest pays the total."""
    saved = [0] * len(weights)
    sequence = []
    for _ in range(count):
        saved = [have + weight for have, weight in zip(saved, weights, strict=True)]
        richest = max((index for index, weight in enumerate(weights) if weight), key=lambda index: saved[index])
        saved[richest] -= sum(weights)
        sequence.append(richest)
    return sequence


def endpoints_of(*weights: int) -> list[Endpoint]:
    return [make_endpoint(f"http://10.0.0.{place}:80", weight=weight) for place, weight in enumerate(weights, 1)]


def picks(balancer: Balancer, endpoints: Sequence[Endpoint], count: int) -> list[int]:
    found = []
    for _ in range(count):
        endpoint = balancer.pick(endpoints, make_request())
        assert endpoint is not None
        found.append(endpoints.index(endpoint))
    return found


def test_five_one_one_is_spread_as_nginx_spreads_it() -> None:
    assert taken((5, 1, 1), 14) == [0, 0, 1, 0, 2, 0, 0] * 2


def test_equal_weights_are_taken_in_turn() -> None:
    assert taken((7, 7, 7), 6) == [0, 1, 2, 0, 1, 2]


def test_a_weight_of_zero_gets_nothing() -> None:
    assert set(taken((0, 2, 0, 1), 30)) == {1, 3}


def test_weights_that_are_all_zero_are_equal() -> None:
    assert taken((0, 0), 4) == [0, 1, 0, 1]
    assert effective_weights([0, 0]) == [1, 1]


@pytest.mark.parametrize("wrong", [(), (1, -1)])
def test_weights_without_a_sense_are_refused(wrong: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="weights: expected one or more numbers, each 0 or more; got "):
        SmoothWeights(wrong)


def test_any_three_hundred_of_two_to_one_are_two_hundred_and_one_hundred() -> None:
    sequence = taken((2, 1), 1000)

    assert {sequence[start : start + 300].count(0) for start in range(700)} == {200}


@given(WEIGHTS.filter(any), st.integers(0, 100))
@example([1, 4, 1], 6)
def test_the_sequence_is_the_one_of_the_plain_rule(weights: list[int], count: int) -> None:
    assert taken(weights, count) == plain(weights, count)


@given(WEIGHTS, st.integers(0, 200))
def test_every_period_in_a_row_gives_exact_shares(weights: list[int], start: int) -> None:
    counted = effective_weights(weights)
    turns = SmoothWeights(weights)
    window = Counter(islice(iter(turns.next, None), start, start + turns.period))

    assert {index: window[index] * sum(counted) for index in range(len(weights))} == {
        index: weight * turns.period for index, weight in enumerate(counted)
    }


@given(WEIGHTS.filter(any), st.integers(1, 100))
def test_no_share_is_ever_further_off_than_one_pick_of_each_other(weights: list[int], count: int) -> None:
    got = Counter(taken(weights, count))

    for index, weight in enumerate(weights):
        assert abs(got[index] - count * weight / sum(weights)) < len(weights)


def test_a_period_too_long_to_keep_gives_the_same_sequence() -> None:
    weights = (10_007, 9_973, 5)

    assert SmoothWeights(weights).period == 19_985
    assert taken(weights, 20_100) == plain(weights, 20_100)


def test_a_balancer_without_endpoints_picks_none() -> None:
    balancer = build(Balancer)

    assert balancer.pick((), make_request()) is None
    assert balancer.pick([], make_request()) is None
    assert balancer.pick(endpoints_of(1), make_request()) is not None
    assert balancer.pick([], make_request()) is None
    assert balancer.pick((), make_request()) is None


def test_a_list_is_followed_in_the_order_of_its_weights() -> None:
    taken = "".join(map(str, picks(build(Balancer), endpoints_of(5, 1, 1), 14)))

    assert taken in "0010200" * 4
    assert taken[:7] == taken[7:]


@pytest.mark.parametrize("weights", [(1,) * 10, (5, 3, 2)])
def test_gateways_that_start_together_do_not_meet_on_one_endpoint(weights: tuple[int, ...]) -> None:
    endpoints = endpoints_of(*weights)
    got = Counter(picks(build(Balancer, random=Random(seed)), endpoints, 1)[0] for seed in range(1000))

    for place, weight in enumerate(weights):
        share = weight / sum(weights)
        assert abs(got[place] - 1000 * share) < 5 * sqrt(1000 * share * (1 - share))


def test_a_long_list_of_many_weights_is_begun_without_going_all_the_way_round() -> None:
    class Farthest(Random):
        def randrange(self, start: int, *_: int) -> int:  # type: ignore[override] # only this form is called
            farthest.append(start)
            return start - 1

    farthest: list[int] = []
    picks(build(Balancer, random=Farthest()), endpoints_of(*range(1, 201)), 1)

    assert farthest == [10]


def test_the_part_that_a_retry_passes_leaves_the_turns_where_they_are() -> None:
    balancer, endpoints = build(Balancer), endpoints_of(1, 1, 1)
    first, again = [], []
    for _ in range(300):
        [place] = picks(balancer, endpoints, 1)
        first.append(place)
        rest = [endpoint for endpoint in endpoints if endpoint is not endpoints[place]]
        again.append(endpoints.index(rest[picks(balancer, rest, 1)[0]]))

    assert first == (first[:3] * 100)
    assert set(first) == {0, 1, 2}
    assert all(80 < again.count(place) < 120 for place in range(3))


def test_a_list_that_comes_again_is_followed_with_exact_shares() -> None:
    balancer = build(Balancer)
    picks(balancer, endpoints_of(1, 1), 3)
    changed = endpoints_of(2, 1)
    picks(balancer, changed, 1)

    assert sorted(Counter(picks(balancer, changed, 300)).items()) == [(0, 200), (1, 100)]


def test_lists_that_change_all_the_time_favour_nobody() -> None:
    balancer = build(Balancer)
    got = Counter(place for _ in range(1500) for place in picks(balancer, endpoints_of(2, 1, 0), 2))

    assert 1900 < got[0] < 2100
    assert got[2] == 0


def test_a_changed_weight_counts_when_the_service_passes_a_new_list() -> None:
    balancer, endpoints = build(Balancer), tuple(endpoints_of(1, 1))
    picks(balancer, endpoints, 2)
    endpoints[1].weight = 0
    changed = (endpoints[0], endpoints[1])

    assert set(picks(balancer, changed, 10)) == {0}


@given(st.lists(st.integers(0, 3), max_size=5), st.integers(1, 12))
def test_a_pick_is_always_one_of_the_list(weights: list[int], count: int) -> None:
    balancer = build(Balancer)
    endpoints = endpoints_of(*weights)
    for size, _ in product(range(len(endpoints) + 1), range(count)):
        pick = balancer.pick(endpoints[:size], make_request())
        assert pick in endpoints[:size] if size else pick is None
