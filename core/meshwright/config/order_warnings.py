"""Filters in an order that makes little sense; which order does is said by the filters themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations

from meshwright.config.model import GatewayConfig
from meshwright.config.problems import KeyPath

Place = tuple[KeyPath, str]
"""Where a filter stands, and its name."""

Misplaced = tuple[Place, Place, str]
"""A filter, the one inside of it that should be around it, and why."""

GoesInside = Callable[[str], Mapping[str, str]]
"""Return, for a filter's name, the filters that it goes inside of, each with the reason."""


def misplaced(config: GatewayConfig, goes_inside: GoesInside) -> Iterator[Misplaced]:
    """Yield each pair of filters that stand in the wrong order in some chain, once."""
    told: set[tuple[KeyPath, KeyPath]] = set()
    reasons: dict[str, Mapping[str, str]] = {}
    for chain in _chains(config):
        for outer, inner in combinations(chain, 2):
            name = outer[1]
            if name not in reasons:
                reasons[name] = goes_inside(name)
            why = reasons[name].get(inner[1])
            if why is not None and (outer[0], inner[0]) not in told:
                told.add((outer[0], inner[0]))
                yield outer, inner, why


def _chains(config: GatewayConfig) -> Iterator[list[Place]]:
    """Yield every chain that a request can go through, outermost first."""
    everywhere: list[Place] = [(("filters", index), use.name) for index, use in enumerate(config.filters)]
    around: dict[str, list[Place]] = {
        name: [(("services", name, "filters", index), use.name) for index, use in enumerate(service.filters)]
        for name, service in config.services.items()
    }
    for number, route in enumerate(config.routes):
        own = [(("routes", number, "filters", index), use.name) for index, use in enumerate(route.filters)]
        for target in route.to or (None,):
            yield [*everywhere, *own, *(around.get(target.service, ()) if target is not None else ())]
