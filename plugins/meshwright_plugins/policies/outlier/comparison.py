"""`outliers`: which of several endpoints do much worse than the others; what becomes of them goes elsewhere."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from math import inf
from statistics import fmean, pstdev
from typing import NamedTuple, TypeVar

_ROUNDING = 1e-9

E = TypeVar("E", bound=Hashable)


class Comparison(NamedTuple):
    """Shares of good answers, with their mean, and below which of them an endpoint is an outlier."""

    mean: float
    threshold: float


def compare(rates: Mapping[E, float], deviations: float, margin: float) -> Comparison:
    """Return the mean of shares from 0 to 1, and what is so many standard deviations, and the margin, below it."""
    if not rates:
        return Comparison(0.0, -inf)
    mean = fmean(rates.values())
    return Comparison(mean, mean - max(deviations * pstdev(rates.values()), margin))


def outliers(rates: Mapping[E, float], comparison: Comparison) -> list[E]:
    """Return those below the threshold, the worst first; what only rounding puts below is not."""
    below = [each for each, rate in rates.items() if rate < comparison.threshold - _ROUNDING]
    return sorted(below, key=rates.__getitem__)
