"""`Flights`: requests for the same thing wait for the first of them; what is fetched, and how, goes elsewhere."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from meshwright_plugins.filters.cache.answer import Answer


class Landing(NamedTuple):
    """What became of a flight: an answer that was stored, a failure, or nothing that others could use.

    `lead` says to who gets it that the flight is now his.
    """

    answer: Answer | None = None
    failed: bool = False
    error: Exception | None = None
    lead: bool = False


NOTHING_FOR_OTHERS = Landing()
_LEAD = Landing(lead=True)


class Flight:
    """One fetch and who waits for it, the longest waiting first."""

    __slots__ = ("_end", "_waiting")

    def __init__(self, end: Callable[[], object]) -> None:
        self._end = end
        self._waiting: deque[asyncio.Future[Landing]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    async def landing(self) -> Landing:
        """Wait until it has landed, or who leads it has left and this one is next."""
        future: asyncio.Future[Landing] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            return await future
        except BaseException:
            if future in self._waiting:
                self._waiting.remove(future)
            elif not future.cancelled() and future.result().lead:
                self.hand_over()
            raise

    def land(self, landing: Landing) -> None:
        """Tell everybody, and take no more."""
        self._end()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(landing)

    def hand_over(self) -> None:
        """Have the next one lead; without one it is over."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(_LEAD)
                return
        self._end()


class Lead:
    """Who fetches: it lands, or leaves, once; what comes after that changes nothing."""

    __slots__ = ("_flight", "_over")

    def __init__(self, flight: Flight) -> None:
        self._flight = flight
        self._over = False

    def land(self, landing: Landing) -> None:
        """Tell everybody what came of it."""
        if not self._over:
            self._over = True
            self._flight.land(landing)

    def leave(self) -> None:
        """Give it up; the next one takes over."""
        if not self._over:
            self._over = True
            self._flight.hand_over()


class Flights:
    """The flights under way, by key."""

    __slots__ = ("_flights",)

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def get(self, key: str) -> Flight | None:
        """Return the flight for `key`, if there is one."""
        return self._flights.get(key)

    def lead(self, key: str) -> Lead:
        """Begin a flight, or go on with the one that was handed over."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(lambda: self._flights.pop(key, None))
        return Lead(flight)
