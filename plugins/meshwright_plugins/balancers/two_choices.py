"""`two_choices`: the less loaded of two endpoints drawn by chance; nothing that looks at all of them goes in here."""

from __future__ import annotations

from collections.abc import Sequence

from meshwright_sdk import Endpoint, NoOptions, Pair, PreparedBalancer, Request


class TwoChoices(PreparedBalancer[NoOptions, Pair]):
    """Draw two endpoints by weight and take the one with fewer requests in flight for its weight.

    Nearly as even as `least_connections`, at a cost that does not grow with the number of endpoints; and many
    gateways that know only their own requests do not all run to the same endpoint
    (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001).
    """

    def prepare(self, endpoints: Sequence[Endpoint]) -> Pair:
        return Pair(endpoints, self.context.random)

    def choose(self, prepared: Pair, request: Request) -> Endpoint | None:
        return prepared.less_loaded()
