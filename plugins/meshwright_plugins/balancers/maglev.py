"""`maglev`: the same endpoint for the same key, by a table of even shares; what a key is goes elsewhere."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from itertools import accumulate, pairwise, repeat
from math import isqrt

from pydantic import Field, field_validator

from meshwright_sdk import Endpoint, KeyedBalancer, KeyedOptions, KeyTable, hash_of, identities

_LOOKS_A_STEP = 2_000
_ENTRIES_A_STEP = 16_384
_EMPTY = -1


class MaglevOptions(KeyedOptions):
    """What belongs together, and how even the shares are."""

    table_size: int = Field(
        16_381,
        ge=3,
        le=131_071,
        description="Entries of the table, a prime number: a hundred times the endpoints or more.",
    )

    @field_validator("table_size")
    @classmethod
    def _is_prime(cls, size: int) -> int:
        if any(size % divisor == 0 for divisor in range(2, isqrt(size) + 1)):
            raise ValueError(f"expected a prime number such as 4093, 16381 or 65537; got {size}")
        return size


class Maglev(KeyedBalancer[MaglevOptions]):
    """Keep the requests of a key at one endpoint, with shares that are exactly those of the weights.

    A table of `table_size` entries is filled by the endpoints in turns, each by its own permutation (Eisenbud et al.,
    Maglev, 2016), and a key looked up in it by its hash. Keys of an ejected endpoint go elsewhere and come back, and
    no other key moves. When one of n endpoints comes or goes for good, or changes its weight, a few others move too:
    1/n of all, and up to 3 % of all more where the table has a hundred times the endpoints. `ring_hash` moves no other,
    and is less even. A table takes about 10 ms to build, a larger one longer in proportion, beside traffic.

    Example:
        balancer: {maglev: {key: "header:x-user"}}
    """

    def build(self, shares: Mapping[Endpoint, float]) -> Generator[None, None, KeyTable]:
        size = self.options.table_size
        named = identities(shares)
        yield
        bounds = accumulate((shares[endpoint] for endpoint in named.values()), initial=0.0)
        total = sum(shares.values())
        quotas = [round(to * size / total) - round(start * size / total) for start, to in pairwise(bounds)]
        hashes = [hash_of(name) for name in named]
        yield
        entries = yield from _fill(size, quotas, hashes)
        return _Table(entries, list(named.values()))


class _Table:
    """An index of an endpoint for each entry."""

    __slots__ = ("_endpoints", "_entries")

    def __init__(self, entries: list[int], endpoints: list[Endpoint]) -> None:
        self._entries = entries
        self._endpoints = endpoints

    def owner(self, place: int) -> Endpoint:
        entries = self._entries
        return self._endpoints[entries[place % len(entries)]]

    def others(self, place: int) -> Iterator[Endpoint]:
        entries = self._entries
        for at in range(place + 1, place + len(entries)):
            yield self._endpoints[entries[at % len(entries)]]


def _fill(size: int, quotas: list[int], hashes: list[int]) -> Generator[None, None, list[int]]:
    """Return a table in which each index has its quota of entries, taken in turns by its own permutation.

    The permutation goes from a hash by steps of another, round the table. The last entries are not looked for step by
    step: that would be half of the work, and thousands of steps for one entry.
    """
    entries = [_EMPTY] * size
    cursors = [hash_ % size for hash_ in hashes]
    skips = [hash_ // size % (size - 1) + 1 for hash_ in hashes]
    free, few, looks = size, isqrt(size), 0
    left: list[int] = []
    for index in _turns(quotas):
        cursor, skip = cursors[index], skips[index]
        if free > few:
            while entries[cursor] != _EMPTY:
                cursor += skip
                if cursor >= size:
                    cursor -= size
            looks += size // free + 1  # as many as are to be expected
        else:
            left = left or (yield from _empty(entries))
            cursor = _nearest(left, cursor, pow(skip, -1, size), size)
            left.remove(cursor)
            looks += 2 * free
        entries[cursor] = index
        cursors[index] = cursor
        free -= 1
        if looks >= _LOOKS_A_STEP:
            looks = 0
            yield
    return entries


def _empty(entries: list[int]) -> Generator[None, None, list[int]]:
    """Return the entries that nobody has taken."""
    empty: list[int] = []
    for start in range(0, len(entries), _ENTRIES_A_STEP):
        stretch = entries[start : start + _ENTRIES_A_STEP]
        empty += [at for at, entry in enumerate(stretch, start) if entry == _EMPTY]
        yield
    return empty


def _turns(quotas: list[int]) -> Iterator[int]:
    """Yield each index as often as its quota says, spread over as many rounds as the smallest one has."""
    rounds = min(quota for quota in quotas if quota)
    for round_ in range(rounds):
        for index, quota in enumerate(quotas):
            yield from repeat(index, quota * (round_ + 1) // rounds - quota * round_ // rounds)


def _nearest(left: list[int], cursor: int, inverse: int, size: int) -> int:
    """Return the entry that comes first from `cursor` on, by the steps whose inverse modulo `size` is given."""
    return min(left, key=lambda at: (at - cursor) * inverse % size)
