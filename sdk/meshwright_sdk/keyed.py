"""`KeyedBalancer`: the same endpoint for the same key, by a table that a subclass builds; tables go elsewhere."""

from __future__ import annotations

from abc import abstractmethod
from asyncio import Task
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Set
from hashlib import blake2b
from itertools import islice
from math import inf
from typing import Protocol, TypeVar

from pydantic import Field

from meshwright_sdk.balancing import Balancer, Endpoint
from meshwright_sdk.key import Key
from meshwright_sdk.plugin import Context, Options
from meshwright_sdk.request import Request

PAUSE_S = 1.0
"""How long a table is used at least before another is built, so that weights which change always cost little."""

_MOST_STEPS = 1_000
"""How far a place is followed; who is not found by then has next to nothing of the table."""


def hash_of(text: str) -> int:
    """Return 64 bits that are the same for the same text, on every machine."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def identities(endpoints: Iterable[Endpoint]) -> dict[str, Endpoint]:
    """Return endpoints by a name that is the same in every gateway, in order of the names: the URL, and its number.

    The number is there for the second and further endpoints of one URL.
    """
    named: dict[str, Endpoint] = {}
    for endpoint in endpoints:
        name, number = endpoint.url, 1
        while name in named:
            number += 1
            name = f"{endpoint.url}#{number}"
        named[name] = endpoint
    return dict(sorted(named.items()))


class KeyedOptions(Options):
    """What belongs together."""

    key: Key = Field(
        description="What of a request says where it belongs, such as header:x-user, cookie:cart, claim:sub or client. "
        "A request that has none goes anywhere."
    )


class KeyTable(Protocol):
    """Says which endpoint a place, a number of 64 bits, belongs to."""

    def owner(self, place: int) -> Endpoint:
        """Return the endpoint of this place."""

    def others(self, place: int) -> Iterator[Endpoint]:
        """Yield whom the place belongs to when the owner is out, the next one when that is, and so on; then end.

        One may come several times. Whom it is has to depend on the place, so that an endpoint's keys are spread.
        """


K_co = TypeVar("K_co", bound=KeyedOptions, covariant=True)


class KeyedBalancer(Balancer[K_co]):
    """A balancer that keeps the requests of a key together, by the table that `build` makes.

    The table is of all endpoints of the service, ejected ones too: the keys of one that is out go to others and come
    back to it, and no other key moves. The first table is made before the first pick. When endpoints or weights change,
    the next one is made beside traffic, not sooner than a second after the last: weights may change all the time.
    Until it is there the last one goes on; but of a list of which that knows less than half, each key has any one.
    """

    balance_factor: float | None = None
    """No endpoint gets a request that would give it more than this times its share of all that are in flight."""

    def __init__(self, options: K_co, context: Context) -> None:
        super().__init__(options, context)
        self._key_of = options.key.of
        self._anywhere = context.random.getrandbits
        self._now = context.clock.monotonic
        self._endpoints: Sequence[Endpoint] = ()
        self._present: Set[Endpoint] | None = None  # None when every endpoint of the table is
        self._known: dict[Endpoint, None] = {}
        self._table: KeyTable = _Row(())
        self._shares: Mapping[Endpoint, float] = {}  # what the table was made of
        self._wanted: Mapping[Endpoint, float] = {}
        self._building: Task[None] | None = None
        self._pause_until = 0.0

    @abstractmethod
    def build(self, shares: Mapping[Endpoint, float]) -> Generator[None, None, KeyTable]:
        """Return a table, having yielded after each step of work, half a millisecond at most.

        `shares` are the weights, one or more, each above 0. Equal ones have to give equal tables in every gateway.
        """

    async def warm_up(self, endpoints: Sequence[Endpoint]) -> None:
        """Make the first table."""
        self._follow(endpoints)
        await self._renew()

    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        """Return the endpoint that the request's key belongs to; needs a running loop, which makes the tables."""
        if not endpoints:
            return None
        if endpoints is not self._endpoints and not (request.avoid and self._endpoints):
            self._follow(endpoints)
        if self._shares is not self._wanted and self._building is None and self._now() >= self._pause_until:
            self._building = self.context.tasks.spawn(self._renew(), name=f"table of {self.context.owner}")
        present = self._present if endpoints is self._endpoints else _choosable(endpoints)
        table = self._table
        key = self._key_of(request)
        place = hash_of(key) if key else self._anywhere(64)
        owner = table.owner(place)
        if (present is None or owner in present) and (self.balance_factor is None or owner.in_flight == 0):
            return owner
        return self._first(_followers(table, place), present, endpoints) or self._any(place, endpoints)

    def removed(self, endpoint: Endpoint) -> None:
        """Forget an endpoint that has gone; its place in the table goes with the next one."""
        self._known.pop(endpoint, None)

    def _first(
        self, followers: Iterable[Endpoint], present: Set[Endpoint] | None, endpoints: Sequence[Endpoint]
    ) -> Endpoint | None:
        """Return the first of those that are present and have room for one more request."""
        room = inf  # requests in flight for each unit of weight
        if self.balance_factor is not None:
            in_flight = sum([endpoint.in_flight for endpoint in endpoints]) + 1
            room = (
                self.balance_factor * in_flight / (sum([endpoint.weight for endpoint in endpoints]) or len(endpoints))
            )
        for endpoint in followers:
            if (present is None or endpoint in present) and endpoint.in_flight < room * (endpoint.weight or 1):
                return endpoint
        return None

    def _any(self, place: int, endpoints: Sequence[Endpoint]) -> Endpoint:
        """Return an endpoint for a place of which the table knows nobody that will do."""
        row = _Row([endpoint for endpoint in endpoints if endpoint.weight] or endpoints)
        return self._first(_followers(row, place), None, endpoints) or row.owner(place)

    def _follow(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = endpoints
        self._known.update(dict.fromkeys(endpoints))
        weighty = {endpoint: endpoint.share for endpoint in self._known if endpoint.weight}
        wanted = weighty or dict.fromkeys(self._known, 1.0)
        self._wanted = self._shares if wanted == self._shares else wanted
        present = _choosable(endpoints)
        if not self._tells_enough(self._shares, present):
            self._table, self._shares = _Row([endpoint for endpoint in endpoints if endpoint in present]), {}
            self._pause_until = 0.0
        self._look(present)

    def _look(self, present: Set[Endpoint]) -> None:
        """Note which endpoints of the table may be chosen."""
        self._present = None if self._shares.keys() <= present else present

    async def _renew(self) -> None:
        """Make the table that is wanted now, and use it unless the list has become quite another one meanwhile."""
        shares = self._wanted
        try:
            table = await self.context.side_work.run(self.build(shares))
        finally:
            self._building = None
            self._pause_until = self._now() + PAUSE_S
        present = _choosable(self._endpoints)
        if self._tells_enough(shares, present):
            self._table, self._shares = table, shares
            self._look(present)
        else:
            self._pause_until = 0.0

    @staticmethod
    def _tells_enough(shares: Mapping[Endpoint, float], present: Set[Endpoint]) -> bool:
        """Return whether a table of these shares knows half of those present: fewer were to get all requests."""
        return 2 * len(present & shares.keys()) >= len(present)


def _followers(table: KeyTable, place: int) -> Iterator[Endpoint]:
    """Yield whom the place belongs to, and to whom when that one is out, and so on."""
    yield table.owner(place)
    yield from islice(table.others(place), _MOST_STEPS)


class _Row:
    """Endpoints side by side, without regard to weights: what is there until a table is."""

    __slots__ = ("_endpoints",)

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = endpoints

    def owner(self, place: int) -> Endpoint:
        return self._endpoints[place % len(self._endpoints)]

    def others(self, place: int) -> Iterator[Endpoint]:
        endpoints = self._endpoints
        for at in range(place + 1, place + len(endpoints)):
            yield endpoints[at % len(endpoints)]


def _choosable(endpoints: Sequence[Endpoint]) -> Set[Endpoint]:
    """Return those with a weight, or all when none has one."""
    return {endpoint for endpoint in endpoints if endpoint.weight} or set(endpoints)
