"""`random`: an endpoint by chance and weight; nothing about turns or loads goes in here."""

from __future__ import annotations

from collections.abc import Sequence

from meshwright_sdk import Draws, Endpoint, NoOptions, PreparedBalancer, Request


class Random(PreparedBalancer[NoOptions, tuple[Sequence[Endpoint], Draws]]):
    """Choose by chance, in proportion to the weights: nothing is remembered from one request to the next."""

    def prepare(self, endpoints: Sequence[Endpoint]) -> tuple[Sequence[Endpoint], Draws]:
        return endpoints, Draws([endpoint.weight for endpoint in endpoints], self.context.random)

    def choose(self, prepared: tuple[Sequence[Endpoint], Draws], request: Request) -> Endpoint | None:
        endpoints, draws = prepared
        return endpoints[draws.one()]
