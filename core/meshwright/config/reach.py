"""Routes that no request can reach, by the order of the router `table`; what is wrong with a route goes elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from meshwright.config.model import ConditionConfig, GatewayConfig, MatchConfig, RouteConfig

ROUTER = "table"
"""Of other routers the order is not known."""

_EVERY_PATH = "/*"
_NAME = re.compile(r"\{[^}]*\}")
_Fields: TypeAlias = tuple[frozenset[object], ...]


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The index of a route, and that of one which takes all of its requests."""

    route: int
    taken_by: int
    is_after_prefix: bool


def unreachable(config: GatewayConfig) -> Iterator[Unreachable]:
    """Yield the routes that are certainly never chosen; there may be more.

    On its host a regular expression comes after every prefix, so also after one that takes every path. Of routes
    that differ in methods at most, the first in the file is chosen.
    """
    if config.router.name != ROUTER:
        return
    order = _Order(config.routes)
    for index, route in enumerate(config.routes):
        takers = [order.taker(index, route.match, host) for host in _hosts(route.match)]
        first = takers[0]
        if first is not None and None not in takers:
            yield Unreachable(index, first, order.is_after_prefix(route.match, first))


@dataclass(slots=True)
class _Order:
    """Finds what is chosen before a route; knows the routes up to the one that was asked for last."""

    routes: Sequence[RouteConfig]
    every_path: dict[str, int] = field(default_factory=dict)
    same: dict[tuple[str, str, bool, _Fields], list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index, route in enumerate(self.routes):
            match = route.match
            if _path(match) == _EVERY_PATH and not (match.methods or match.headers or match.query or match.cookies):
                for host in _hosts(match):
                    self.every_path.setdefault(host, index)

    def taker(self, index: int, match: MatchConfig, host: str) -> int | None:
        """Return the route that is chosen before this one for each of its requests to the host."""
        earlier = self.same.setdefault((host, _path(match), bool(match.methods), _fields(match)), [])
        methods = set(match.methods)
        found = next((each for each in earlier if methods <= set(self.routes[each].match.methods)), None)
        earlier.append(index)
        return self.every_path.get(host) if match.path_regex is not None and host in self.every_path else found

    def is_after_prefix(self, match: MatchConfig, taken_by: int) -> bool:
        return match.path_regex is not None and self.routes[taken_by].match.path_regex is None


def _hosts(match: MatchConfig) -> Sequence[str]:
    return tuple(dict.fromkeys(match.host)) or ("",)


def _path(match: MatchConfig) -> str:
    """Return the path so that those which take the same requests are equal."""
    if match.path_regex is not None:
        return f"~{match.path_regex}"
    return _NAME.sub("{}", match.path or _EVERY_PATH)


def _fields(match: MatchConfig) -> _Fields:
    return tuple(_conditions(each) for each in (match.headers, match.query, match.cookies))


def _conditions(conditions: Mapping[str, ConditionConfig]) -> frozenset[object]:
    return frozenset((name, each.exact, each.regex, each.present is not False) for name, each in conditions.items())
