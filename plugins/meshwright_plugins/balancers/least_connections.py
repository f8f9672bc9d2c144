"""`least_connections`: the endpoint with the fewest requests in flight; nothing about time taken goes in here."""

from __future__ import annotations

from collections.abc import Sequence

from meshwright_sdk import Endpoint, NoOptions, Request, SmoothBalancer


class LeastConnections(SmoothBalancer[NoOptions]):
    """Take the endpoint with the fewest requests in flight for its weight.

    Of equals, the one whose turn it is by weight, so that idle endpoints get their shares too; else one by
    chance and weight. Costs a look at each endpoint, unless the one whose turn it is has nothing to do.
    """

    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        due = super().pick(endpoints, request)
        if due is None or due.in_flight == 0:
            return due
        return self._least(endpoints, due)

    def _least(self, endpoints: Sequence[Endpoint], due: Endpoint) -> Endpoint:
        chance = self.context.random.random
        best, best_weight = due, due.weight or 1
        equals = 0  # their weight together, without `due`, which yields to none
        for endpoint in endpoints:
            weight = endpoint.weight if due.weight else 1
            difference = endpoint.in_flight * best_weight - best.in_flight * weight
            if weight == 0 or difference > 0 or (difference == 0 and best is due):
                continue
            equals = weight if difference < 0 else equals + weight
            if difference < 0 or chance() * equals < weight:
                best, best_weight = endpoint, weight
        return best
