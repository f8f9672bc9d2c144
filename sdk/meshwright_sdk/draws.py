"""`Draws` and `Pair`: indexes by chance and weight, and the better of two endpoints; measuring goes elsewhere."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import Random

from meshwright_sdk.balancing import Endpoint
from meshwright_sdk.weights import effective_weights


class Draws:
    """Draws indexes by weight; all weights 0 are equal.

    Making one costs a step for each weight, a draw a binary search.
    """

    __slots__ = ("_bounds", "_random", "weights")

    def __init__(self, weights: Sequence[int], random: Random) -> None:
        # Whole numbers, because a sum of fractions may be rounded up to the end of the last weight, and beyond it.
        self.weights = effective_weights(weights)
        self._bounds = list(accumulate(self.weights))
        self._random = random.random

    def one(self) -> int:
        """Return an index."""
        bounds = self._bounds
        return bisect(bounds, int(self._random() * bounds[-1]))

    def two(self) -> tuple[int, int]:
        """Return two indexes, different ones unless one has all the weight."""
        bounds = self._bounds
        first = bisect(bounds, int(self._random() * bounds[-1]))
        rest = bounds[-1] - self.weights[first]
        if rest == 0:
            return first, first
        point = int(self._random() * rest)
        before = bounds[first] - self.weights[first]
        return first, bisect(bounds, point if point < before else point + self.weights[first])


class Pair:
    """Draws two endpoints by weight and takes the one with fewer requests in flight for its weight."""

    __slots__ = ("_draw", "_endpoints", "_weights")

    def __init__(self, endpoints: Sequence[Endpoint], random: Random) -> None:
        draws = Draws([endpoint.weight for endpoint in endpoints], random)
        self._endpoints = endpoints
        self._weights = draws.weights
        self._draw = draws.two

    def less_loaded(self) -> Endpoint:
        """Return the endpoint taken."""
        first, second = self._draw()
        one, other = self._endpoints[first], self._endpoints[second]
        if other.in_flight * self._weights[first] < one.in_flight * self._weights[second]:
            return other
        return one
