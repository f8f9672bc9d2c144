"""`round_robin`: each endpoint in its turn; nothing about loads or shares goes in here."""

from __future__ import annotations

from meshwright_sdk import Endpoint, NoOptions, SmoothBalancer


class RoundRobin(SmoothBalancer[NoOptions]):
    """Take each endpoint in its turn, all alike: a weight of 0 puts one out of the round, others mean nothing."""

    def weigh(self, endpoint: Endpoint) -> int:
        return min(endpoint.weight, 1)
