"""`ring_hash`: the same endpoint for the same key, by a ring of points; what a key is goes elsewhere."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Generator, Iterator, Mapping
from hashlib import shake_128
from struct import unpack

from pydantic import Field

from meshwright_sdk import Context, Endpoint, KeyedBalancer, KeyedOptions, KeyTable, identities

_MOST_POINTS = 131_072
_ARCS = 64
_ARC_SHIFT = 58
_POINTS_A_STEP = 1_024
_INDEX_BITS = 16
_INDEX = (1 << _INDEX_BITS) - 1


class RingHashOptions(KeyedOptions):
    """What belongs together, and how even the shares are."""

    points: int = Field(
        160,
        ge=1,
        le=10_000,
        description="Points on the ring for each unit of weight: the more, the more even.",
    )
    balance_factor: float | None = Field(
        None,
        ge=1,
        description="No endpoint gets a request that would give it more than this times its share of all requests in "
        "flight; the next one on the ring gets it. Without, a key keeps its endpoint whatever the load.",
    )


class RingHash(KeyedBalancer[RingHashOptions]):
    """Keep the requests of a key at one endpoint: the one whose point follows the key's on a ring of hashes.

    Each endpoint has `points` for each unit of its weight. When one of n goes, its keys go to those that follow, about
    1/n of all; when one comes, or gets more weight, it gets keys, and no other key moves. The shares are even to about
    1/sqrt(points), 8 % as a rule. Where that would be more than 131,072 points in all, each endpoint gets half as many,
    or a quarter, and some keys move at that border. A ring takes about 0.03 ms an endpoint to build, beside traffic.

    With `balance_factor` the ring has bounded loads (Mirrokni, Thorup, Zadimoghaddam, Consistent Hashing with Bounded
    Loads, 2017): 1.25 is a good compromise. It costs a look at each endpoint, unless the one at hand is idle.

    Example:
        balancer: {ring_hash: {key: "cookie:cart", balance_factor: 1.25}}
    """

    def __init__(self, options: RingHashOptions, context: Context) -> None:
        super().__init__(options, context)
        self.balance_factor = options.balance_factor

    def build(self, shares: Mapping[Endpoint, float]) -> Generator[None, None, KeyTable]:
        named = identities(shares)
        density = self._density(sum(shares.values()))
        arcs: list[list[int]] = [[] for _ in range(_ARCS)]  # parts of the ring, as sorting it whole takes too long
        yield
        done = 0
        for index, (name, endpoint) in enumerate(named.items()):
            for points in _points(name, max(round(shares[endpoint] * density), 1)):
                for point in points:
                    arcs[point >> _ARC_SHIFT].append(point & ~_INDEX | index)
                done += len(points)
                if done >= _POINTS_A_STEP:
                    done = 0
                    yield
        ring = array("Q")  # it is given back in one go, which a list of as many numbers takes milliseconds for
        for arc in arcs:
            arc.sort()
            ring.fromlist(arc)
            done += len(arc)
            arc.clear()
            if done >= _POINTS_A_STEP:
                done = 0
                yield
        return _Ring(ring, list(named.values()))

    def _density(self, weight: float) -> float:
        """Return the points for a unit of weight: as said, or a power of two less when that is too many in all."""
        density = float(self.options.points)
        while weight * density > _MOST_POINTS:
            density /= 2
        return density


class _Ring:
    """Points in order; the last bits of each are the index of its endpoint."""

    __slots__ = ("_endpoints", "_points")

    def __init__(self, points: array[int], endpoints: list[Endpoint]) -> None:
        self._points = points
        self._endpoints = endpoints

    def owner(self, place: int) -> Endpoint:
        points = self._points
        at = bisect_left(points, place)
        return self._endpoints[points[at if at < len(points) else 0] & _INDEX]

    def others(self, place: int) -> Iterator[Endpoint]:
        points = self._points
        start = bisect_left(points, place)
        for at in range(start + 1, start + len(points)):
            yield self._endpoints[points[at % len(points)] & _INDEX]


def _points(name: str, count: int) -> Iterator[tuple[int, ...]]:
    """Yield so many hashes of 64 bits, in batches; more of them begin with the same ones."""
    for first in range(0, count, _POINTS_A_STEP):
        size = min(count - first, _POINTS_A_STEP)
        yield unpack(f">{size}Q", shake_128(f"{name}/{first}".encode()).digest(8 * size))
