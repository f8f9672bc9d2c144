"""`two_choices`: the less loaded of two endpoints drawn by chance; nothing that looks at all of them goes in here."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate

from meshwright_sdk import Balancer, Context, Endpoint, NoOptions, Request, effective_weights


class TwoChoices(Balancer[NoOptions]):
    """Draw two endpoints by weight and take the one with fewer requests in flight for its weight.

    Nearly as even as `least_connections`, at a cost that does not grow with the number of endpoints; and many
    gateways that know only their own requests do not all run to the same endpoint
    (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001).
    """

    def __init__(self, options: NoOptions, context: Context) -> None:
        super().__init__(options, context)
        self._random = context.random.random
        self._endpoints: Sequence[Endpoint] = ()
        self._weights: list[int] = []
        self._bounds: list[int] = []

    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        if not endpoints:
            return None
        if endpoints is not self._endpoints:
            self._weights = effective_weights([endpoint.weight for endpoint in endpoints])
            self._bounds = list(accumulate(self._weights))
            self._endpoints = endpoints
        first, second = self._draw()
        one, other = endpoints[first], endpoints[second]
        if other.in_flight * self._weights[first] < one.in_flight * self._weights[second]:
            return other
        return one

    def _draw(self) -> tuple[int, int]:
        """Return two indexes, different ones unless a single endpoint has all the weight."""
        # Whole numbers, because a sum of fractions may be rounded up to the end of the last weight, and beyond it.
        bounds = self._bounds
        first = bisect(bounds, int(self._random() * bounds[-1]))
        rest = bounds[-1] - self._weights[first]
        if rest == 0:
            return first, first
        point = int(self._random() * rest)
        before = bounds[first] - self._weights[first]
        return first, bisect(bounds, point if point < before else point + self._weights[first])
