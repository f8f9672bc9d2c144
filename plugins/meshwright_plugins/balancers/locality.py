"""`locality`: the own zone first, then the others, as far as there is capacity; finding zones out goes elsewhere."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Annotated, Any, Self

from annotated_types import Len
from pydantic import Field, model_validator

from meshwright_sdk import Context, Endpoint, Options, Pair, PreparedBalancer, Request

_LEAST_SHARE = 1e-9
"""What is left by rounding is none."""


class LocalityOptions(Options):
    """Where the gateway is, and where requests may go."""

    zone: Annotated[str, Len(1)] = Field(description="The gateway's own zone, such as ${ZONE} of its environment.")
    failover: tuple[str, ...] = Field(
        (), description="Other zones in the order in which they are to help out; the rest of them come last, together."
    )
    overprovisioning: float = Field(
        1.4, ge=1, description="How much more than its part a zone can carry: 1.4 keeps all while 5 of 7 are usable."
    )

    @model_validator(mode="after")
    def _each_zone_once(self) -> Self:
        zones = (self.zone, *self.failover)
        if len(set(zones)) < len(zones):
            raise ValueError(f"failover: expected other zones than {self.zone!r}, each once; got {list(self.failover)}")
        return self


class _Levels:
    """Pairs of endpoints, one for each level that gets requests, and the bounds of their shares."""

    __slots__ = ("bounds", "pairs", "shares")

    def __init__(self, shares: Mapping[str, float], pairs: list[Pair]) -> None:
        self.shares = shares
        self.pairs = pairs
        self.bounds = list(accumulate(shares.values()))[:-1]


class Locality(PreparedBalancer[LocalityOptions, _Levels]):
    """Send requests to the own zone while enough of it is usable, and what is too much for it to the next level.

    The levels are the own zone, each zone of `failover`, and all others together. A level can carry
    min(1, `overprovisioning` x weight of its usable endpoints / weight of all of them). The first level gets what it
    can carry, the next one what is left, as far as it can carry it, and so on. When all together can carry less than
    1, each gets its part of that sum. So with 1.4 and half of the own zone ejected, 70 % stay and 30 % go to the next
    level, as Envoy divides load by priorities. The weights are those of the instances; within a level it is as with
    `two_choices`. While a service uses ejected endpoints too (`panic_threshold`), these count as usable.

    Example:
        balancer: {locality: {zone: eu-1, failover: [eu-2]}}
    """

    def __init__(self, options: LocalityOptions, context: Context) -> None:
        super().__init__(options, context)
        self._names = (options.zone, *options.failover, "")  # the last one for all the others
        self._level_of = {zone: zone for zone in self._names}.get
        self._known: dict[Endpoint, None] = {}

    def prepare(self, endpoints: Sequence[Endpoint]) -> _Levels:
        self._known.update(dict.fromkeys(endpoints))
        there = self._weights(self._known)
        usable = self._weights(endpoint for endpoint in endpoints if endpoint.weight)
        carried = {
            name: min(self.options.overprovisioning * usable[name] / there[name], 1.0)
            for name in self._names
            if usable[name]
        }
        if not carried:
            return _Levels({"": 1.0}, [Pair(endpoints, self.context.random)])
        shares = _divided(carried)
        members: dict[str, list[Endpoint]] = {name: [] for name in shares}
        for endpoint in endpoints:
            level = self._level_of(endpoint.instance.zone, "")
            if level in members:
                members[level].append(endpoint)
        return _Levels(shares, [Pair(level, self.context.random) for level in members.values()])

    def choose(self, prepared: _Levels, request: Request) -> Endpoint | None:
        bounds = prepared.bounds
        return prepared.pairs[bisect(bounds, self.context.random.random()) if bounds else 0].less_loaded()

    def added(self, endpoint: Endpoint) -> None:
        self._known[endpoint] = None

    def removed(self, endpoint: Endpoint) -> None:
        self._known.pop(endpoint, None)

    def state(self) -> Mapping[str, Any] | None:
        """Return the share of the requests that each level gets; `others` are the zones that no option names."""
        if self._prepared is None:
            return None
        return {"shares": {name or "others": round(share, 4) for name, share in self._prepared.shares.items()}}

    def _weights(self, endpoints: Iterable[Endpoint]) -> dict[str, int]:
        weights = dict.fromkeys(self._names, 0)
        for endpoint in endpoints:
            instance = endpoint.instance
            weights[self._level_of(instance.zone, "")] += instance.weight
        return weights


def _divided(carried: Mapping[str, float]) -> dict[str, float]:
    """Return the share of each level that gets one, from what each can carry, in their order."""
    total = min(sum(carried.values()), 1.0)
    shares, left = {}, 1.0
    for name, load in carried.items():
        share = min(load / total, left)
        if share > _LEAST_SHARE:
            shares[name] = share
            left -= share
    return shares
