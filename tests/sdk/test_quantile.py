from __future__ import annotations

from math import ceil, inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright_sdk import RollingQuantile
from meshwright_sdk.quantile import KEPT


def test_before_the_minimum_there_is_no_value() -> None:
    quantile = RollingQuantile(0.95, minimum=3)
    values = []
    for _ in range(3):
        quantile.observe(0.01)
        values.append(quantile.value)

    assert values[:2] == [inf, inf]
    assert 0.01 <= values[2] <= 0.0105


@given(
    st.lists(st.floats(0.0002, 90.0), min_size=1, max_size=300),
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_it_is_the_quantile_and_at_most_five_percent_more(times_s: list[float], share: float) -> None:
    quantile = RollingQuantile(share, minimum=len(times_s))
    for time_s in times_s:
        quantile.observe(time_s)
    exact = sorted(times_s)[max(0, ceil(share * len(times_s) - 1e-9) - 1)]

    assert exact * 0.999 <= quantile.value <= exact * 1.051


@pytest.mark.parametrize(("time_s", "value"), [(0.0, 0.0001), (-1.0, 0.0001), (5000.0, 103.7)])
def test_times_beyond_its_bounds_count_at_the_bounds(time_s: float, value: float) -> None:
    quantile = RollingQuantile(0.95, minimum=1)
    quantile.observe(time_s)

    assert quantile.value == pytest.approx(value, rel=0.05)


def test_old_times_are_forgotten() -> None:
    quantile = RollingQuantile(0.95, minimum=10)
    for time_s in (1.0, 0.01):
        for _ in range(20 * KEPT):
            quantile.observe(time_s)

    assert quantile.value == pytest.approx(0.01, rel=0.06)


def test_it_follows_a_distribution_closely() -> None:
    random, quantile = Random(1), RollingQuantile(0.95, minimum=10)
    for _ in range(5000):
        quantile.observe(random.expovariate(100))

    assert quantile.value == pytest.approx(0.03, rel=0.15)  # -ln(0.05) / 100
