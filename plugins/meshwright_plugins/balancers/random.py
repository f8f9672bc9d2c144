"""`random`: an endpoint by chance and weight; nothing about turns or loads goes in here."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate

from meshwright_sdk import Balancer, Context, Endpoint, NoOptions, Request, effective_weights


class Random(Balancer[NoOptions]):
    """Choose by chance, in proportion to the weights: nothing is remembered from one request to the next."""

    def __init__(self, options: NoOptions, context: Context) -> None:
        super().__init__(options, context)
        self._random = context.random.random
        self._endpoints: Sequence[Endpoint] = ()
        self._bounds: list[int] = []

    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        if not endpoints:
            return None
        if endpoints is not self._endpoints:
            self._bounds = list(accumulate(effective_weights([endpoint.weight for endpoint in endpoints])))
            self._endpoints = endpoints
        bounds = self._bounds
        return endpoints[bisect(bounds, int(self._random() * bounds[-1]))]
