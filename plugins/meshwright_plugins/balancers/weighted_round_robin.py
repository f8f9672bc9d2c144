"""`weighted_round_robin`: each endpoint in its turn, by weight; nothing about loads goes in here."""

from __future__ import annotations

from meshwright_sdk import NoOptions, SmoothBalancer


class WeightedRoundRobin(SmoothBalancer[NoOptions]):
    """Give each endpoint the exact share of its weight, spread evenly: 5, 1, 1 is taken as a a b a c a a.

    The default. Equal weights make it a plain round robin.
    """
