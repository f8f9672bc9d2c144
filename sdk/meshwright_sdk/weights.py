"""Weights as shares: `SmoothWeights`, and `SmoothBalancer` on top of it; where weights come from goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from math import gcd

from meshwright_sdk.balancing import Balancer, Endpoint
from meshwright_sdk.plugin import Context, O_co
from meshwright_sdk.request import Request

_LONGEST_CYCLE = 10_000
_MOST_SKIPPED = 2_000
"""Turns passed over at the start of a list, times the distinct weights in it: half a millisecond at most."""


def effective_weights(weights: Sequence[int]) -> list[int]:
    """Return the weights that count: as they are, or 1 for each when all of them are 0.

    Raises ValueError when there are none, or one is below 0.
    """
    if not weights or min(weights) < 0:
        raise ValueError(f"weights: expected one or more numbers, each 0 or more; got {list(weights)}")
    return list(weights) if any(weights) else [1] * len(weights)


class SmoothWeights:
    """An endless sequence of indexes that gives each weight its exact share, spread evenly, as nginx does it.

    Of any `period` results in a row (the sum of the weights by their greatest common divisor), index i is
    exactly w_i / sum(w). 5, 1, 1 gives 0 0 1 0 2 0 0. Weights of 0 get nothing, unless all are 0: then they
    are equal. A period of up to 10,000 is computed once, on its first round, and costs one look-up from then
    on; a longer one costs a step for each distinct weight.
    """

    __slots__ = ("next", "period")

    next: Callable[[], int]
    """Return the next index; never ends, never raises."""

    def __init__(self, weights: Sequence[int]) -> None:
        counted = effective_weights(weights)
        self.period = sum(counted) // gcd(*counted)
        steps = _smooth(counted)
        endless = cycle(islice(steps, self.period)) if self.period <= _LONGEST_CYCLE else steps
        self.next = endless.__next__


class _Turns:
    """The indexes of one weight, which take turns; `credit` is what the next of them has saved up."""

    __slots__ = ("credit", "index", "indexes", "turn", "weight")

    def __init__(self, weight: int, indexes: list[int]) -> None:
        self.weight = weight
        self.indexes = indexes
        self.turn = 0
        self.index = indexes[0]
        self.credit = 0

    def take(self, total: int) -> int:
        """Return the index whose turn it is, and let the next one step up.

        All of them have saved the same; whoever was taken in this round is `total` behind, so that the
        credit of the next falls only when a new round begins.
        """
        taken = self.index
        self.turn += 1
        if self.turn == len(self.indexes):
            self.turn = 0
            self.credit -= total
        self.index = self.indexes[self.turn]
        return taken


def _smooth(weights: Sequence[int]) -> Iterator[int]:
    """Yield indexes for ever: each step every index saves its weight, and the richest (the first of equals) pays all.

    Equal weights are stepped together, which gives the same sequence in fewer steps.
    """
    total = sum(weights)
    indexes: dict[int, list[int]] = {}
    for index, weight in enumerate(weights):
        indexes.setdefault(weight, []).append(index)
    groups = [_Turns(weight, of_weight) for weight, of_weight in indexes.items() if weight]
    while True:
        for group in groups:
            group.credit += group.weight
        richest = max(groups, key=lambda group: (group.credit, -group.index))
        yield richest.take(total)


class SmoothBalancer(Balancer[O_co]):
    """A balancer that goes round its endpoints by `weigh`, in the order of `SmoothWeights`.

    A list is followed from a random place, so that many gateways which start together do not meet on one
    endpoint, and lists which change often favour nobody. One that comes for the first time while another is
    followed may be the part that a retry passes and never comes again: it gets one random pick by weight, and the
    turns of the list before stay where they are. When it comes a second time it is the new list.
    """

    def __init__(self, options: O_co, context: Context) -> None:
        super().__init__(options, context)
        self._endpoints: Sequence[Endpoint] = ()
        self._stranger: Sequence[Endpoint] = ()
        self._next: Callable[[], int] = int

    def weigh(self, endpoint: Endpoint) -> int:
        """Return the weight of `endpoint`, 0 or more; asked once a list."""
        return endpoint.weight

    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        """Return the endpoint whose turn it is."""
        if endpoints is not self._endpoints:
            return self._pick_of_another_list(endpoints)
        return endpoints[self._next()] if endpoints else None

    def _pick_of_another_list(self, endpoints: Sequence[Endpoint]) -> Endpoint | None:
        if not endpoints:
            return None
        weights = effective_weights([self.weigh(endpoint) for endpoint in endpoints])
        if self._endpoints and endpoints is not self._stranger:
            self._stranger = endpoints
            return self.context.random.choices(endpoints, weights)[0]
        self._follow(endpoints, weights)
        return endpoints[self._next()]

    def _follow(self, endpoints: Sequence[Endpoint], weights: Sequence[int]) -> None:
        turns = SmoothWeights(weights)
        affordable = max(_MOST_SKIPPED // len(set(weights)), 1)
        for _ in range(self.context.random.randrange(min(turns.period, affordable))):
            turns.next()
        self._endpoints, self._stranger, self._next = endpoints, (), turns.next
